"""95 % confidence intervals: Wilson's for a proportion, a seeded bootstrap for mean per-class accuracy."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int64

from coder_core.loops import each

__all__ = [
    "NORMAL_QUANTILE",
    "Interval",
    "bootstrap_interval",
    "count_in_groups",
    "interval_of",
    "redraw",
    "redraw_within",
    "wilson_interval",
]

CONFIDENCE = 0.95

NORMAL_QUANTILE = 1.959963984540054
"""Of the standard normal distribution at (1 + CONFIDENCE) / 2. Written out, because `scipy.special` costs every command
0.1 s of loading; a test compares it with `scipy.special.ndtri`."""

BOOTSTRAP_DRAWS = 1000
BOOTSTRAP_SEED = 0
"""Any fixed number: the interval must not change from run to run."""

DRAWS_AT_ONCE = 100
"""Draws between two looks at the clock: a tenth of a second with 10,000 classes."""
CELLS_AT_ONCE = 2_000_000
"""Counts in memory at a time: 16 MB."""
NO_WIDTH = 1e-12
"""What rounding may leave between the ends of an interval that has no width."""

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


def interval_of(low: float, high: float) -> Interval | None:
    """An interval from its ends; None where it has no width: that no draw differs says nothing about chance."""
    return Interval(float(low), float(high)) if high - low > NO_WIDTH else None


def bootstrap_interval(
    is_correct: Bool[np.ndarray, " images"],
    label_ids: Int64[np.ndarray, " images"],
    *,
    draws: int = BOOTSTRAP_DRAWS,
    seed: int = BOOTSTRAP_SEED,
) -> Interval | None:
    """Compute the percentile bootstrap interval, over images within classes, of the mean per-class accuracy.

    Each class keeps its number of images; to draw them with replacement is to draw how many of them are right, from one
    binomial: the same distribution, without draws x images in memory.

    Args:
        is_correct: `(images,)` whether the best class is the true one; at least one image.
        label_ids: `(images,)` true classes, at least 0.
        draws: Bootstrap samples.
        seed: Same seed, same interval.

    Returns:
        None where every class is all right or all wrong: redrawing its images gives the same again.
    """
    counts = count_in_groups(is_correct.astype(np.int64), label_ids, values=2)

    def mean_recalls(drawn: Int64[np.ndarray, "draws classes 2"]) -> Float64[np.ndarray, " draws"]:
        return np.asarray((drawn[:, :, 1] / drawn.sum(axis=2)).mean(axis=1), dtype=np.float64)

    return interval_of(*np.quantile(redraw_within(counts, mean_recalls, draws=draws, seed=seed), TAILS))


def count_in_groups(
    cells: Int64[np.ndarray, " images"], groups: Int64[np.ndarray, " images"], *, values: int
) -> Int64[np.ndarray, "groups values"]:
    """Count the images of each group in each cell; groups without images are left out.

    Args:
        cells: `(images,)` in 0..values - 1.
        groups: `(images,)` at least 0.
        values: Cells.
    """
    flat = np.bincount(values * groups + cells, minlength=values * (int(groups.max(initial=-1)) + 1))
    counts = flat.reshape(-1, values).astype(np.int64)
    return counts[counts.any(axis=1)]


def redraw_within(
    counts: Int64[np.ndarray, "groups values"],
    statistic: Callable[[Int64[np.ndarray, "some groups values"]], Float64[np.ndarray, " some"]],
    *,
    draws: int = BOOTSTRAP_DRAWS,
    seed: int = BOOTSTRAP_SEED,
) -> Float64[np.ndarray, " draws"]:
    """Draw the images of every group with replacement, again and again, and compute a statistic of each draw.

    Args:
        counts: Images of each group in each cell; at least one in every group.
        statistic: Makes `(draws,)` values of `(draws, groups, values)` counts that were drawn.
        draws: Bootstrap samples, at least 1.
        seed: Same seed, same draws.

    Returns:
        `(draws,)` values, made some at a time: `DRAWS_AT_ONCE`, or fewer where there are many groups.
    """
    rng, sizes = np.random.default_rng(seed), counts.sum(axis=1)
    at_once = max(1, min(DRAWS_AT_ONCE, CELLS_AT_ONCE // counts.size))
    shares = counts / sizes[:, None]
    return np.concatenate(
        [
            statistic(rng.multinomial(sizes, shares, size=(min(at_once, draws - start), len(sizes))))
            for start in each(range(0, draws, at_once))
        ]
    )


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
