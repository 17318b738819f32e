"""Words are found as classes by name or id, in any spelling, and never as two classes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coder_core.class_source.matching import match_labels, no_such_class, tell_apart
from coder_core.classes import ClassList, display_name
from coder_core.errors import DatasetError

CLASSES = ClassList(("apple pie", "Caf\u00e9 cr\u00e8me", "The Wren", "wren egg"), ("n01", "n02", "n03", "n04"))


@pytest.mark.parametrize(
    ("word", "label"),
    [
        ("apple pie", 0),
        ("Apple_Pie", 0),
        (" apple-pie ", 0),
        ("an apple pie", 0),
        ("n01", 0),
        ("N02", 1),
        ("CAFE\u0301 CRE\u0300ME", 1),
        ("wren", 2),
        ("the_wren", 2),
        ("wren egg", 3),
        ("cafe creme", None),
        ("apple", None),
        ("", None),
    ],
)
def test_a_word_is_found_by_name_or_id_in_any_spelling(word, label):
    assert match_labels([word], CLASSES, "x") == ({} if label is None else {word: label})


@pytest.mark.parametrize(
    ("classes", "words", "told"),
    [
        (ClassList(("a", "b"), ("b", "c")), ["b"], "'b' is the name of class 1 and the id of class 0"),
        (ClassList(("Crane", "CRANE")), ["crane"], "'crane' is the name of class 0 and the name of class 1"),
        (ClassList(("crane", "crane")), ["crane"], "the name of class 0 and the name of class 1"),
        (ClassList(("the crane", "a crane")), ["crane"], "the name of class 0 and the name of class 1"),
        (ClassList(("crane",)), ["crane", "Crane"], "'Crane' is the same class as 'crane'"),
        (ClassList(("crane",), ("n1",)), ["n1", "crane"], "'crane' is the same class as 'n1'"),
    ],
)
def test_what_could_be_two_classes_or_is_one_twice_is_refused(classes, words, told):
    with pytest.raises(DatasetError, match=told) as error:
        match_labels(words, classes, "x")
    assert error.value.remedy


def test_the_exact_spelling_comes_first():
    classes = ClassList(("Crane", "crane", "the crane"))
    assert match_labels(["crane", "Crane", "the crane"], classes, "x") == {"crane": 1, "Crane": 0, "the crane": 2}


@given(st.lists(st.text(min_size=1).filter(display_name), min_size=1, unique=True))
def test_every_name_is_found_as_its_own_class(names):
    assert match_labels(names, ClassList(tuple(names)), "x") == {name: label for label, name in enumerate(names)}


def test_a_word_that_is_no_class_is_told_with_the_nearest():
    error = no_such_class({"aple pie": 3, "x": 1}, CLASSES, what="folder", setting="dataset.classes", place="p")
    assert str(error).startswith("p: the folder 'aple pie' (and 1 more) is not in dataset.classes; it has 3 images;")
    assert "the nearest name is 'apple pie'" in str(error)
    assert "nearest" not in str(no_such_class({"zzz": 3}, CLASSES, what="folder", setting="x", place="p"))


def test_two_texts_that_look_the_same_are_told_apart():
    assert tell_apart("Cat", "cat") == ("'Cat'", "'cat'")
    one, other = tell_apart("caf\u00e9", "cafe\u0301")
    assert one != other
    assert one.isascii()
    assert other.isascii()
