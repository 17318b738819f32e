"""Do the labels fit the names? A few images per class, scored by the texts, tell a shuffled class list from a hard one.

    S[a, b] = mean over images labelled a of score(image, texts of b), every column centred

A permutation that maximises the sum of S (Hungarian algorithm) is chosen on one half of the images and judged on the
other, in both directions: with nothing to find it wins nothing, however many classes there are. Classes that
exchanged their names among each other (a cycle of the permutation) are judged together, and apart from all others.
Source of the assignment: Kuhn 1955; scipy's `linear_sum_assignment`.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

__all__ = ["LabelOrder", "match_labels_to_names"]

SIGNIFICANT = 0.01
"""Largest p-value of what is reported: a sign test over images on which both orders disagree (Bonferroni)."""
BEYOND_CHANCE = 0.001
"""Largest p-value of the hits of the other order against guessing (binomial, Bonferroni)."""
MOST_CLASSES = 2_000
"""More are not looked at: the assignment takes the cube of their number."""
FACTOR = 2.0
"""How many times as many images of the moved classes the other order must get right, at least."""


class LabelOrder(NamedTuple):
    """An order of names that explains the images far better than the given one.

    Args:
        names: Label id -> the label id whose name fits its images.
        images: Images looked at.
        hits_given: Images whose best name is that of their label.
        hits_found: The same under `names`, each judged by the order that the other half of the images chose.
    """

    names: tuple[int, ...]
    images: int
    hits_given: int
    hits_found: int


def match_labels_to_names(
    scores: Float[np.ndarray, "images classes"], label_ids: Int[np.ndarray, " images"]
) -> LabelOrder | None:
    """Look for an order of names that fits far better.

    Args:
        scores: Of every image for the texts of every class; higher is more likely.
        label_ids: The labels; images of a class anywhere.

    Returns:
        None where the given order is as good as any, there are too few images to tell, or more than `MOST_CLASSES`.
    """
    if scores.shape[1] > MOST_CLASSES:
        return None
    centred = scores - scores.mean(axis=0, keepdims=True)
    halves = _halves(label_ids)
    best = centred.argmax(axis=1)
    found = np.empty_like(label_ids)
    for half in (0, 1):
        order = _assign(centred[halves == half], label_ids[halves == half])
        found[halves != half] = order[label_ids[halves != half]]
    hits = _Hits(label_ids, best == label_ids, best == found, scores.shape[1])
    order = _assign(centred, label_ids)
    cycles = _cycles(order)
    kept = [cycle for cycle in cycles if hits.is_far_better(cycle, tried=len(cycles))]
    if not kept:
        return None
    names = np.arange(len(order))
    moved = np.concatenate(kept)
    names[moved] = order[moved]
    is_moved = np.isin(label_ids, moved)
    hits_found = int(np.where(is_moved, hits.found, hits.given).sum())
    return LabelOrder(tuple(names.tolist()), len(label_ids), int(hits.given.sum()), hits_found)


class _Hits(NamedTuple):
    """Which images each order gets right."""

    label_ids: Int[np.ndarray, " images"]
    given: Bool[np.ndarray, " images"]
    found: Bool[np.ndarray, " images"]
    class_count: int

    def is_far_better(self, cycle: Int[np.ndarray, " moved"], *, tried: int) -> bool:
        """Whether a sign test says so of the images of some classes, corrected for the cycles that are tried."""
        from scipy.stats import binomtest

        own = np.isin(self.label_ids, cycle)
        given, found = self.given[own], self.found[own]
        gains, losses = int((found & ~given).sum()), int((given & ~found).sum())
        if gains <= losses or found.sum() < FACTOR * given.sum():
            return False
        better = binomtest(gains, gains + losses, 0.5, alternative="greater").pvalue
        guessed = binomtest(int(found.sum()), len(found), 1 / self.class_count, alternative="greater").pvalue
        return bool(better * tried < SIGNIFICANT and guessed * tried < BEYOND_CHANCE)


def _cycles(order: Int[np.ndarray, " classes"]) -> list[Int[np.ndarray, " moved"]]:
    """The cycles of a permutation that move something: classes that exchanged their names among each other."""
    cycles, seen = [], np.arange(len(order)) == order
    for start in range(len(order)):
        cycle = []
        label = start
        while not seen[label]:
            seen[label] = True
            cycle.append(label)
            label = int(order[label])
        if cycle:
            cycles.append(np.array(cycle))
    return cycles


def _halves(label_ids: Int[np.ndarray, " images"]) -> Int[np.ndarray, " images"]:
    """0 and 1 in turn within every class."""
    halves = np.empty_like(label_ids)
    for label in np.unique(label_ids):
        rows = np.flatnonzero(label_ids == label)
        halves[rows] = np.arange(len(rows)) % 2
    return halves


def _assign(
    scores: Float[np.ndarray, "images classes"], label_ids: Int[np.ndarray, " images"]
) -> Int[np.ndarray, " classes"]:
    """The order that fits best; a class without an image keeps its name where that is free."""
    from scipy.optimize import linear_sum_assignment

    classes = scores.shape[1]
    means = np.zeros((classes, classes))
    np.add.at(means, label_ids, scores)
    means /= np.maximum(np.bincount(label_ids, minlength=classes), 1)[:, None]
    tie = 1e-9 * max(float(np.abs(means).max(initial=0.0)), 1e-9)
    return np.asarray(linear_sum_assignment(means + tie * np.eye(classes), maximize=True)[1], dtype=np.int64)
