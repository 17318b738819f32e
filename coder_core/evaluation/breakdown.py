"""Where a method goes wrong: per class, and per confused pair of classes."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from coder_core.classes import ClassList
from coder_core.evaluation.labels import LabelTable
from coder_core.evaluation.metrics import aligned_labels
from coder_core.evaluation.predictions import Predictions
from coder_core.loops import each

__all__ = ["ClassRow", "ConfusionRow", "confusions", "per_class"]


class ClassRow(NamedTuple):
    """How one class fares.

    Args:
        class_id: Its label id.
        name: Its name, as in the class list.
        n: Images of this class.
        recall: Share of them found, None where there are none.
        precision: Share of the images called by its name that are, None where none was.
    """

    class_id: int
    name: str
    n: int
    recall: float | None
    precision: float | None


class ConfusionRow(NamedTuple):
    """How often one class is taken for another.

    Args:
        true_id: The true class.
        predicted_id: What it was taken for.
        true_name: Its name.
        predicted_name: The other's name.
        n: Images so mistaken.
    """

    true_id: int
    predicted_id: int
    true_name: str
    predicted_name: str
    n: int


def per_class(predictions: Predictions, labels: LabelTable, classes: ClassList) -> list[ClassRow]:
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
        ClassRow(class_id, name, int(counts[class_id]), _share(hits, counts, class_id), _share(hits, calls, class_id))
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
        true_id, predicted_id = divmod(code, len(classes))
        names = (classes.names[true_id], classes.names[predicted_id])
        rows.append(ConfusionRow(true_id, predicted_id, *names, count))
    return rows


def _share(hits: Int64[np.ndarray, " classes"], totals: Int64[np.ndarray, " classes"], class_id: int) -> float | None:
    return float(hits[class_id] / totals[class_id]) if totals[class_id] else None
