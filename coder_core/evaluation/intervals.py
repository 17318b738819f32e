"""95 % confidence intervals: Wilson's for a proportion, a seeded bootstrap for mean per-class accuracy."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

__all__ = ["Interval", "bootstrap_interval", "wilson_interval"]

CONFIDENCE = 0.95
BOOTSTRAP_DRAWS = 1000
BOOTSTRAP_SEED = 0
"""Any fixed number: the interval must not change from run to run."""


class Interval(NamedTuple):
    """A 95 % confidence interval."""

    low: float
    high: float


def wilson_interval(hits: int, n: int) -> Interval:
    """Compute Wilson's score interval of a proportion, without continuity correction.

    Source: E. B. Wilson, JASA 22, 1927: the proportions that a normal test would not reject. Written out, because
    `scipy.stats` costs every command 0.7 s of loading; a test compares it with `scipy.stats.binomtest`.

    Args:
        hits: Successes, 0 to n.
        n: Trials, at least 1.
    """
    z = float(ndtri((1 + CONFIDENCE) / 2))
    centre = (hits + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * math.sqrt(hits * (n - hits) / n + z * z / 4)
    return Interval(0.0 if hits == 0 else centre - half, 1.0 if hits == n else centre + half)


def bootstrap_interval(
    is_correct: NDArray[np.bool_],
    label_ids: NDArray[np.int64],
    *,
    draws: int = BOOTSTRAP_DRAWS,
    seed: int = BOOTSTRAP_SEED,
) -> Interval:
    """Compute the percentile bootstrap interval, over images, of the mean per-class accuracy.

    To draw n images with replacement is to draw the number of right and wrong images of every class from one
    multinomial: the same distribution, without draws x images in memory. A class that a draw misses is left out of
    that draw's mean, as a class without images is left out of the metric.

    Args:
        is_correct: `(images,)` whether the best class is the true one; at least one image.
        label_ids: `(images,)` true classes, at least 0.
        draws: Bootstrap samples.
        seed: Same seed, same interval.
    """
    cells, counts = np.unique(2 * label_ids + is_correct, return_counts=True)  # ascending: class, then wrong, right
    drawn = np.random.default_rng(seed).multinomial(len(label_ids), counts / len(label_ids), size=draws)
    _, class_starts = np.unique(cells // 2, return_index=True)
    sizes = np.add.reduceat(drawn, class_starts, axis=1)
    hits = np.add.reduceat(drawn * (cells % 2), class_starts, axis=1)
    recalls = hits / np.maximum(sizes, 1)
    means = recalls.sum(axis=1) / (sizes > 0).sum(axis=1)
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(float(low), float(high))
