"""Where a method goes wrong: per class, and per confused pair of classes."""

import numpy as np
from jaxtyping import Int, Int64

from coder_core.classes import ClassList
from coder_core.evaluation.labels import LabelTable
from coder_core.evaluation.metrics import aligned_labels
from coder_core.evaluation.predictions import Predictions
from coder_core.loops import each
from coder_core.results.schema import ClassMetricRow, ConfusionRow

__all__ = ["confusions", "per_class"]

PAIRS_COUNTED = 65_536
"""Pairs of classes for which a table costs next to nothing; a larger one has at most a cell for every image."""
ROWS_AT_ONCE = 262_144
"""Images that are looked at at a time."""


def per_class(predictions: Predictions, labels: LabelTable, classes: ClassList) -> list[ClassMetricRow]:
    """Measure every class of the list, in label order, by the best class of each image.

    Raises:
        DatasetError: As `evaluate`.
    """
    label_ids = aligned_labels(predictions, labels, classes)
    predicted = predictions.top_ids[:, 0]
    size = len(classes)
    counts = np.bincount(label_ids, minlength=size)
    calls = np.bincount(predicted, minlength=size)
    hits = np.bincount(label_ids[label_ids == predicted], minlength=size)
    return [
        ClassMetricRow(
            method=predictions.method,
            class_id=class_id,
            class_name=name,
            n=int(counts[class_id]),
            recall=_share(hits, counts, class_id),
            precision=_share(hits, calls, class_id),
            protocol=predictions.protocol,
        )
        for class_id, name in each(enumerate(classes), every=1024)
    ]


def confusions(predictions: Predictions, labels: LabelTable, classes: ClassList) -> list[ConfusionRow]:
    """Count the mistakes by (true, predicted) pair.

    Returns:
        Only pairs that occur, most frequent first; among equal counts the lower true id, then the lower predicted id.

    Raises:
        DatasetError: As `evaluate`.
    """
    label_ids = aligned_labels(predictions, labels, classes)
    codes, counts = _count_mistakes(label_ids, predictions.top_ids[:, 0], len(classes))
    order = np.argsort(-counts, kind="stable")  # codes ascend by (true, predicted), which settles ties
    rows = []
    for code, count in each(zip(codes[order].tolist(), counts[order].tolist(), strict=True), every=1024):
        class_id, predicted_id = divmod(code, len(classes))
        rows.append(
            ConfusionRow(
                method=predictions.method,
                class_id=class_id,
                class_name=classes.names[class_id],
                predicted=predicted_id,
                predicted_name=classes.names[predicted_id],
                count=count,
                protocol=predictions.protocol,
            )
        )
    return rows


def _count_mistakes(
    label_ids: Int64[np.ndarray, " images"], predicted: Int[np.ndarray, " images"], size: int
) -> tuple[Int64[np.ndarray, " pairs"], Int64[np.ndarray, " pairs"]]:
    """The pairs that occur, as `true * size + predicted` in ascending order, and how often each does."""
    if size * size > max(len(label_ids), PAIRS_COUNTED):
        wrong = label_ids != predicted
        return np.unique(label_ids[wrong] * size + predicted[wrong], return_counts=True)
    counts = np.zeros(size * size, dtype=np.int64)
    for start in each(range(0, len(label_ids), ROWS_AT_ONCE)):
        rows = slice(start, start + ROWS_AT_ONCE)
        counts += np.bincount(label_ids[rows] * size + predicted[rows], minlength=size * size)
    counts[:: size + 1] = 0  # where both are one class
    codes = np.flatnonzero(counts)
    return codes, counts[codes]


def _share(hits: Int64[np.ndarray, " classes"], totals: Int64[np.ndarray, " classes"], class_id: int) -> float | None:
    return float(hits[class_id] / totals[class_id]) if totals[class_id] else None
