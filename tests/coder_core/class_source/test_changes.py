"""What counts as a change of a class list."""

import pytest

from coder_core.class_source.changes import ClassChange, compare_classes
from coder_core.class_source.matching import match_labels
from coder_core.classes import ClassList
from coder_core.errors import DatasetError


def listed(**names: str) -> ClassList:
    return ClassList(tuple(names.values()), tuple(names))


@pytest.mark.parametrize(
    ("before", "now", "change"),
    [
        (None, ClassList(("a", "b")), ClassChange(("a", "b"), ())),
        (ClassList(("a", "b")), ClassList(("b", "a")), ClassChange((), ())),
        (ClassList(("a", "b")), ClassList(("b", "c")), ClassChange(("c",), ("a",))),
        (listed(x="a", y="b"), listed(x="c", y="b"), ClassChange((), (), (("a", "c"),))),
        (listed(x="a", y="b"), listed(x="b", y="a"), ClassChange((), (), (("a", "b"), ("b", "a")))),
        (listed(x="a"), ClassList(("b",)), ClassChange(("b",), ("a",))),
        (listed(x="a"), listed(y="a"), ClassChange((), ())),
        (listed(x="a"), listed(x="b", y="c", z="d"), ClassChange(("c", "d"), (), (("a", "b"),))),
        (listed(x="a", y="b"), listed(y="a"), ClassChange((), (), (("b", "a"),))),
    ],
)
def test_changes(before: ClassList | None, now: ClassList, change: ClassChange) -> None:
    found = compare_classes(before, now)
    assert found == change
    assert bool(found) == bool(change.added + change.removed + change.renamed)


def test_a_change_has_one_key() -> None:
    keys = {
        ClassChange(*parts).key for parts in ((("a",), ()), ((), ("a",)), ((), (), (("a", "a"),)), (("a", "b"), ()))
    }
    assert len(keys) == 4


def test_folders_are_found_by_id_or_name() -> None:
    classes = listed(n01="tench", n02="goldfish", n03="shark")
    assert match_labels(["n02", "tench", "whale"], classes, "images") == {"n02": 1, "tench": 0}


@pytest.mark.parametrize(
    ("words", "classes", "told"),
    [
        (["a"], listed(a="b", x="a"), "'a' is the name of class 1 and the id of class 0"),
        (["x", "a"], listed(x="a"), "'a' is the same class as 'x'"),
    ],
)
def test_what_is_ambiguous_is_refused(words: list[str], classes: ClassList, told: str) -> None:
    with pytest.raises(DatasetError, match=told):
        match_labels(words, classes, "images")
