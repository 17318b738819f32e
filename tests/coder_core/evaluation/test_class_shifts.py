"""What new classes did to old ones, counted by hand."""

import numpy as np

from coder_core.evaluation.class_shifts import AddedClass, ClassShift, MethodPredictions, find_class_shifts, score_added


def predicted(**pairs: tuple[str, str]) -> MethodPredictions:
    """`image=(label, predicted)`."""
    labels, found = ([pair[side] for pair in pairs.values()] for side in (0, 1))
    is_correct = np.array([label == name for label, name in pairs.values()], dtype=np.bool_)
    return MethodPredictions(list(pairs), labels, found, is_correct)


BEFORE = predicted(
    a=("cat", "cat"), b=("cat", "cat"), c=("cat", "dog"), d=("dog", "dog"), e=("dog", "cat"), gone=("x", "x")
)
AFTER = predicted(
    new=("lynx", "lynx"), e=("dog", "lynx"), d=("dog", "cat"), c=("cat", "cat"), b=("cat", "lynx"), a=("cat", "puma")
)


def test_shifts_by_hand() -> None:
    assert find_class_shifts(BEFORE, AFTER, ["lynx", "puma"]) == [
        ClassShift("cat", 3, 2 / 3, 1 / 3, 1, 2, 2, (("lynx", 1), ("puma", 1))),
        ClassShift("dog", 2, 1 / 2, 0.0, 0, 1, 0, ()),
    ]


def test_added_classes_by_hand() -> None:
    shifts = find_class_shifts(BEFORE, AFTER, ["lynx", "puma"])
    assert score_added(AFTER, ["lynx", "puma"], shifts) == [
        AddedClass("lynx", 1, 1.0, 1),
        AddedClass("puma", 0, None, 1),
    ]


def test_two_runs_of_the_same_predictions_have_no_shift() -> None:
    assert {
        (row.gained, row.lost, row.recall - row.recall_before) for row in find_class_shifts(BEFORE, BEFORE, [])
    } == {(0, 0, 0.0)}
    assert find_class_shifts(BEFORE, predicted(), ["lynx"]) == []
