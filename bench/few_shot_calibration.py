"""Are the probabilities of few-shot methods true? Real CLIP features, before and after a temperature, as Markdown.

    python -m bench.few_shot_calibration --draws 3
    python -m bench.few_shot_calibration --tables batch --stage1 text_discriminant lda

Support and validation images are drawn from each set's validation split; errors are of its test split, or of batches of
it (`--tables batch`: what `batch_discriminant` makes of a few-shot method, whose batch may hold other shares of the
classes than the validation images, which a second temperature is tried on). Errors are points.
"""

import argparse
import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from bench.few_shot_real import DATASETS, FEATURES, Images, load_images, load_texts, load_zero_shot
from coder_core.coder.classifier import Classifier, LinearClassifier
from coder_core.evaluation.calibration import calibration_error_by_chance, expected_calibration_error
from coder_core.evaluation.temperature import batch_temperature, mean_loss
from coder_core.few_shot.draws import draw_examples
from coder_core.few_shot.few_shot_methods import FEW_SHOT_METHODS, plan_methods
from coder_core.few_shot.pool import select_methods
from coder_core.few_shot.probabilities import calibrate_scores
from coder_core.few_shot.text_metric import fit_metric
from coder_core.transduction.fit_batch import METRIC_LEVEL, fit_batch
from coder_core.transduction.image_batch import KnownRows, in_parts

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
    arguments = _arguments()
    found: list[Result] = []
    for name in arguments.datasets:
        images, texts = load_images(arguments.features, name), load_texts(arguments.features, ())
        fused = [None, load_zero_shot(arguments.features)] if name == "dtd" else [None]
        for shots in arguments.shots:
            for seed in range(arguments.seed, arguments.seed + arguments.draws):
                if "test" in arguments.tables:
                    for zero_shot in fused:
                        found += _measure(name, images, texts, zero_shot, arguments.methods, shots, seed)
                if "batch" in arguments.tables:
                    found += _measure_batches(name, images, texts, arguments.stage1, shots, seed)
    for title in dict.fromkeys(result.table for result in found):
        _print_table(title, [result for result in found if result.table == title])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=Path, default=FEATURES, help="folder of the .npz files")
    parser.add_argument("--shots", type=int, nargs="+", default=(1, 4, 16), help="support images per class")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1, help="of the first draw")
    parser.add_argument("--methods", nargs="+", choices=tuple(FEW_SHOT_METHODS), default=tuple(FEW_SHOT_METHODS))
    parser.add_argument("--datasets", nargs="+", choices=DATASETS, default=("dtd",))
    parser.add_argument("--tables", nargs="+", choices=("test", "batch"), default=("test",))
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
    draw = draw_examples(images.pool.label_ids, shots=shots, seed=seed, allow_fewer=True)
    support, validation = images.pool.support(draw), images.pool.validation(draw)
    assert validation is not None
    space = fit_metric(texts).saturating(METRIC_LEVEL)
    known = KnownRows(support.embeddings, support.label_ids)
    planned = plan_methods(stage1, texts, zero_shot=None)
    for method, selected in select_methods(images.pool, draw, planned, zero_shot=None).items():
        tempered = calibrate_scores(selected.classifier, validation)
        for regime in REGIMES:
            rows = _draw_batch(images.truth, regime, seed)
            queries, truth = images.queries[rows], images.truth[rows]

            def moved(below: Classifier, queries: Tensor = queries) -> tuple[Classifier, str]:
                taught = fit_batch(in_parts(queries), below, space=space, known=known)
                return taught.classifier, str(taught.kind)

            classifier, kind = moved(tempered)
            logits = classifier.logits(queries)
            again = calibrate_scores(classifier, validation).temperature
            own, second, _ = _errors(logits, again, truth)
            below, _, _ = _errors(tempered.logits(queries), 1.0, truth)
            column = f"{shots} shots"
            row = f"{method}, {regime} ({kind})"
            yield Result(
                f"{name}: stage 1 / moved by the batch / once more by validation", row, column, (below, own, second)
            )
            plain, kind = moved(selected.classifier)
            scores = selected.classifier.logits(queries)
            guess = batch_temperature(scores, plain.logits(queries).softmax(dim=1))
            before, guessed, _ = _errors(scores, guess, truth)
            row = f"{method}, {regime} ({kind})"
            yield Result(f"{name}: no validation: before / temperature by the batch", row, column, (before, guessed))


def _draw_batch(truth: Tensor, regime: str, seed: int) -> Tensor:
    generator, labels = np.random.default_rng(seed), truth.numpy()
    classes, rows = int(labels.max()) + 1, np.arange(len(labels))
    if regime == "long_tailed":
        weights = generator.dirichlet(np.ones(classes))
        rows = np.flatnonzero(generator.random(len(labels)) < weights[labels] / weights.max())
    elif regime in ("tenth", "half"):
        number = max(5, classes // (10 if regime == "tenth" else 2))
        rows = np.flatnonzero(np.isin(labels, generator.choice(classes, number, replace=False)))
    return torch.from_numpy(rows)


def _errors(logits: Tensor, temperature: float, truth: Tensor) -> tuple[float, float, float]:
    """In points: at temperature 1, at that temperature, and by chance at the latter."""
    hits = (logits.argmax(dim=1) == truth).numpy()
    plain, found = ((logits.double() / heat).softmax(dim=1).amax(dim=1).numpy() for heat in (1.0, temperature))
    errors = expected_calibration_error(plain, hits), expected_calibration_error(found, hits)
    return 100 * errors[0], 100 * errors[1], 100 * calibration_error_by_chance(found)


def _print_table(title: str, results: list[Result]) -> None:
    columns = list(dict.fromkeys(result.column for result in results))
    print(f"### {title}\n\n| method | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
    cells: dict[str, dict[str, list[tuple[float, ...]]]] = defaultdict(lambda: defaultdict(list))
    for result in results:
        cells[result.row][result.column].append(result.values)
    for row, by_column in cells.items():
        shown = [
            " / ".join(
                f"{statistics.fmean(one):.{2 if 'nats' in title else 1}f}"
                for one in zip(*by_column[column], strict=True)
            )
            for column in columns
        ]
        print(f"| {row} | {' | '.join(shown)} |")
    print()


if __name__ == "__main__":
    main()
