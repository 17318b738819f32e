"""95 % confidence intervals of a share of images: Wilson's."""

import math
from typing import NamedTuple

__all__ = ["CONFIDENCE", "NORMAL_QUANTILE", "Interval", "interval_of", "student_quantile", "wilson_interval"]

CONFIDENCE = 0.95

NORMAL_QUANTILE = 1.959963984540054
"""Of the standard normal distribution at (1 + CONFIDENCE) / 2. Written out, because `scipy.special` costs every command
0.1 s of loading; a test compares it with `scipy.special.ndtri`."""

NO_WIDTH = 1e-12
"""What rounding may leave between the ends of an interval that has no width."""

AS_GOOD_AS_NORMAL = 1e6
"""Degrees of freedom from which on Student's quantile is the normal one, to six digits."""


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
    """An interval from its ends; None where it has no width: that nothing differs says nothing about chance."""
    return Interval(float(low), float(high)) if high - low > NO_WIDTH else None


def student_quantile(freedom: float) -> float:
    """The quantile of Student's t distribution at (1 + CONFIDENCE) / 2.

    Args:
        freedom: Degrees of freedom, above 0; need not be whole, may be infinite.
    """
    if freedom >= AS_GOOD_AS_NORMAL:
        return NORMAL_QUANTILE
    from scipy.special import stdtrit  # here: it costs every command 0.1 s of loading

    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2))
