"""`coder-eval predict FOLDER IMAGES...`: an exported classifier at work, image after image, without a store."""

import csv
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, TypeVar

import click

from coder_core.counted import counted
from coder_core.errors import ConfigError
from coder_core.printable_text import printable
from coder_core.progress import track
from coder_core.report.prediction_table import COLUMNS, NONE_OF_THESE
from flows.cli_logging import note_line

if TYPE_CHECKING:
    from coder_core.portable.classifier import Answer, PortableClassifier

TEXTS_SHOWN = 5

Counted = TypeVar("Counted")

_NOTHING: Mapping[str, str] = {}


def predict_with_folder(
    folder: str,
    given: tuple[str, ...],
    *,
    form: str,
    model: str | None,
    none_below: float | None,
    explain: bool,
    adapt: bool,
    device: str,
    workers: int | None,
) -> int:
    """Print an answer for every image, as soon as it is there; gives the number of images that could not be read.

    Raises:
        CoderError: The classifier, its encoder or all images cannot be read.
    """
    from coder_core.images.unlabelled import open_images
    from coder_core.portable.classifier import load_classifier
    from coder_core.sealing import seal

    if form == "csv-excel":
        raise ConfigError("an exported classifier writes table, csv or json.", "--format", "Choose one of them.")
    if adapt and explain:
        raise ConfigError("what a batch has moved is no sum over texts.", "--explain", "Leave --adapt or it out.")
    classifier = load_classifier(folder, encoder=model, device=device)
    files = open_images([seal(image) for image in given]).files
    urls, more = [file.url for file in files], _NOTHING
    if adapt:
        answers, more = _adapt(classifier, urls, none_below, workers)
    else:
        answers = classifier.stream(urls, explain=explain, none_below=none_below, workers=workers)
        if not sys.stdout.isatty():  # where answers are seen as they come, they tell how far it is
            answers = _counted(answers, len(files))
    broken: list[Answer] = []
    good = _good(answers, broken)
    _print_json(good, more) if form == "json" else _PRINTERS[form](good)
    for answer in broken:
        click.echo(note_line(f"left out: {answer.image}: {answer.problem}"), err=True)
    what = f"{classifier.card.method} of {classifier.card.provenance.run_id}"
    click.echo(note_line(f"{folder}: {what}: {counted(len(files) - len(broken), 'image')}"), err=True)
    return len(broken)


def _adapt(
    classifier: "PortableClassifier", urls: list[str], none_below: float | None, workers: int | None
) -> "tuple[Iterator[Answer], Mapping[str, str]]":
    """Answers after all images together have moved the classifier, and what they were taken for."""
    adapted = classifier.adapt(_counted(urls, len(urls)), none_below=none_below, workers=workers)
    click.echo(note_line(f"batch taken for {adapted.batch}: {adapted.reason}"), err=True)
    return iter(adapted.answers), {"batch": adapted.batch, "batch_reason": adapted.reason}


def _counted(items: "Iterable[Counted]", total: int) -> "Iterator[Counted]":
    with track("classifying", total=total, unit="images") as progress:
        for item in items:
            yield item
            progress.advance(1)


def _good(answers: "Iterator[Answer]", broken: "list[Answer]") -> "Iterator[Answer]":
    for answer in answers:
        if answer.problem is None:
            yield answer
        else:
            broken.append(answer)


def _label(answer: "Answer") -> str:
    return NONE_OF_THESE if answer.is_none_of_these else str(answer.label)


def _print_table(answers: "Iterator[Answer]") -> None:
    click.echo(f"{'p':>6}  {'gap':>6}  class, image")
    for answer in answers:
        click.echo(
            f"{answer.probability:6.4f}  {answer.gap:6.4f}  {printable(_label(answer))}  {printable(answer.image)}"
        )
        for text in answer.texts[:TEXTS_SHOWN]:
            click.echo(f"{'':16}{text.share:+.3f}  {printable(f'{text.class_name}: {text.text}')}")


def _print_csv(answers: "Iterator[Answer]") -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(COLUMNS)
    for answer in answers:
        names, shares = ([pair[place] for pair in answer.top] for place in (0, 1))
        row = (answer.image, _label(answer), answer.probability, answer.gap)
        writer.writerow([*row, json.dumps(names, ensure_ascii=False), json.dumps(shares)])


def _print_json(answers: "Iterator[Answer]", more: Mapping[str, str]) -> None:
    """A list, one object to a line; `more` stands in each."""
    begin = "["
    for answer in answers:
        record: dict[str, object] = {
            "image": answer.image,
            "class_name": None if answer.is_none_of_these else answer.label,
            "probability": answer.probability,
            "gap": answer.gap,
            "is_none_of_these": answer.is_none_of_these,
            "top5": [name for name, _ in answer.top],
            "top5_probabilities": [probability for _, probability in answer.top],
        }
        if answer.texts:
            record["texts"] = [share._asdict() for share in answer.texts]
        record |= more
        click.echo(f"{begin}{json.dumps(record)}", nl=False)
        begin = ",\n"
    click.echo("[]" if begin == "[" else "]")


_PRINTERS: "dict[str, Callable[[Iterator[Answer]], None]]" = {
    "table": _print_table,
    "csv": _print_csv,
}
