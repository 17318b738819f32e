"""The gate's threshold from a validation split: the one choice of the rerank that reads labels, and not test labels.

All images are reranked once; what a threshold would have done is then a matter of taking one or the other prediction,
so a grid of thresholds costs a grid of comparisons. Ours: the released code sets one value per data set by hand.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from coder_core.errors import ConfigError, DatasetError, LabelLeakError
from coder_core.evaluation.labels import LabelTable
from coder_core.evaluation.predictions import Predictions
from coder_core.loops import each
from coder_core.results.schema import ThresholdRow

__all__ = ["GATE_ALL", "THRESHOLD_GRID", "ThresholdChoice", "choose_threshold"]

GATE_ALL = 2.0
"""A threshold above every gap of two probabilities: every image with a rival class is gated."""

THRESHOLD_GRID = tuple(step / 20 for step in range(21))
"""0 (no rerank at all), 0.05, ..., 1: holds every value that the released code uses, and no finer than they are."""


class ThresholdChoice(NamedTuple):
    """The chosen threshold and the whole search, to be recorded with the result.

    Args:
        threshold: The best of the grid; among equals the smallest, which touches fewest images.
        split: The split it was chosen on.
        n: Images of that split.
        rows: One per threshold, ascending.
    """

    threshold: float
    split: str
    n: int
    rows: tuple[ThresholdRow, ...]


def choose_threshold(
    stage1: Predictions, reranked: Predictions, labels: LabelTable, *, grid: Sequence[float] = THRESHOLD_GRID
) -> ThresholdChoice:
    """Choose the gate's threshold by top-1 accuracy on a validation split.

    Args:
        stage1: CODER's predictions of the validation images.
        reranked: The same, reranked with `threshold=GATE_ALL`.
        labels: The validation labels.
        grid: Thresholds to try, each 0 or more.

    Raises:
        LabelLeakError: The labels are not those of a validation split.
        ConfigError: The grid is empty or holds a negative value.
        DatasetError: The two predictions are not of the same images, there is none, or one has no label.
    """
    if labels.split != "validation":
        raise LabelLeakError(
            f"the threshold would be chosen on the split {labels.split!r}.",
            "rerank gate",
            "Give the labels of a validation split, or a constant threshold.",
        )
    if not grid or not min(grid) >= 0:
        raise ConfigError(f"the grid of thresholds is {list(grid)}.", "rerank gate", "Give at least one, 0 or more.")
    if stage1.image_ids != reranked.image_ids or not len(stage1):
        raise DatasetError(
            f"{len(stage1)} predictions before and {len(reranked)} after the rerank are not of the same images.",
            "rerank gate",
            "Rerank the predictions of the validation split, at least one.",
        )
    rows = _try_thresholds(stage1, reranked, labels, grid)
    best = max(rows, key=lambda row: row.top1)  # the first of equals, and thresholds ascend
    return ThresholdChoice(best.threshold, labels.split, len(stage1), rows)


def _try_thresholds(
    stage1: Predictions, reranked: Predictions, labels: LabelTable, grid: Sequence[float]
) -> tuple[ThresholdRow, ...]:
    label_ids = labels.align(stage1)
    before, after = (predictions.top_ids[:, 0] == label_ids for predictions in (stage1, reranked))
    top = stage1.top_probabilities
    gaps = top[:, 0] - top[:, 1] if top.shape[1] > 1 else np.full(len(top), np.inf, dtype=np.float32)
    rows = []
    for threshold in each(sorted(grid)):
        gated = gaps < threshold
        top1 = float(np.where(gated, after, before).mean())
        rows.append(ThresholdRow(threshold=threshold, images_gated=int(gated.sum()), top1=top1))
    return tuple(rows)
