"""How far chance moves a mean: over images, over classes that count alike, over groups of images.

A number over a data set is a mean of classes' means (of one class, where every image counts alike). Its variance is
that of images within their classes: the classes are what is asked about and no sample. Every class's own mean is
estimated, too, which costs it one image of its evidence (`n - 1`); small classes are where this is felt.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float64, Int, Int64

from coder_core.loops import each

__all__ = ["Groups", "Spread", "measure_spread"]

ROWS_AT_ONCE = 262_144
"""Images whose residuals are in memory at a time: those of ten million, with all that leads to them, take 600 MB."""

Groups = Int64[np.ndarray, " images"]
Strata = Int64[np.ndarray, " images"]
Values = Float[np.ndarray, " images"] | Int[np.ndarray, " images"] | Bool[np.ndarray, " images"]


class Spread(NamedTuple):
    """A mean and what chance does to it.

    Args:
        mean: The mean over classes of their means over images.
        variance: Of that mean; 0 where all units of every class are alike.
        third: Its third central moment: which side the long tail is on.
        units: Images (or groups) that would give such a mean as one class: 1 / sum of 1 / n, times the classes squared.
        freedom: Degrees of freedom of the variance (Satterthwaite), at least 1; infinite where the variance is 0.
        strata: Classes.
    """

    mean: float
    variance: float
    third: float
    units: float
    freedom: float
    strata: int


def measure_spread(
    values: Values,
    strata: Strata | None = None,
    groups: Groups | None = None,
) -> Spread:
    """Measure the mean of classes' means, and its variance over images or groups.

    Classes with a single unit say nothing about their own variance. They are taken together as if they were one class
    ("collapsed strata": Cochran, Sampling Techniques, section 5A.12), which errs on the wide side; a class that is
    alone in this is set beside the mean of all.

    Args:
        values: `(images,)` what is averaged; at least one.
        strata: `(images,)` classes that count alike; None for one.
        groups: `(images,)` what is drawn as a whole; None where every image stands alone.
    """
    if groups is None:
        return _spread_of_images(values, strata)
    numbers = values.astype(np.float64)
    stratum_of = _numbered(np.zeros(len(numbers), dtype=np.int64) if strata is None else strata)
    unit_of = _numbered(groups)
    sizes = np.bincount(stratum_of)
    means = np.bincount(stratum_of, weights=numbers) / sizes
    units = np.bincount(_stratum_of_pairs(stratum_of, unit_of), minlength=len(sizes))
    centres, factors = _centres(means, units)
    residuals = (numbers - centres[stratum_of]) * np.sqrt(factors[stratum_of]) / (len(sizes) * sizes[stratum_of])
    totals = np.bincount(unit_of, weights=residuals)
    variance = float((totals**2).sum())
    return Spread(
        mean=float(means.mean()),
        variance=variance,
        third=float((totals**3).sum()),
        units=float(len(sizes) ** 2 / (1 / units).sum()),
        freedom=_freedom(totals, unit_of, stratum_of, units),
        strata=len(sizes),
    )


def _spread_of_images(values: Values, strata: Strata | None) -> Spread:
    """As `measure_spread` where every image stands alone: block by block, for a data set may have ten million."""
    classes = _Classes(len(values), strata)
    sizes = classes.sizes
    means = _sums_by_class(values, classes) / sizes
    centres, factors = _centres(means, sizes)
    roots, divisors = np.sqrt(factors), len(sizes) * sizes
    slots = np.where(sizes == 1, -1, np.arange(len(sizes))) + 1
    parts = np.zeros(int(slots.max()) + 1)

    def powers_of(start: int, stop: int) -> Float64[np.ndarray, "2 some"]:
        own = classes.of(start, stop)
        residuals = (values[start:stop].astype(np.float64) - centres[own]) * roots[own] / divisors[own]
        squares = residuals**2
        np.add.at(parts, slots[own], squares)
        return np.stack([squares, residuals**3])

    variance, third = pairwise_sums(powers_of, 0, len(values)).tolist()
    return Spread(
        mean=float(means.mean()),
        variance=variance,
        third=third,
        units=float(len(sizes) ** 2 / (1 / sizes).sum()),
        freedom=_satterthwaite(parts, np.bincount(slots, weights=sizes).astype(np.int64)),
        strata=len(sizes),
    )


class _Classes:
    """Which class each image is of: those that have images, numbered from 0.

    Args:
        count: Number of images.
        strata: Their classes; None for one.
    """

    def __init__(self, count: int, strata: Strata | None) -> None:
        self._strata = strata
        counts = np.array([count]) if strata is None else np.bincount(strata)
        self._number_of = np.cumsum(counts > 0) - 1
        self.sizes: Int64[np.ndarray, " strata"] = counts[counts > 0]

    def of(self, start: int, stop: int) -> Int64[np.ndarray, " some"]:
        """The classes of some images."""
        if self._strata is None:
            return np.zeros(stop - start, dtype=np.int64)
        return np.asarray(self._number_of[self._strata[start:stop]], dtype=np.int64)


def _sums_by_class(values: Values, classes: _Classes) -> Float64[np.ndarray, " strata"]:
    sums = np.zeros(len(classes.sizes))
    for start in each(range(0, len(values), ROWS_AT_ONCE)):
        stop = min(start + ROWS_AT_ONCE, len(values))
        np.add.at(sums, classes.of(start, stop), values[start:stop].astype(np.float64))
    return sums


def pairwise_sums(
    rows_of: Callable[[int, int], Float64[np.ndarray, "sums some"]], start: int, stop: int
) -> Float64[np.ndarray, " sums"]:
    """Add up columns that are never in memory as a whole, in the order in which numpy adds up one that is.

    Args:
        rows_of: The values from one place to another; asked for from the first on, each once.
        start: The first place.
        stop: The place after the last.
    """
    if stop - start <= ROWS_AT_ONCE:
        return np.asarray([column.sum() for column in rows_of(start, stop)], dtype=np.float64)
    half = (stop - start) // 2
    middle = start + half - half % 8
    sums: Float64[np.ndarray, " sums"] = pairwise_sums(rows_of, start, middle)
    sums += pairwise_sums(rows_of, middle, stop)
    return sums


def _numbered(ids: Int64[np.ndarray, " images"]) -> Int64[np.ndarray, " images"]:
    """The same ids without gaps, from 0; without sorting, for a data set may have a million images."""
    return np.asarray((np.cumsum(np.bincount(ids) > 0) - 1)[ids], dtype=np.int64)


def _stratum_of_pairs(stratum_of: Strata, unit_of: Groups) -> Int64[np.ndarray, " pairs"]:
    """The class of every pair of a class and a unit that has images in it."""
    count = int(unit_of.max()) + 1
    return np.asarray(np.unique(stratum_of * count + unit_of) // count, dtype=np.int64)


def _centres(
    means: Float64[np.ndarray, " strata"], units: Int64[np.ndarray, " strata"]
) -> tuple[Float64[np.ndarray, " strata"], Float64[np.ndarray, " strata"]]:
    """What the values of each class are measured from, and the factor that undoes its having been estimated."""
    lonely = units == 1
    count = int(lonely.sum())
    centre = means[lonely].mean() if count > 1 else means.mean()
    factors = np.where(lonely, count / max(1, count - 1), units / np.maximum(1, units - 1))
    return np.where(lonely, centre, means), factors


def _freedom(
    totals: Float64[np.ndarray, " units"], unit_of: Groups, stratum_of: Strata, units: Int64[np.ndarray, " strata"]
) -> float:
    """Satterthwaite's degrees of freedom; a unit counts for the class of its last image."""
    last = np.empty(len(totals), dtype=np.int64)
    last[unit_of] = np.where(units == 1, -1, np.arange(len(units)))[stratum_of] + 1
    return _satterthwaite(np.bincount(last, weights=totals**2), np.bincount(last))


def _satterthwaite(parts: Float64[np.ndarray, " strata"], counts: Int64[np.ndarray, " strata"]) -> float:
    freedoms = np.maximum(1, counts - 1)
    squares = float((parts**2 / freedoms).sum())
    return max(1.0, float(parts.sum()) ** 2 / squares) if squares > 0 else float("inf")
