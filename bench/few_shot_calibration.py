"""Are the probabilities of few-shot methods true? Real CLIP features, before and after a temperature, as Markdown.

    python -m bench.few_shot_calibration --draws 3
    python -m bench.few_shot_calibration --tables batch --stage1 text_discriminant lda

Support and validation images are drawn from each set's validation split; errors are of its test split, or of batches of
it (`--tables batch`: what `batch_discriminant` makes of a few-shot method; `guess`: temperatures by the batch, where
there are no validation images). Errors are points.
"""

import argparse
import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from bench.few_shot_sets import BANKS, DATASETS, FEATURES, Images, load_images, load_texts, load_zero_shot
from coder_core.classifiers import TemperedClassifier
from coder_core.coder.classifier import Classifier, LinearClassifier
from coder_core.evaluation.calibration import calibration_error_by_chance, expected_calibration_error
from coder_core.evaluation.temperature import batch_temperature, mean_loss, spread_of
from coder_core.few_shot.draws import draw_examples
from coder_core.few_shot.few_shot_methods import FEW_SHOT_METHODS, plan_methods
from coder_core.few_shot.pool import select_methods
from coder_core.few_shot.probabilities import calibrate_scores
from coder_core.few_shot.text_metric import fit_metric
from coder_core.steps.calibrate_method import SUGGESTING
from coder_core.transduction.fit_batch import METRIC_LEVEL, fit_batch
from coder_core.transduction.image_batch import KnownRows, in_parts
from coder_core.transduction.temperature import as_sure_as

REGIMES = ("all", "long_tailed", "tenth", "half")
FEW = 100
"""Images of the small samples, whose errors are compared with what chance makes of true probabilities."""


class Result(NamedTuple):
    """One method on one draw: what is shown of it, by heading."""

    table: str
    row: str
    column: str
    values: tuple[float, ...]


def main() -> None:
    """Print all tables."""
    found = list(_every_draw(_arguments()))
    for title in dict.fromkeys(result.table for result in found):
        _print_table(title, [result for result in found if result.table == title])


def _every_draw(arguments: argparse.Namespace) -> Iterator[Result]:
    for name in arguments.datasets:
        images, texts = load_images(arguments.features, name), load_texts(arguments.features, (), BANKS[0])
        fused = [None, load_zero_shot(arguments.features)] if name == "dtd" else [None]
        seeds = range(arguments.seed, arguments.seed + arguments.draws)
        for shots, seed in product(arguments.shots, seeds):
            for zero_shot in fused if "test" in arguments.tables else ():
                yield from _measure(name, images, texts, zero_shot, arguments.methods, shots, seed)
            if "batch" in arguments.tables:
                yield from _measure_batches(name, images, texts, arguments.stage1, shots, seed)
            if "guess" in arguments.tables:
                yield from _measure_guesses(name, images, texts, arguments.stage1, shots, seed)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=Path, default=FEATURES, help="folder of the .npz files")
    parser.add_argument("--shots", type=int, nargs="+", default=(1, 4, 16), help="support images per class")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1, help="of the first draw")
    parser.add_argument("--methods", nargs="+", choices=tuple(FEW_SHOT_METHODS), default=tuple(FEW_SHOT_METHODS))
    parser.add_argument("--datasets", nargs="+", choices=DATASETS, default=("dtd",))
    parser.add_argument("--tables", nargs="+", choices=("test", "batch", "guess"), default=("test",))
    parser.add_argument("--stage1", nargs="+", choices=tuple(FEW_SHOT_METHODS), default=("text_discriminant",))
    return parser.parse_args()


def _measure(
    name: str,
    images: Images,
    texts: Tensor,
    zero_shot: LinearClassifier | None,
    methods: Sequence[str],
    shots: int,
    seed: int,
) -> Iterator[Result]:
    draw = draw_examples(images.pool.label_ids, shots=shots, seed=seed, allow_fewer=True)
    validation = images.pool.validation(draw)
    assert validation is not None
    beside = "images alone" if zero_shot is None else "with zero-shot logits"
    few = torch.from_numpy(np.random.default_rng(seed).choice(len(images.truth), FEW, replace=False))
    planned = plan_methods(methods, texts, zero_shot=zero_shot)
    for method, selected in select_methods(images.pool, draw, planned, zero_shot=zero_shot).items():
        found = calibrate_scores(selected.classifier, validation)
        logits, column = selected.classifier.logits(images.queries), f"{shots} shots"
        before, after, chance = _errors(logits, found.temperature, images.truth)
        yield Result(f"{name}, {beside}: calibration error", method, column, (before, after, chance))
        losses = tuple(mean_loss(logits, images.truth, 1 / heat) for heat in (1.0, found.temperature))
        yield Result(f"{name}, {beside}: -log likelihood, nats", method, column, losses)
        _, after, chance = _errors(logits[few], found.temperature, images.truth[few])
        yield Result(f"{name}, {beside}: calibration error of {FEW} images", method, column, (after, chance))


def _measure_batches(
    name: str, images: Images, texts: Tensor, stage1: Sequence[str], shots: int, seed: int
) -> Iterator[Result]:
    """A method under its temperature, what a batch makes of it, as sure as it, and under one by validation images."""
    draw = draw_examples(images.pool.label_ids, shots=shots, seed=seed, allow_fewer=True)
    support, validation = images.pool.support(draw), images.pool.validation(draw)
    assert validation is not None  # all images but the support
    space = fit_metric(texts).saturating(METRIC_LEVEL)
    known, column = KnownRows(support.embeddings, support.label_ids), f"{shots} shots"
    planned = plan_methods(stage1, texts, zero_shot=None)
    for method, selected in select_methods(images.pool, draw, planned, zero_shot=None).items():
        below = calibrate_scores(selected.classifier, validation)
        for regime in REGIMES:
            queries, truth = _draw_batch(images, regime, seed)
            found = fit_batch(in_parts(queries), below, space=space, known=known)
            sure = as_sure_as(below, found.classifier, in_parts(queries))
            again = calibrate_scores(found.classifier, validation)
            errors = tuple(_error(one, queries, truth) for one in (below, found.classifier, sure, again))
            title = f"{name}: stage 1 / moved by the batch / as sure as stage 1 / by validation images"
            yield Result(title, f"{method}, {regime}, taken for {found.kind}", column, errors)


def _measure_guesses(
    name: str, images: Images, texts: Tensor, methods: Sequence[str], shots: int, seed: int
) -> Iterator[Result]:
    """Without validation images: scores as they are, and under the temperature that a batch suggests."""
    draw = draw_examples(images.pool.label_ids, shots=shots, seed=seed, allow_fewer=True)
    draw = draw._replace(validation=draw.validation[:0])
    support, space = images.pool.support(draw), fit_metric(texts).saturating(METRIC_LEVEL)
    known, column = KnownRows(support.embeddings, support.label_ids), f"{shots} shots"
    planned = plan_methods(methods, texts, zero_shot=None)
    for method, selected in select_methods(images.pool, draw, planned, zero_shot=None).items():
        for regime in REGIMES:
            queries, truth = _draw_batch(images, regime, seed)
            scores = selected.classifier.logits(queries)
            below = TemperedClassifier(selected.classifier, spread_of(scores))
            found = fit_batch(in_parts(queries), below, space=space, known=known)
            heat = 1.0
            if found.kind in SUGGESTING:
                taught = found.classifier.logits(queries).softmax(dim=1)
                heat = below.temperature * batch_temperature(below.logits(queries), taught)
            before, after, _ = _errors(scores, heat, truth)
            title = f"{name}, no validation images: as it is / by the batch"
            yield Result(title, f"{method}, {regime}", column, (before, after))


def _draw_batch(images: Images, regime: str, seed: int) -> tuple[Tensor, Tensor]:
    """Some of the test images, and what they are."""
    generator, labels = np.random.default_rng(seed), images.truth.numpy()
    classes, rows = int(labels.max()) + 1, np.arange(len(labels))
    if regime == "long_tailed":
        weights = generator.dirichlet(np.ones(classes))
        rows = np.flatnonzero(generator.random(len(labels)) < weights[labels] / weights.max())
    elif regime in ("tenth", "half"):
        number = max(5, classes // (10 if regime == "tenth" else 2))
        rows = np.flatnonzero(np.isin(labels, generator.choice(classes, number, replace=False)))
    return images.queries[rows], images.truth[rows]


def _error(classifier: Classifier, queries: Tensor, truth: Tensor) -> float:
    return _errors(classifier.logits(queries), 1.0, truth)[0]


def _errors(logits: Tensor, temperature: float, truth: Tensor) -> tuple[float, float, float]:
    """In points: at temperature 1, at that temperature, and by chance at the latter."""
    hits = (logits.argmax(dim=1) == truth).numpy()
    plain, found = ((logits.double() / heat).softmax(dim=1).amax(dim=1).numpy() for heat in (1.0, temperature))
    errors = expected_calibration_error(plain, hits), expected_calibration_error(found, hits)
    return 100 * errors[0], 100 * errors[1], 100 * calibration_error_by_chance(found)


def _cell(found: list[tuple[float, ...]], digits: int) -> str:
    """Means over draws; nothing where there was none."""
    return " / ".join(f"{statistics.fmean(one):.{digits}f}" for one in zip(*found, strict=True))


def _print_table(title: str, results: list[Result]) -> None:
    columns = list(dict.fromkeys(result.column for result in results))
    print(f"### {title}\n\n| method | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
    digits = 2 if "nats" in title else 1
    cells: dict[str, dict[str, list[tuple[float, ...]]]] = defaultdict(lambda: defaultdict(list))
    for result in results:
        cells[result.row][result.column].append(result.values)
    for row, by_column in cells.items():
        shown = [_cell(by_column[column], digits) for column in columns]
        print(f"| {row} | {' | '.join(shown)} |")
    print()


if __name__ == "__main__":
    main()
