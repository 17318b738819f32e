"""Temperature by the batch on real CLIP features: calibration error before and after, and with the best temperature.

Sets and kinds of batch are those of `bench/transduction_real.py`; stage 1 is CLIP by name at its own scale (100), and
at scales that make it too unsure (50) and too sure (200).

    python -m bench.batch_temperature --draws 3
"""

import argparse
import statistics
import sys
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from bench.transduction_real import FEATURES, Source, draw_batch, issue_sources, other_sources
from coder_core.coder.classifier import LinearClassifier
from coder_core.evaluation.calibration import expected_calibration_error
from coder_core.evaluation.temperature import batch_temperature, fit_temperature
from coder_core.few_shot.text_metric import MetricSpace, fit_metric
from coder_core.steps.calibrate_method import SUGGESTING
from coder_core.transduction.fit_batch import METRIC_LEVEL, fit_batch
from coder_core.transduction.image_batch import in_parts

SCALES = (100.0, 50.0, 200.0)
REGIMES = ("balanced", "long_tailed", "tenth")


class Errors(NamedTuple):
    """Calibration errors in points: as it is, by the batch, and with the temperature that the labels would choose."""

    before: float
    after: float
    best: float
    temperature: float


def measure(batch: Source, scale: float, space: MetricSpace) -> Errors:
    """One batch under one scale."""
    stage1 = LinearClassifier(batch.class_texts, scale)
    logits = stage1.logits(batch.images)
    found = fit_batch(in_parts(batch.images), stage1, class_texts=batch.class_texts, space=space)
    chosen = 1.0
    if str(found.kind) in SUGGESTING:
        chosen = batch_temperature(logits, found.classifier.logits(batch.images).softmax(dim=1))
    best = fit_temperature(logits, batch.labels)
    return Errors(*(_error(logits / t, batch.labels) for t in (1.0, chosen, best)), chosen)


def _error(logits: Tensor, labels: Tensor) -> float:
    confidences, predicted = logits.softmax(dim=1).max(dim=1)
    return 100 * expected_calibration_error(confidences.numpy(), (predicted == labels).numpy())


def rows(draws: int) -> Iterator[tuple[str, str, float, list[Errors]]]:
    """Every set, kind of batch and scale."""
    with np.load(FEATURES / "text_bank.npz", allow_pickle=False) as file:
        bank = torch.from_numpy(file["features"].astype(np.float32))
    space = fit_metric(torch.nn.functional.normalize(bank, dim=1)).saturating(METRIC_LEVEL)
    for name, source in {**issue_sources(FEATURES), **other_sources(FEATURES)}.items():
        for regime in REGIMES:
            seeds = (1,) if regime == "balanced" else range(1, draws + 1)
            batches = [draw_batch(source, regime, seed) for seed in seeds]
            for scale in SCALES if regime == "balanced" else SCALES[:1]:
                yield name, regime, scale, [measure(batch, scale, space) for batch in batches]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=3)
    options = parser.parse_args()
    sys.stdout.write(
        "| set | batch | scale | before | by the batch | best | temperature |\n|---|---|---|---|---|---|---|\n"
    )
    for name, regime, scale, found in rows(options.draws):
        means = (statistics.mean(column) for column in zip(*found, strict=True))
        before, after, best, temperature = means
        cells = f"{before:.1f} | {after:.1f} | {best:.1f} | {temperature:.2f}"
        sys.stdout.write(f"| {name} | {regime} | {scale:.0f} | {cells} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
