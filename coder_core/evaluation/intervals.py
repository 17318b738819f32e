"""95 % confidence intervals: Wilson's for a proportion, a seeded bootstrap for mean per-class accuracy."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int64

from coder_core.loops import each

__all__ = ["NORMAL_QUANTILE", "Interval", "bootstrap_interval", "redraw", "wilson_interval"]

CONFIDENCE = 0.95

NORMAL_QUANTILE = 1.959963984540054
"""Of the standard normal distribution at (1 + CONFIDENCE) / 2. Written out, because `scipy.special` costs every command
0.1 s of loading; a test compares it with `scipy.special.ndtri`."""

BOOTSTRAP_DRAWS = 1000
BOOTSTRAP_SEED = 0
"""Any fixed number: the interval must not change from run to run."""

DRAWS_AT_ONCE = 100
"""Draws between two looks at the clock: a tenth of a second with 10,000 classes."""

TAILS = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)
"""The quantiles between which the confidence lies."""


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
    z = NORMAL_QUANTILE
    centre = (hits + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * math.sqrt(hits * (n - hits) / n + z * z / 4)
    return Interval(0.0 if hits == 0 else centre - half, 1.0 if hits == n else centre + half)


def bootstrap_interval(
    is_correct: Bool[np.ndarray, " images"],
    label_ids: Int64[np.ndarray, " images"],
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
    _, class_starts = np.unique(cells // 2, return_index=True)

    def mean_recalls(drawn: Int64[np.ndarray, "draws cells"]) -> Float64[np.ndarray, " draws"]:
        sizes = np.add.reduceat(drawn, class_starts, axis=1)
        hits = np.add.reduceat(drawn * (cells % 2), class_starts, axis=1)
        recalls = hits / np.maximum(sizes, 1)
        return np.asarray(recalls.sum(axis=1) / (sizes > 0).sum(axis=1), dtype=np.float64)

    low, high = np.quantile(redraw(counts, mean_recalls, draws=draws, seed=seed), TAILS)
    return Interval(float(low), float(high))


def redraw(
    counts: Int64[np.ndarray, " cells"],
    statistic: Callable[[Int64[np.ndarray, "some cells"]], Float64[np.ndarray, " some"]],
    *,
    draws: int = BOOTSTRAP_DRAWS,
    seed: int = BOOTSTRAP_SEED,
) -> Float64[np.ndarray, " draws"]:
    """Draw images with replacement, again and again, and compute a statistic of each draw.

    Args:
        counts: Images in each cell; at least one image in all.
        statistic: Makes `(draws,)` values of `(draws, cells)` counts that were drawn, row by row.
        draws: Bootstrap samples, at least 1.
        seed: Same seed, same draws.

    Returns:
        `(draws,)` values. Draws are made `DRAWS_AT_ONCE` at a time, which bounds the memory and changes no number.
    """
    rng, n = np.random.default_rng(seed), int(counts.sum())
    starts = each(range(0, draws, DRAWS_AT_ONCE))
    return np.concatenate(
        [statistic(rng.multinomial(n, counts / n, size=min(DRAWS_AT_ONCE, draws - start))) for start in starts]
    )
