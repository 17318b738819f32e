"""The calibration error that chance alone makes: what a method whose probabilities are all true would show.

An expected calibration error is a sum of absolute values, so it is never below 0 and grows as bins empty: of n images
in B bins a perfect method shows about `sqrt(2 B / (pi n) * mean of p (1 - p))`. With 15 bins and 100 images that is
some 12 points, with 10,000 images one. An error means little before it is held against that number, which is computed
here for the confidences at hand: in a bin of images whose probabilities are p, the number that are right is a sum of
independent draws, and

    by chance = 1 / n * sum over bins of E | right - sum of p |
"""

import math

import numpy as np
from jaxtyping import Float, Float64, Int64

from coder_core.loops import each

__all__ = ["error_by_chance"]

EXACT_BELOW = 25.0
"""Variance of a bin up to which its expectation is summed up exactly; beyond, the normal one is within 0.4 %."""

TAIL_DEVIATIONS = 12.0
"""Standard deviations beyond its mean up to which the rarer outcome is counted: what is left is below 1e-12."""

TAIL_IMAGES = 20
"""Images more: a sum of a few rare events has a longer tail than a normal one."""

Values = Float64[np.ndarray, " images"]


def error_by_chance(confidences: Float[np.ndarray, " images"], bins: Int64[np.ndarray, " images"]) -> float:
    """Compute the expected calibration error that true probabilities would show on average.

    Args:
        confidences: `(images,)` probability of the predicted class, in [0, 1]; at least one image.
        bins: `(images,)` numbers of the images' bins.

    Returns:
        In [0, 0.5].
    """
    numbers = np.clip(confidences.astype(np.float64), 0.0, 1.0)
    own = (numbers[bins == number] for number in np.unique(bins).tolist())
    return float(sum(_mean_deviation(found) for found in each(own)) / len(numbers))


def _mean_deviation(probabilities: Values) -> float:
    """The mean absolute deviation of a sum of independent draws of 0 or 1 from its mean."""
    variance = float((probabilities * (1 - probabilities)).sum())
    if variance > EXACT_BELOW:
        return math.sqrt(2 * variance / math.pi)
    rarer = min(probabilities, 1 - probabilities, key=lambda found: float(found.sum()))
    chances = _count_chances(rarer, variance)
    mean, counts = float(rarer.sum()), np.arange(len(chances))
    return 2 * float((np.maximum(mean - counts, 0) * chances).sum())  # what is missing below is too much above


def _count_chances(probabilities: Values, variance: float) -> Float64[np.ndarray, " counts"]:
    """How likely each number of ones is, from none on, image after image."""
    mean = float(probabilities.sum())
    longest = min(len(probabilities), math.ceil(mean + TAIL_DEVIATIONS * math.sqrt(variance)) + TAIL_IMAGES)
    chances = np.zeros(longest + 1)
    chances[0] = 1.0
    for chance in each(probabilities.tolist(), every=1024):
        grown = chances * (1 - chance)
        grown[1:] += chances[:-1] * chance
        chances = grown
    return chances
