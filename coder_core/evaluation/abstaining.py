"""When to say "none of these": a smallest probability, chosen on labelled images that are not under test."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

__all__ = ["Cutoff", "choose_cutoff"]


class Cutoff(NamedTuple):
    """A smallest probability.

    Args:
        threshold: Answers below it are not given.
        precision: Share of the answers that are given that are right.
        kept: Images that are answered.
        images: Images that it was chosen on.
    """

    threshold: float
    precision: float
    kept: int
    images: int


def choose_cutoff(
    probabilities: Float[np.ndarray, " images"], is_right: Bool[np.ndarray, " images"], *, precision: float
) -> Cutoff | None:
    """Choose the smallest probability from which on answers are right often enough.

    Images of one probability are kept or left out together. An image of no class at all is not among the labelled ones:
    what is chosen keeps doubtful answers back, and that is all it can promise.

    Args:
        probabilities: Of each image's answer, 0..1.
        is_right: Whether that is its label.
        precision: Share of the kept answers that must be right, 0..1.

    Returns:
        None where no cut gives that precision.
    """
    order = np.argsort(-probabilities, kind="stable")
    sorted_probabilities, right = probabilities[order], np.cumsum(is_right[order])
    kept = np.arange(1, len(order) + 1)
    ends = np.append(sorted_probabilities[1:] != sorted_probabilities[:-1], True) if len(order) else kept[:0]
    good = np.flatnonzero((right >= precision * kept) & ends)
    if not len(good):
        return None
    last = int(good[-1])
    share = float(right[last] / kept[last])
    return Cutoff(float(sorted_probabilities[last]), share, int(kept[last]), len(order))
