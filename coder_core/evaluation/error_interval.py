"""The interval of the expected calibration error, which is no mean: chance alone makes an absolute value larger.

A model whose probabilities are true shows an error all the same, the larger the fewer images a bin has. So the interval
asks of every error in question how large an error one would then find: bin by bin, what is missing between accuracy
and confidence is taken for as much smaller (or larger) as likelihood allows for that error, and chance is put on top.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float, Float64, Int

from coder_core.evaluation.intervals import CONFIDENCE, Interval, interval_of
from coder_core.evaluation.spread import Groups
from coder_core.loops import each

__all__ = ["error_interval", "gaps_of_bins"]

DRAWS = 2000
"""Of chance: the quantile at 2.5 % is known to 0.35 %."""
SEED = 0
"""Any fixed number: the interval must not change from run to run."""
ROWS_AT_ONCE = 262_144
"""Images that are looked at at a time: what is needed meanwhile stays in the cache."""
HALVINGS = 30
"""Of the range of the pull: 1e-9 of it."""
TAIL = (1 - CONFIDENCE) / 2

Bins = Float64[np.ndarray, " bins"]


def error_interval(
    confidences: Float[np.ndarray, " images"],
    is_correct: Bool[np.ndarray, " images"],
    bins: Int[np.ndarray, " images"],
    groups: Groups | None = None,
) -> Interval | None:
    """Compute the interval of an expected calibration error, by inverting a test of every possible error.

    Args:
        confidences: `(images,)` probability of the predicted class.
        is_correct: `(images,)` whether that class is the true one.
        bins: `(images,)` numbers of the images' bins.
        groups: `(images,)` what is drawn as a whole; None where every image stands alone.

    Returns:
        Within [0, 1] and around the error found. Its lower end is 0 where true probabilities would show as much; None
        where no image differs from what was said of it by chance, as a single image cannot.
    """
    found, covariance = _gaps(confidences, is_correct, bins, groups)
    scales = np.diag(covariance).copy()
    if not scales.max(initial=0.0) > 0:
        return None
    chance = _chance(covariance)
    error = float(np.abs(found).sum())

    def share_above(pull: float) -> float:
        """How often one finds at least this error where the gaps are pulled towards 0 (or away from it)."""
        return float((np.abs(_pulled(found, scales, pull) + chance).sum(axis=1) >= error).mean())

    widest = float((np.abs(found) / np.maximum(scales, np.finfo(np.float64).tiny)).max())
    high = _last(lambda pull: share_above(-pull) < 1 - TAIL, up_to=1 / float(scales.max()))
    low = _last(lambda pull: share_above(pull) > TAIL, up_to=widest)
    ends = [float(np.abs(_pulled(found, scales, pull)).sum()) for pull in (low, -high)]
    return interval_of(0.0 if low == widest else min(ends[0], error), min(1.0, max(ends[1], error)))


def gaps_of_bins(
    confidences: Float[np.ndarray, " images"], is_correct: Bool[np.ndarray, " images"], bins: Int[np.ndarray, " images"]
) -> tuple[Bins, Bins]:
    """What is missing between accuracy and confidence in every bin, added up over its images; and its squares.

    Args:
        confidences: Probability of each image's predicted class, 0..1.
        is_correct: Whether that class is the true one.
        bins: In which bin each image is, from 0; at least one image.

    Returns:
        Bins up to the highest that has an image; those without one have zeros.
    """
    count = int(bins.max()) + 1
    sums, squares = np.zeros(count), np.zeros(count)
    for start in each(range(0, len(bins), ROWS_AT_ONCE)):
        rows = slice(start, start + ROWS_AT_ONCE)
        excess, own = is_correct[rows] - confidences[rows].astype(np.float64), bins[rows].astype(np.int64)
        np.add.at(sums, own, excess)
        np.add.at(squares, own, excess**2)
    return sums, squares


def _gaps(
    confidences: Float[np.ndarray, " images"],
    is_correct: Bool[np.ndarray, " images"],
    bins: Int[np.ndarray, " images"],
    groups: Groups | None,
) -> tuple[Bins, Float64[np.ndarray, "bins bins"]]:
    """What every bin adds to the error, with its sign, and what chance does to it."""
    is_there, n = np.bincount(bins) > 0, len(bins)
    sums, squares = (column[is_there] for column in gaps_of_bins(confidences, is_correct, bins))
    found = sums / n
    if groups is None:
        return found, np.diag(squares / n**2) - np.outer(found, found) / n
    number_of, count, units = (np.cumsum(is_there) - 1)[bins], len(found), int(groups.max()) + 1
    excess = is_correct - confidences.astype(np.float64)
    totals = np.bincount(groups * count + number_of, weights=excess, minlength=units * count).reshape(units, count) / n
    centred = totals - totals.mean(axis=0)
    return found, centred.T @ centred * (units / max(1, units - 1))


def _chance(covariance: Float64[np.ndarray, "bins bins"]) -> Float64[np.ndarray, "draws bins"]:
    values, vectors = np.linalg.eigh(covariance)
    drawn = np.random.default_rng(SEED).standard_normal((DRAWS, len(values)))
    return np.asarray(drawn * np.sqrt(np.maximum(values, 0)) @ vectors.T, dtype=np.float64)


def _pulled(found: Bins, scales: Bins, pull: float) -> Bins:
    """The most likely gaps among those with a given sum: each moves by its variance times the pull, and stops at 0."""
    return np.asarray(np.sign(found) * np.maximum(np.abs(found) - pull * scales, 0), dtype=np.float64)


def _last(is_possible: Callable[[float], bool], *, up_to: float) -> float:
    """The largest pull that the images do not speak against; 0 where even that is too much."""
    if is_possible(up_to):
        return up_to
    possible, impossible = 0.0, up_to
    for _ in each(range(HALVINGS)):
        middle = (possible + impossible) / 2
        possible, impossible = (middle, impossible) if is_possible(middle) else (possible, middle)
    return possible
