"""Intervals and p-values where images come in groups: crops of one photograph, frames of one film, one patient's scans.

Such images are no independent draws: ten crops of a photograph that a method gets right are hardly more evidence than
one. What is independent are the groups, so they are redrawn as wholes (the cluster bootstrap: Davison & Hinkley,
Bootstrap Methods and their Application, 1997, section 3.8), and a p-value comes from flipping the sign of whole groups
(a randomisation test: under the hypothesis that two methods are alike, either may have had the other's images).
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Float64, Int, Int64

from coder_core.evaluation.intervals import BOOTSTRAP_DRAWS, BOOTSTRAP_SEED, TAILS, Interval, interval_of
from coder_core.loops import each

__all__ = [
    "Groups",
    "clustered_interval",
    "clustered_mean",
    "clustered_mean_of_classes",
    "group_numbers",
    "redraw_groups",
    "sign_flip_p",
]

VALUES_AT_ONCE = 4_000_000
"""Weights of images in work per step (32 MiB): bounds the memory whatever the number of images."""

FLIPS = 10_000
"""Random sign flips: a p-value of 0.05 is known to 0.002."""

Groups = Int64[np.ndarray, " images"]
Weights = Float64[np.ndarray, "some images"]
Statistic = Callable[[Weights], Float64[np.ndarray, " some"]]


def group_numbers(names: list[str]) -> Groups:
    """Number the groups: equal names, equal numbers, from 0."""
    return np.unique(np.array(names, dtype=object).astype(str), return_inverse=True)[1].astype(np.int64).reshape(-1)


def clustered_interval(
    groups: Groups, statistic: Statistic, *, draws: int = BOOTSTRAP_DRAWS, seed: int = BOOTSTRAP_SEED
) -> Interval | None:
    """Compute the percentile bootstrap interval, over groups, of a statistic of weighted images.

    Args:
        groups: `(images,)` numbers of the images' groups, from 0.
        statistic: Makes `(some,)` values of `(some, images)` weights, how often each image was drawn.
        draws: Bootstrap samples.
        seed: Same seed, same interval.

    Returns:
        None where it has no width: that no draw differs says nothing about chance.
    """
    values = redraw_groups(groups, statistic, draws=draws, seed=seed)
    return interval_of(*np.quantile(values, TAILS))


def clustered_mean(values: Float[np.ndarray, " images"]) -> Statistic:
    """The mean over images, as a statistic of their weights."""

    def mean(weights: Weights) -> Float64[np.ndarray, " some"]:
        return np.asarray((weights @ values.astype(np.float64)) / weights.sum(axis=1), dtype=np.float64)

    return mean


def clustered_mean_of_classes(
    values: Float[np.ndarray, " images"], label_ids: Int64[np.ndarray, " images"]
) -> Statistic:
    """The mean over classes of their means over images; a class that a draw misses is left out of that draw's mean."""
    order = np.argsort(label_ids, kind="stable")
    starts = np.unique(label_ids[order], return_index=True)[1]
    ordered = values.astype(np.float64)[order]

    def mean(weights: Weights) -> Float64[np.ndarray, " some"]:
        drawn = weights[:, order]
        sizes = np.add.reduceat(drawn, starts, axis=1)
        sums = np.add.reduceat(drawn * ordered, starts, axis=1)
        return np.asarray((sums / np.maximum(sizes, 1)).sum(axis=1) / (sizes > 0).sum(axis=1), dtype=np.float64)

    return mean


def sign_flip_p(
    signs: Int[np.ndarray, " images"], groups: Groups, *, flips: int = FLIPS, seed: int = BOOTSTRAP_SEED
) -> float:
    """Compute the two-sided p of "no method is better" by flipping whole groups.

    Args:
        signs: `(images,)`: 1 gained, -1 lost, 0 neither.
        groups: `(images,)` numbers of their groups.
        flips: Random flips; the observed one counts as a further one, so that no p is 0.
        seed: Same seed, same p.

    Returns:
        In [1 / (flips + 1), 1].
    """
    nets = np.bincount(groups, weights=signs)
    nets = nets[nets != 0]
    observed = abs(nets.sum())
    rng, beyond = np.random.default_rng(seed), 0
    step = max(1, VALUES_AT_ONCE // max(1, len(nets)))
    for start in each(range(0, flips, step)):
        drawn = rng.integers(0, 2, size=(min(step, flips - start), len(nets))) * 2 - 1
        beyond += int((np.abs(drawn @ nets) >= observed - 1e-9).sum())
    return (beyond + 1) / (flips + 1)


def redraw_groups(
    groups: Groups, statistic: Statistic, *, draws: int = BOOTSTRAP_DRAWS, seed: int = BOOTSTRAP_SEED
) -> Float64[np.ndarray, " draws"]:
    """Draw groups with replacement, again and again, and compute a statistic of each draw; see `clustered_interval`."""
    count = int(groups.max()) + 1
    rng = np.random.default_rng(seed)
    step = max(1, VALUES_AT_ONCE // len(groups))
    found = []
    for start in each(range(0, draws, step)):
        drawn = rng.multinomial(count, np.full(count, 1 / count), size=min(step, draws - start))
        found.append(statistic(drawn[:, groups].astype(np.float64)))
    return np.concatenate(found)
