"""Published figures beside those of a sweep: ours, theirs, and the difference, each source told under the tables."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from coder_core.recipes.published_figures import PublishedComparison, PublishedScore
from coder_core.recipes.sweep_results import SweepResult
from coder_core.recipes.sweep_rows import SweepGroup

NO_SCORE = "-"
_Cell = Callable[[PublishedScore], str]


def published_rows(
    result: SweepResult, group: SweepGroup
) -> tuple[list[str], list[tuple[str | int | None, ...]]] | None:
    """Headings and rows of the table for one number of shots: three rows a published one; None where there is none."""
    own = [(number, found) for number, found in _numbered(result) if found.row.shots == group.shots]
    if not own:
        return None
    axes = [axis for axis in ("model", "texts") if any(getattr(found.row, axis) for _, found in own)]
    datasets = [name for name in group.datasets if any(name in found.by_dataset for _, found in own)]
    rows = [row for number, found in own for row in _three_rows(number, found, axes, datasets)]
    return [*axes, "method", "of", *datasets, "mean of both"], rows


def source_notes(result: SweepResult) -> Iterator[str]:
    """What the numbers in brackets stand for, one line each."""
    sources = _sources(result)
    for (source, note), number in sources.items():
        yield f"[{number}] {source}{f' ({note})' if note else ''}"
    if sources:
        yield "*: our 95 % interval does not hold the published figure. Published figures decide no tier and no mean."


def published_record(comparison: PublishedComparison) -> dict[str, Any]:
    """The same as values that JSON can hold: accuracies 0..1, unrounded."""
    row = comparison.row
    where = {"shots": row.shots, "model": row.model, "texts": row.texts, "method": comparison.method}
    by_dataset = {name: _score_record(score) for name, score in comparison.by_dataset.items()}
    told = {"source": row.source, "note": row.note}
    return {**where, **told, "by_dataset": by_dataset, "mean_of_both": _score_record(comparison.means)}


def _score_record(score: PublishedScore) -> dict[str, Any]:
    ours = None if score.ours is None else score.ours._asdict()
    found = {"published": score.published, "ours": ours, "difference": score.difference}
    return {**found, "is_outside": score.is_outside}


def _sources(result: SweepResult) -> dict[tuple[str, str], int]:
    told = dict.fromkeys((found.row.source, found.row.note) for found in result.published)
    return {source: number for number, source in enumerate(told, start=1)}


def _numbered(result: SweepResult) -> list[tuple[int, PublishedComparison]]:
    sources = _sources(result)
    return [(sources[found.row.source, found.row.note], found) for found in result.published]


def _three_rows(
    number: int, found: PublishedComparison, axes: Sequence[str], datasets: Sequence[str]
) -> Iterator[tuple[str | int | None, ...]]:
    place = (*(getattr(found.row, axis) for axis in axes), found.method)
    cells: dict[str, _Cell] = {"ours": _ours, f"[{number}]": _published, f"ours - [{number}]": _difference}
    for name, write in cells.items():
        scores = (found.by_dataset.get(dataset) for dataset in datasets)
        yield (*place, name, *(write(score) if score else NO_SCORE for score in scores), write(found.means))


def _ours(score: PublishedScore) -> str:
    return NO_SCORE if score.ours is None else f"{100 * score.ours.value:.1f}"


def _published(score: PublishedScore) -> str:
    return f"{100 * score.published:.1f}"


def _difference(score: PublishedScore) -> str:
    if score.difference is None:
        return NO_SCORE
    return f"{100 * score.difference:+.1f}{'*' if score.is_outside else ''}"
