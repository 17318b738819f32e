"""What is odd about a data set, from answers and vectors that a run has anyway: labels, doubles, outliers.

Nothing here changes a number of the run: these are images that a person should look at.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from coder_core.loops import each

__all__ = ["ImagePair", "find_label_issues", "find_near_duplicates", "find_outliers"]

SKETCH_DIM = 64
"""Numbers of the random projection that candidates are found with: it changes squared distances by a factor of 1 +-
sqrt(2 / 64) = 0.18 (standard deviation; Johnson and Lindenstrauss), and the exact cosine decides."""
SKETCH_SLACK = 1.6
"""Squared distance in the sketch at which a pair is still a candidate, in units of the limit: 3.4 deviations."""
BLOCK = 512
"""Rows of one product of matrices: 512 x 50,000 float32 are 100 MB."""
SMALLEST_CLASS = 5
"""Images that a class needs before one of them can be odd in it."""


class ImagePair(NamedTuple):
    """Two images that are nearly the same: rows of the first and of the second set, and their cosine."""

    row: int
    other: int
    cosine: float


def find_label_issues(
    labels: Int[np.ndarray, " images"],
    predicted: Int[np.ndarray, " images"],
    probability: Float[np.ndarray, " images"],
    true_probability: Float[np.ndarray, " images"],
) -> Int[np.ndarray, " issues"]:
    """Find images whose label is likely wrong, the likeliest first.

    Confident learning (Northcutt, Jiang, Chuang, JAIR 2021) with the two probabilities that a run stores of every
    image: an image of class j that is predicted as k is an issue where p(k) is at least the mean p(k) over the images
    that are labelled k. A classifier is about as sure of it, as it is of images that really are of class k.

    Args:
        labels: True classes; below 0 where there is none.
        predicted: Predicted classes.
        probability: Of the predicted class, 0..1.
        true_probability: Of the true class, 0..1.

    Returns:
        Rows, by falling probability(predicted) - probability(true); ties in the order of the images.
    """
    known = labels >= 0
    count = int(max(labels.max(initial=-1), predicted.max(initial=-1))) + 1
    sums = np.bincount(labels[known], weights=true_probability[known], minlength=count)
    sizes = np.bincount(labels[known], minlength=count)
    expected = np.where(sizes > 0, sums / np.maximum(sizes, 1), np.inf)
    wrong = known & (predicted != labels)
    issues = np.flatnonzero(wrong & (np.nan_to_num(probability) >= expected[predicted]))
    margin = np.nan_to_num(probability) - true_probability
    return issues[np.argsort(-margin[issues], kind="stable")]


def find_outliers(
    vectors: Float[np.ndarray, "images dim"], labels: Int[np.ndarray, " images"]
) -> tuple[Int[np.ndarray, " outliers"], Float[np.ndarray, " outliers"]]:
    """Order images by how far they are from the others of their class, the farthest first.

    The score is the cosine to the mean of the class's other images, in deviations below the class's mean cosine.

    Args:
        vectors: L2-normalised rows.
        labels: Their classes; below 0 where there is none.

    Returns:
        Rows, and their scores (below 0: farther than usual); images of classes below 5 images are left out.
    """
    count = int(labels.max(initial=-1)) + 1
    sums = np.zeros((count, vectors.shape[1]), np.float64)
    known = labels >= 0
    np.add.at(sums, labels[known], vectors[known])
    cosines = np.full(len(labels), np.nan)
    for start in each(range(0, len(labels), BLOCK)):
        rows = slice(start, start + BLOCK)
        rest = sums[np.maximum(labels[rows], 0)] - vectors[rows]
        cosines[rows] = (rest * vectors[rows]).sum(1) / np.maximum(np.linalg.norm(rest, axis=1), 1e-12)
    sizes = np.bincount(labels[known], minlength=count)
    usable = known & (sizes[np.maximum(labels, 0)] >= SMALLEST_CLASS)
    scores = _standardised(cosines, labels, usable)
    found = np.flatnonzero(usable & (scores < 0))
    order = found[np.argsort(scores[found], kind="stable")]
    return order, scores[order]


def find_near_duplicates(
    vectors: Float[np.ndarray, "images dim"],
    others: Float[np.ndarray, "others dim"] | None = None,
    *,
    least_cosine: float,
    most: int = 1000,
) -> list[ImagePair]:
    """Find pairs of images whose vectors are nearly the same, the nearest first.

    Args:
        vectors: L2-normalised rows.
        others: Another set, to be compared with; None for pairs within the first.
        least_cosine: From which on a pair counts.
        most: Pairs returned; where there are more, the nearest.

    Returns:
        The pairs; within one set `row` < `other`.
    """
    right = vectors if others is None else others
    sketch, other_sketch = _sketches(vectors, right)
    # |a - b|^2 <= reach is 2ab - |b|^2 >= |a|^2 - reach, and the left side is one product of matrices
    floors = (sketch**2).sum(1) - np.float32(SKETCH_SLACK * 2 * (1 - least_cosine))
    own_side = np.column_stack([2 * sketch, np.ones(len(sketch), np.float32)])
    other_side = np.column_stack([other_sketch, -((other_sketch**2).sum(1))]).T.copy()
    found: list[ImagePair] = []
    for start in each(range(0, len(vectors), BLOCK)):
        after = start if others is None else 0  # a pair of one set is looked for once
        near = own_side[start : start + BLOCK] @ other_side[:, after:] >= floors[start : start + BLOCK, None]
        rows, columns = np.divmod(np.flatnonzero(near), max(near.shape[1], 1))
        rows, columns = rows + start, columns + after
        if others is None:
            rows, columns = rows[rows < columns], columns[rows < columns]
        found += _exact(vectors, right, rows, columns, least_cosine)
        found = sorted(found, key=lambda pair: (-pair.cosine, pair.row, pair.other))[:most]
    return found


def _standardised(
    values: NDArray[np.float64], labels: NDArray[np.int64], usable: NDArray[np.bool_]
) -> NDArray[np.float64]:
    count = int(labels.max(initial=-1)) + 1
    own, numbers = labels[usable], values[usable]
    sizes = np.maximum(np.bincount(own, minlength=count), 1)
    means = np.bincount(own, weights=numbers, minlength=count) / sizes
    spread = np.sqrt(np.bincount(own, weights=(numbers - means[own]) ** 2, minlength=count) / sizes)
    scores = np.zeros(len(values))
    scores[usable] = (numbers - means[own]) / np.maximum(spread[own], 1e-6)
    return scores


def _sketches(
    vectors: NDArray[np.float32], others: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    dim = vectors.shape[1]
    if dim <= SKETCH_DIM:
        return vectors, others
    projection = np.random.default_rng(0).standard_normal((dim, SKETCH_DIM), dtype=np.float32) / np.float32(
        np.sqrt(SKETCH_DIM)
    )
    return vectors @ projection, others @ projection


def _exact(
    vectors: NDArray[np.float32],
    others: NDArray[np.float32],
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    least_cosine: float,
) -> list[ImagePair]:
    found: list[ImagePair] = []
    for start in each(range(0, len(rows), BLOCK)):
        left, right = rows[start : start + BLOCK], columns[start : start + BLOCK]
        cosines = np.einsum("ij,ij->i", vectors[left], others[right], dtype=np.float64)
        near = np.flatnonzero(cosines >= least_cosine)
        found += [ImagePair(int(left[at]), int(right[at]), float(cosines[at])) for at in near]
    return found
