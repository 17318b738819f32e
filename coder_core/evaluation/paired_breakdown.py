"""Where a method helps and where it hurts: per class, and per confused pair of classes, against the baseline.

An overall gain can hide a class that was given up. Both tables test many hypotheses at once, so each carries Holm's
correction over its own rows.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from coder_core.classes import ClassList
from coder_core.evaluation.comparisons import holm, mcnemar_p, paired_rows
from coder_core.evaluation.labels import LabelTable
from coder_core.evaluation.metrics import aligned_labels
from coder_core.evaluation.predictions import Predictions
from coder_core.loops import each

__all__ = ["ClassComparison", "ConfusionComparison", "compare_classes", "compare_confusions"]

Ids = Int64[np.ndarray, " images"]
Counts = Int64[np.ndarray, " events"]

NO_EVENT = -1
"""Stands where an image is no instance of what is counted; below every class id and pair."""


class ClassComparison(NamedTuple):
    """One class under two methods.

    Args:
        class_id: Its label id.
        name: Its name.
        n: Images of this class, at least 1.
        recall_baseline: Share of them that the baseline finds.
        recall: Share that the method finds.
        gained: Images that only the method finds.
        lost: Images that only the baseline finds.
        p_value: McNemar's exact two-sided p.
        p_holm: The same, corrected over the classes.
    """

    class_id: int
    name: str
    n: int
    recall_baseline: float
    recall: float
    gained: int
    lost: int
    p_value: float
    p_holm: float


class ConfusionComparison(NamedTuple):
    """One confusion, a class taken for another, under two methods.

    Args:
        true_id: The true class.
        predicted_id: What it is taken for.
        true_name: Its name.
        predicted_name: The other's name.
        n_baseline: Images that the baseline so mistakes.
        n: Images that the method so mistakes.
        resolved: Images so mistaken by the baseline only (they may be mistaken for a third class now).
        introduced: Images so mistaken by the method only.
        p_value: McNemar's exact two-sided p.
        p_holm: The same, corrected over the pairs.
    """

    true_id: int
    predicted_id: int
    true_name: str
    predicted_name: str
    n_baseline: int
    n: int
    resolved: int
    introduced: int
    p_value: float
    p_holm: float


def compare_classes(
    baseline: Predictions, method: Predictions, labels: LabelTable, classes: ClassList
) -> list[ClassComparison]:
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
    names = [classes.names[class_id] for class_id in class_ids.tolist()]
    recalls = ((tally.before / totals).tolist(), (tally.now / totals).tolist())
    changes = (tally.only_now.tolist(), tally.only_before.tolist(), *tally.p_values())
    columns = zip(class_ids.tolist(), names, totals.tolist(), *recalls, *changes, strict=True)
    return [ClassComparison(*row) for row in each(columns, every=1024)]


def compare_confusions(
    baseline: Predictions, method: Predictions, labels: LabelTable, classes: ClassList
) -> list[ConfusionComparison]:
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
    ids = (tally.keys // size).tolist(), (tally.keys % size).tolist()
    names = ([classes.names[class_id] for class_id in part] for part in ids)
    columns = zip(*ids, *names, *(column.tolist() for column in tally[1:]), *tally.p_values(), strict=True)
    return [ConfusionComparison(*row) for row in each(columns, every=1024)]


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
