"""How often every 95 % interval holds the truth, on data sets that are drawn with a known one.

python -m bench.coverage --tries 8000        # a standard error of 0.24 points; some minutes

A count takes whole numbers only, so at any one truth the coverage swings about 95 % with the size of the data set. What
is counted here is the coverage over truths that lie around the one that is named, another in every data set.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from coder_core.evaluation.calibration import calibration_interval, loss_interval
from coder_core.evaluation.comparisons import difference_of_signs
from coder_core.evaluation.intervals import Interval, wilson_interval
from coder_core.evaluation.score_intervals import share_interval
from coder_core.evaluation.spread import measure_spread

Drawn = tuple[Interval | None, float]
"""An interval, and the truth that it should hold."""

CROPS = 4
"""Images of every group."""
DIFFERENT = 0.1
"""Share of crops that fare unlike the others of their photograph."""


class Case(NamedTuple):
    """One kind of interval on one kind of data set."""

    interval: str
    data: str
    draw: Callable[[Generator], Drawn]


def cases() -> Iterator[Case]:
    """Every interval of the result tables, on small and large, even and skewed data sets."""
    for n, low, high in ((20, 0.2, 0.9), (100, 0.5, 0.95), (1300, 0.85, 0.95), (50_000, 0.6, 0.7)):
        yield Case("top-1", f"{n} images, {low:.0%} to {high:.0%}", _share(n, low, high))
    for name, sizes, chances in data_sets():
        yield Case("mean per class", name, _by_class(sizes, chances))
    for n, gained, lost in (
        (15, 0.2, 0.03),
        (40, 0.2, 0.1),
        (500, 0.12, 0.06),
        (1300, 0.006, 0.004),
        (1692, 0.15, 0.05),
    ):
        yield Case("difference", f"{n} images, {gained:.1%} gained, {lost:.1%} lost", _paired(n, gained, lost))
    for name, sizes, chances in data_sets():
        yield Case("difference of means per class", name, _paired_by_class(sizes, chances))
    for n, shape in ((30, 1.0), (100, 0.5), (1300, 0.3)):
        yield Case("log-likelihood", f"{n} images, gamma of shape {shape}", _loss(n, shape))
    for n, over in ((300, 0.0), (1300, 0.0), (300, 0.1), (1300, 0.03), (1300, 0.15), (5000, 0.05)):
        yield Case("calibration error", f"{n} images, {over:.0%} too sure", _calibration(n, over))
    for groups in (15, 200):
        data = f"{groups} photographs x {CROPS} crops"
        yield Case("top-1, grouped", data, _grouped_share(groups))
        yield Case("mean per class, grouped", f"{data}, 4 classes", _grouped_by_class(groups))
        yield Case("difference, grouped", data, _grouped_difference(groups))
        yield Case("log-likelihood, grouped", data, _grouped_loss(groups))
        yield Case("calibration error, grouped", f"{data}, 10% too sure", _grouped_calibration(groups))


def data_sets() -> Iterator[tuple[str, NDArray[np.int64], Callable[[Generator], NDArray[np.float64]]]]:
    """Class sizes, and how classes' chances of being right are drawn."""
    yield "4 classes x 150 images, 50 to 90%", np.full(4, 150), lambda rng: rng.uniform(0.5, 0.9, 4)
    yield "10 classes x 5, 40 to 95%", np.full(10, 5), lambda rng: rng.uniform(0.4, 0.95, 10)
    yield "5 classes x 3, 40 to 95%", np.full(5, 3), lambda rng: rng.uniform(0.4, 0.95, 5)
    yield "47 classes x 36, 0 to 100%", np.full(47, 36), lambda rng: rng.uniform(0, 1, 47)
    yield "65 classes x 20, half near 100%", np.full(65, 20), lambda rng: rng.beta(2, 0.2, 65)
    yield "397 classes x 10, 30 to 95%", np.full(397, 10), lambda rng: rng.uniform(0.3, 0.95, 397)
    yield "500 classes x 2, near 98%", np.full(500, 2), lambda rng: rng.beta(50, 1, 500)
    yield "1000 classes x 1, 50 to 90%", np.full(1000, 1), lambda rng: rng.uniform(0.5, 0.9, 1000)
    sizes = np.maximum(1, 300 // np.arange(1, 101))
    yield "100 classes of 300 to 3, rare ones worse", sizes, lambda rng: rng.beta(4, 1, 100) * (sizes / 300) ** 0.1
    yield "3 classes of 200, 20 and 3, 50 to 95%", np.array([200, 20, 3]), lambda rng: rng.uniform(0.5, 0.95, 3)


def _share(n: int, low: float, high: float) -> Callable[[Generator], Drawn]:
    def draw(rng: Generator) -> Drawn:
        truth = rng.uniform(low, high)
        return wilson_interval(int(rng.binomial(n, truth)), n), truth

    return draw


def _by_class(sizes: NDArray[np.int64], chances: Callable[[Generator], NDArray[np.float64]]) -> Callable[..., Drawn]:
    labels = np.repeat(np.arange(len(sizes)), sizes)

    def draw(rng: Generator) -> Drawn:
        own = chances(rng)
        hits = rng.random(len(labels)) < own[labels]
        return share_interval(measure_spread(hits.astype(np.int64), labels)), float(own.mean())

    return draw


def _paired(n: int, gained: float, lost: float) -> Callable[[Generator], Drawn]:
    def draw(rng: Generator) -> Drawn:
        shares = np.array([gained, lost]) * rng.uniform(0.7, 1.3, 2)
        signs = _signs(rng.random(n), shares[0], shares[1])
        return difference_of_signs(signs, None, None), float(shares[0] - shares[1])

    return draw


def _paired_by_class(
    sizes: NDArray[np.int64], chances: Callable[[Generator], NDArray[np.float64]]
) -> Callable[..., Drawn]:
    """The other method is right with a chance that moves a little class by class, mostly about the same images."""
    labels = np.repeat(np.arange(len(sizes)), sizes)

    def draw(rng: Generator) -> Drawn:
        own = chances(rng)
        gained, lost = 0.4 * (1 - own), own * rng.uniform(0, 0.1, len(own))
        signs = _signs(rng.random(len(labels)), gained[labels], lost[labels])
        return difference_of_signs(signs, labels, None), float((gained - lost).mean())

    return draw


def _signs(
    drawn: NDArray[np.float64], gained: NDArray[np.float64] | float, lost: NDArray[np.float64] | float
) -> NDArray[np.int64]:
    return np.asarray((drawn < gained).astype(np.int64) - (drawn > 1 - lost), dtype=np.int64)


def _loss(n: int, shape: float) -> Callable[[Generator], Drawn]:
    return lambda rng: (loss_interval(rng.gamma(shape, size=n), None), shape)


def _calibration(n: int, over: float) -> Callable[[Generator], Drawn]:
    """Confidences as a model of ten classes has them; the truth is that of bins, whose inside is not looked at."""

    def draw(rng: Generator) -> Drawn:
        too_sure = over * rng.uniform(0.8, 1.2)
        confidences = np.round(0.3 + 0.7 * rng.beta(2, 1, n), 1) - 0.02
        return calibration_interval(confidences, rng.random(n) < confidences - too_sure), too_sure

    return draw


def _grouped(rng: Generator, chances: NDArray[np.float64]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Whether every crop of every photograph is right, and the photograph of each."""
    hits = np.repeat(rng.random(len(chances)) < chances, CROPS) ^ (rng.random(CROPS * len(chances)) < DIFFERENT)
    return hits, np.repeat(np.arange(len(chances)), CROPS)


def _of_crops(chance: float) -> float:
    return chance * (1 - DIFFERENT) + (1 - chance) * DIFFERENT


def _grouped_share(groups: int) -> Callable[[Generator], Drawn]:
    def draw(rng: Generator) -> Drawn:
        chance = rng.uniform(0.5, 0.9)
        hits, group_of = _grouped(rng, np.full(groups, chance))
        return share_interval(measure_spread(hits.astype(np.int64), groups=group_of)), _of_crops(chance)

    return draw


def _grouped_by_class(groups: int) -> Callable[[Generator], Drawn]:
    def draw(rng: Generator) -> Drawn:
        chances, labels = rng.uniform(0.4, 0.9, 4), np.arange(groups) % 4
        hits, group_of = _grouped(rng, chances[labels])
        spread = measure_spread(hits.astype(np.int64), np.repeat(labels, CROPS), group_of)
        return share_interval(spread), _of_crops(float(chances.mean()))

    return draw


def _grouped_difference(groups: int) -> Callable[[Generator], Drawn]:
    """Two methods that fare alike on most photographs."""

    def draw(rng: Generator) -> Drawn:
        gained, lost = rng.uniform(0.1, 0.3), rng.uniform(0.05, 0.15)
        signs = np.repeat(_signs(rng.random(groups), gained, lost), CROPS)
        signs = np.where(rng.random(len(signs)) < DIFFERENT, 0, signs)
        return difference_of_signs(signs, None, np.repeat(np.arange(groups), CROPS)), (gained - lost) * (1 - DIFFERENT)

    return draw


def _grouped_loss(groups: int) -> Callable[[Generator], Drawn]:
    def draw(rng: Generator) -> Drawn:
        losses = np.repeat(rng.exponential(size=groups), CROPS) + rng.exponential(size=groups * CROPS)
        return loss_interval(losses, np.repeat(np.arange(groups), CROPS)), 2.0

    return draw


def _grouped_calibration(groups: int) -> Callable[[Generator], Drawn]:
    def draw(rng: Generator) -> Drawn:
        confidences = np.repeat(rng.choice([0.4, 0.6, 0.8, 0.95], size=groups), CROPS)
        hits = np.repeat(rng.random(groups), CROPS) < confidences - 0.1
        return calibration_interval(confidences, hits, groups=np.repeat(np.arange(groups), CROPS)), 0.1

    return draw


def coverage(case: Case, tries: int) -> tuple[float, float]:
    """Share of data sets whose interval holds the truth, and the mean width."""
    held, widths = 0, []
    for seed in range(tries):
        interval, truth = case.draw(np.random.default_rng(seed))
        if interval is not None:
            held += interval.low <= truth <= interval.high
            widths.append(interval.high - interval.low)
    return held / tries, float(np.mean(widths))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=8000, help="Data sets of each kind.")
    parser.add_argument("--only", default="", help="Intervals whose name begins like this.")
    options = parser.parse_args()
    sys.stdout.write("| interval | data sets | coverage, percent | mean width, points |\n|---|---|---|---|\n")
    started = time.monotonic()
    for case in cases():
        if case.interval.startswith(options.only):
            share, width = coverage(case, options.tries)
            sys.stdout.write(f"| {case.interval} | {case.data} | {100 * share:.1f} | {100 * width:.2f} |\n")
            sys.stdout.flush()
    error = 100 * (0.95 * 0.05 / options.tries) ** 0.5
    sys.stdout.write(f"\n{options.tries} data sets a row, standard error {error:.2f} points,")
    sys.stdout.write(f" {time.monotonic() - started:.0f} s\n")


if __name__ == "__main__":
    main()
