"""Per class and per confused pair, by hand."""

from coder_core.classes import ClassList
from coder_core.evaluation.breakdown import ClassRow, ConfusionRow, confusions, per_class

CLASSES = ClassList(("crane", "goose", "crane", "owl"))
PREDICTED = [[0], [2], [2], [2], [1], [0], [1]]
TRUTH = [0, 0, 0, 2, 2, 1, 2]


def test_per_class_by_hand(predictions_of, labels_of):
    rows = per_class(predictions_of(PREDICTED), labels_of(TRUTH), CLASSES)
    assert rows == [
        ClassRow(0, "crane", 3, 1 / 3, 1 / 2),
        ClassRow(1, "goose", 1, 0.0, 0.0),
        ClassRow(2, "crane", 3, 1 / 3, 1 / 3),
        ClassRow(3, "owl", 0, None, None),
    ]


def test_confusions_by_hand_most_frequent_first_and_ties_by_id(predictions_of, labels_of):
    rows = confusions(predictions_of(PREDICTED), labels_of(TRUTH), CLASSES)
    assert rows == [
        ConfusionRow(0, 2, "crane", "crane", 2),
        ConfusionRow(2, 1, "crane", "goose", 2),
        ConfusionRow(1, 0, "goose", "crane", 1),
    ]


def test_nothing_confused_is_no_row(predictions_of, labels_of):
    assert confusions(predictions_of([[1], [3]]), labels_of([1, 3]), CLASSES) == []
