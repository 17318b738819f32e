"""Do the labels fit the names? A few images per class, scored by the texts, tell a shuffled class list from a hard one.

    S[a, b] = mean over images labelled a of score(image, texts of b), every column centred

A permutation that maximises the sum of S (Hungarian algorithm) is chosen on one half of the images and judged on the
other, in both directions: with nothing to find it wins nothing, however many classes there are. Source of the
assignment: Kuhn 1955; scipy's `linear_sum_assignment`.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

__all__ = ["LabelOrder", "match_labels_to_names"]

SIGNIFICANT = 1e-3
"""Largest p-value (sign test over images on which both orders disagree) of an order that is reported."""
FEWEST_MATCHES = 0.5
"""Share of the moved classes' images that the other order must explain, at least."""


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
        None where the given order is as good as any, or there are too few images to tell.
    """
    centred = scores - scores.mean(axis=0, keepdims=True)
    halves = _halves(label_ids)
    best = centred.argmax(axis=1)
    found = np.empty_like(label_ids)
    for half in (0, 1):
        order = _assign(centred[halves == half], label_ids[halves == half])
        found[halves != half] = order[label_ids[halves != half]]
    given_hits, found_hits = best == label_ids, best == found
    order = _assign(centred, label_ids)
    moved = (order != np.arange(len(order)))[label_ids]
    if not moved.any() or not _is_far_better(given_hits, found_hits, moved):
        return None
    return LabelOrder(tuple(order.tolist()), len(label_ids), int(given_hits.sum()), int(found_hits.sum()))


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


def _is_far_better(given: np.ndarray, found: np.ndarray, moved: np.ndarray) -> bool:
    from scipy.stats import binomtest

    gains, losses = int((found & ~given).sum()), int((given & ~found).sum())
    if gains <= losses or found[moved].mean() < FEWEST_MATCHES:
        return False
    return bool(binomtest(gains, gains + losses, 0.5, alternative="greater").pvalue < SIGNIFICANT)
