"""What new classes did to old ones, counted by hand."""

import numpy as np

from coder_core.evaluation.class_changes import AddedClass, ClassShift, Sight, compare_sights, score_added


def sight(**said: tuple[str, str]) -> Sight:
    """`image=(label, predicted)`."""
    labels, predicted = ([pair[side] for pair in said.values()] for side in (0, 1))
    is_correct = np.array([label == found for label, found in said.values()], dtype=np.bool_)
    return Sight(list(said), labels, predicted, is_correct)


BEFORE = sight(
    a=("cat", "cat"), b=("cat", "cat"), c=("cat", "dog"), d=("dog", "dog"), e=("dog", "cat"), gone=("x", "x")
)
AFTER = sight(
    new=("lynx", "lynx"), e=("dog", "lynx"), d=("dog", "cat"), c=("cat", "cat"), b=("cat", "lynx"), a=("cat", "puma")
)


def test_shifts_by_hand() -> None:
    assert compare_sights(BEFORE, AFTER, ["lynx", "puma"]) == [
        ClassShift("cat", 3, 2 / 3, 1 / 3, 1, 2, 2, (("lynx", 1), ("puma", 1))),
        ClassShift("dog", 2, 1 / 2, 0.0, 0, 1, 0, ()),
    ]


def test_added_classes_by_hand() -> None:
    shifts = compare_sights(BEFORE, AFTER, ["lynx", "puma"])
    assert score_added(AFTER, ["lynx", "puma"], shifts) == [
        AddedClass("lynx", 1, 1.0, 1),
        AddedClass("puma", 0, None, 1),
    ]


def test_two_runs_that_say_the_same_have_no_shift() -> None:
    assert {(row.gained, row.lost, row.recall - row.recall_before) for row in compare_sights(BEFORE, BEFORE, [])} == {
        (0, 0, 0.0)
    }
    assert compare_sights(BEFORE, sight(), ["lynx"]) == []
