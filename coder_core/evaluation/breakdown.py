"""Where a method goes wrong: per class, and per confused pair of classes."""

import numpy as np
from jaxtyping import Int64

from coder_core.classes import ClassList
from coder_core.evaluation.labels import LabelTable
from coder_core.evaluation.metrics import aligned_labels
from coder_core.evaluation.predictions import Predictions
from coder_core.loops import each
from coder_core.results.schema import ClassMetricRow, ConfusionRow

__all__ = ["confusions", "per_class"]


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
    predicted = predictions.top_ids[:, 0].astype(np.int64)
    wrong = label_ids != predicted
    codes, counts = np.unique(label_ids[wrong] * len(classes) + predicted[wrong], return_counts=True)
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


def _share(hits: Int64[np.ndarray, " classes"], totals: Int64[np.ndarray, " classes"], class_id: int) -> float | None:
    return float(hits[class_id] / totals[class_id]) if totals[class_id] else None
