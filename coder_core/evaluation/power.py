"""What a data set of some size can show, before anything is spent on it."""

import math

from coder_core.evaluation.intervals import NORMAL_QUANTILE

__all__ = ["DISAGREEMENT", "smallest_difference"]

DISAGREEMENT = 0.1
"""Share of images that only one of two methods gets right: of CODER and CLIP on the demonstration 0.1, of methods that
have more in common less."""

POWER_QUANTILE = 0.8416212335729143
"""Of the standard normal distribution at 0.8, the chance to find a difference that is there."""


def smallest_difference(n: int, *, disagreement: float = DISAGREEMENT) -> float:
    """Compute the smallest difference of two accuracies that a paired test finds four times in five.

    McNemar's test at the 5 % level, in the normal approximation: with a share d of images that only one method gets
    right, the difference D is found with power 80 % where `D sqrt(n) = z_0.975 sqrt(d) + z_0.8 sqrt(d - D^2)`
    (R. Connor, Biometrics 43, 1987). Without correction for several methods.

    Args:
        n: Images, at least 1.
        disagreement: d, in (0, 1].

    Returns:
        In (0, d]: a difference cannot be larger than the share of images that differ; d where n is too small for any.
    """
    low, high = 0.0, disagreement
    for _ in range(60):
        middle = (low + high) / 2
        needed = NORMAL_QUANTILE * math.sqrt(disagreement) + POWER_QUANTILE * math.sqrt(disagreement - middle**2)
        low, high = (middle, high) if middle * math.sqrt(n) < needed else (low, middle)
    return high
