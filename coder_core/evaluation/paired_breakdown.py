"""Where a method helps and where it hurts: per class, and per confused pair of classes, against the baseline.

An overall gain can hide a class that was given up. Both tables test many hypotheses at once, so each carries Holm's
correction over its own rows.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Int64

from coder_core.classes import ClassList
from coder_core.evaluation.comparisons import holm, mcnemar_p, paired_rows
from coder_core.evaluation.labels import LabelTable
from coder_core.evaluation.metrics import aligned_labels
from coder_core.evaluation.predictions import Predictions
from coder_core.loops import each
from coder_core.results.schema import ClassComparisonRow, ConfusionComparisonRow

__all__ = ["compare_classes", "compare_confusions"]

Row = TypeVar("Row", ClassComparisonRow, ConfusionComparisonRow)

Ids = Int64[np.ndarray, " images"]
Counts = Int64[np.ndarray, " events"]

NO_EVENT = -1
"""Stands where an image is no instance of what is counted; below every class id and pair."""


def compare_classes(
    baseline: Predictions, method: Predictions, labels: LabelTable, classes: ClassList
) -> list[ClassComparisonRow]:
    """Compare two methods class by class, by the best class of each image.

    Returns:
        One row per class that has images, in label order.

    Raises:
        DatasetError: As `compare`.
    """
    label_ids, theirs, own = _paired(baseline, method, labels, classes)
    class_ids, totals = np.unique(label_ids, return_counts=True)
    found = [np.where(predicted == label_ids, label_ids, NO_EVENT) for predicted in (theirs, own)]
    tally = _tally(class_ids, *found)
    p_values, p_holm = tally.p_values()
    columns = {
        "class_id": class_ids.tolist(),
        "class_name": [classes.names[class_id] for class_id in class_ids.tolist()],
        "n": totals.tolist(),
        "recall_baseline": (tally.before / totals).tolist(),
        "recall": (tally.now / totals).tolist(),
        "gained": tally.only_now.tolist(),
        "lost": tally.only_before.tolist(),
        "p_value": p_values,
        "p_holm": p_holm,
    }
    return _rows(ClassComparisonRow, baseline, method, columns)


def compare_confusions(
    baseline: Predictions, method: Predictions, labels: LabelTable, classes: ClassList
) -> list[ConfusionComparisonRow]:
    """Compare two methods confusion by confusion, by the best class of each image.

    Returns:
        One row per (true, predicted) pair that either method confuses; the baseline's most frequent first, then the
        method's, then the lower true id, then the lower predicted id.

    Raises:
        DatasetError: As `compare`.
    """
    label_ids, theirs, own = _paired(baseline, method, labels, classes)
    size = len(classes)
    wrong = [np.where(ids == label_ids, NO_EVENT, label_ids * size + ids) for ids in (theirs, own)]
    pairs = np.unique(np.concatenate(wrong))
    tally = _tally(pairs[pairs != NO_EVENT], *wrong).sorted_by_frequency()
    class_ids, predicted = (tally.keys // size).tolist(), (tally.keys % size).tolist()
    p_values, p_holm = tally.p_values()
    columns = {
        "class_id": class_ids,
        "class_name": [classes.names[class_id] for class_id in class_ids],
        "predicted": predicted,
        "predicted_name": [classes.names[class_id] for class_id in predicted],
        "n_baseline": tally.before.tolist(),
        "n": tally.now.tolist(),
        "resolved": tally.only_before.tolist(),
        "introduced": tally.only_now.tolist(),
        "p_value": p_values,
        "p_holm": p_holm,
    }
    return _rows(ConfusionComparisonRow, baseline, method, columns)


def _rows(
    row_class: type[Row], baseline: Predictions, method: Predictions, columns: Mapping[str, Sequence[Any]]
) -> list[Row]:
    """Rows of a table that compares two methods, from its columns."""
    shared: dict[str, Any] = {"method": method.method, "baseline": baseline.method, "protocol": method.protocol}
    rows = each(zip(*columns.values(), strict=True), every=1024)
    return [row_class(**dict(zip(columns, row, strict=True)), **shared) for row in rows]


class _Tally(NamedTuple):
    """How often each event happens under two methods."""

    keys: Counts
    before: Counts
    now: Counts
    only_before: Counts
    only_now: Counts

    def sorted_by_frequency(self) -> "_Tally":
        order = np.lexsort((self.keys, -self.now, -self.before))
        return _Tally(*(column[order] for column in self))

    def p_values(self) -> tuple[list[float], list[float]]:
        p_values = mcnemar_p(self.only_now, self.only_before).tolist()
        return p_values, holm(p_values)


def _tally(keys: Counts, before: Ids, now: Ids) -> _Tally:
    """Count the events of every image under two methods, by key; `NO_EVENT` is none."""

    def count(events: Int64[np.ndarray, " some"]) -> Counts:
        return np.bincount(np.searchsorted(keys, events[events != NO_EVENT]), minlength=len(keys))

    moved = before != now
    return _Tally(keys, count(before), count(now), count(before[moved]), count(now[moved]))


def _paired(baseline: Predictions, method: Predictions, labels: LabelTable, classes: ClassList) -> tuple[Ids, Ids, Ids]:
    """Bring the labels and both methods' best classes into the order of the baseline."""
    label_ids = aligned_labels(baseline, labels, classes)
    aligned_labels(method, labels, classes)
    own = method.top_ids[paired_rows(baseline, method), 0]
    return label_ids, baseline.top_ids[:, 0].astype(np.int64), own.astype(np.int64)
