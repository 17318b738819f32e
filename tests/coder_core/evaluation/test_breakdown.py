"""Per class and per confused pair, by hand."""

from collections import Counter

import pytest

from coder_core.classes import ClassList
from coder_core.evaluation import breakdown
from coder_core.evaluation.breakdown import confusions, per_class
from coder_core.results.schema import ClassMetricRow, ConfusionRow
from tests.rows import rows_of

CLASSES = ClassList(("crane", "goose", "crane", "owl"))
PREDICTED = [[0], [2], [2], [2], [1], [0], [1]]
TRUTH = [0, 0, 0, 2, 2, 1, 2]
class_row = rows_of(ClassMetricRow, method="coder", protocol="honest")
confusion_row = rows_of(ConfusionRow, method="coder", protocol="honest")


def test_per_class_by_hand(predictions_of, labels_of):
    rows = per_class(predictions_of(PREDICTED), labels_of(TRUTH), CLASSES)
    assert rows == [
        class_row(0, "crane", 3, 1 / 3, 1 / 2),
        class_row(1, "goose", 1, 0.0, 0.0),
        class_row(2, "crane", 3, 1 / 3, 1 / 3),
        class_row(3, "owl", 0, None, None),
    ]


def test_confusions_by_hand_most_frequent_first_and_ties_by_id(predictions_of, labels_of):
    rows = confusions(predictions_of(PREDICTED), labels_of(TRUTH), CLASSES)
    assert rows == [
        confusion_row(0, "crane", 2, "crane", 2),
        confusion_row(2, "crane", 1, "goose", 2),
        confusion_row(1, "goose", 0, "crane", 1),
    ]


def test_nothing_confused_is_no_row(predictions_of, labels_of):
    assert confusions(predictions_of([[1], [3]]), labels_of([1, 3]), CLASSES) == []


@pytest.mark.parametrize("counted", [0, 65_536], ids=["sorted", "counted"])
def test_mistakes_are_counted_alike_however_many_classes_there_are(predictions_of, labels_of, counted, monkeypatch):
    monkeypatch.setattr(breakdown, "PAIRS_COUNTED", counted)
    monkeypatch.setattr(breakdown, "ROWS_AT_ONCE", 3)
    rows = confusions(predictions_of(PREDICTED), labels_of(TRUTH), CLASSES)
    expected = Counter((true, first) for true, (first,) in zip(TRUTH, PREDICTED, strict=True) if true != first)
    assert {(row.class_id, row.predicted): row.count for row in rows} == expected
