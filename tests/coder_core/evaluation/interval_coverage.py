"""How often the 95 % intervals hold the truth, on data sets that are drawn with a known one.

python -m tests.coder_core.evaluation.interval_coverage --tries 4000
"""

import argparse
import sys
from collections.abc import Callable

import numpy as np

from coder_core.evaluation.calibration import calibration_interval, mean_interval
from coder_core.evaluation.clustered import clustered_interval, clustered_mean
from coder_core.evaluation.comparisons import paired_interval
from coder_core.evaluation.intervals import Interval, bootstrap_interval, wilson_interval

CHANCES = np.array([0.9, 0.8, 0.7, 0.5])
"""Of being right, class by class."""

Drawn = Callable[[np.random.Generator], Interval]


def simulate(tries: int) -> dict[str, float]:
    """Share of the drawn data sets whose interval holds the truth, by kind of interval."""
    cases: dict[str, tuple[Drawn, float]] = {
        "wilson": (lambda rng: wilson_interval(int(rng.binomial(500, 0.73)), 500), 0.73),
        "mean": (lambda rng: mean_interval(rng.exponential(size=500)), 1.0),
        "mean per class": (_by_class, float(CHANCES.mean())),
        "paired": (_paired, 0.06),
        "clustered": (_clustered, 0.7 * 0.9 + 0.3 * 0.1),
        "calibration error": (_calibration, 0.15),
    }
    return {name: _coverage(make, truth, tries) for name, (make, truth) in cases.items()}


def _coverage(make: Drawn, truth: float, tries: int) -> float:
    found = (make(np.random.default_rng(seed)) for seed in range(tries))
    return float(np.mean([low <= truth <= high for low, high in found]))


def _by_class(rng: np.random.Generator) -> Interval:
    labels = rng.integers(0, 4, 600)
    return bootstrap_interval(rng.random(600) < CHANCES[labels], labels, draws=400)


def _paired(rng: np.random.Generator) -> Interval:
    signs = rng.choice([1, -1, 0], size=500, p=[0.12, 0.06, 0.82])
    return paired_interval(signs, np.zeros(500, dtype=np.int64), draws=400)


def _clustered(rng: np.random.Generator) -> Interval:
    """Four crops of each of 200 photographs, which mostly fare alike."""
    hits = np.repeat(rng.random(200) < 0.7, 4) ^ (rng.random(800) < 0.1)
    return clustered_interval(np.repeat(np.arange(200), 4), clustered_mean(hits.astype(np.float64)), draws=400)


def _calibration(rng: np.random.Generator) -> Interval:
    """Confidence is 0.15 too high in three bins."""
    confidences = rng.choice([0.35, 0.62, 0.9], size=800)
    return calibration_interval(confidences, rng.random(800) < confidences - 0.15, draws=400)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=4000)
    for kind, share in simulate(parser.parse_args().tries).items():
        sys.stdout.write(f"{kind}: {share:.3f}\n")
