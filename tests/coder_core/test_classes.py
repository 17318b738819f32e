"""A class is its position; names are only found by spelling."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coder_core.classes import ClassList, display_name, loose_name, nearest_name, normalise_name
from coder_core.errors import DatasetError


def test_the_same_name_twice_is_two_classes():
    classes = ClassList(("crane", "goose", "crane"))
    assert len(classes) == 3
    assert classes.ids_of("crane") == (0, 2)
    assert classes.ids_of("goose") == (1,)
    assert classes.ids_of("heron") == ()


def test_exact_spelling_is_preferred_over_a_similar_one():
    classes = ClassList(("Crane", "crane", "Sea_Eagle"))
    assert classes.ids_of("crane") == (1,)
    assert classes.ids_of("CRANE") == (0, 1)
    assert classes.ids_of("sea-eagle") == (2,)


@pytest.mark.parametrize("blank", ["", "  ", "_", " _\t"])
def test_a_blank_name_is_refused_with_its_position(blank):
    with pytest.raises(DatasetError, match="position 1") as caught:
        ClassList(("flag", blank))
    assert repr(blank) in str(caught.value)


def test_an_empty_list_is_refused():
    with pytest.raises(DatasetError, match="empty"):
        ClassList(())


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("cougar_face", "cougar face"),
        ("  a\t b\nc ", "a b c"),
        ("field-cultivated", "field-cultivated"),
        ("__x__", "x"),
    ],
)
def test_display_name(name, shown):
    assert display_name(name) == shown
    assert ClassList((name,)).display_names == (shown,)


def test_two_spellings_of_one_accent_are_one_name():
    assert normalise_name("Cote d'Ivoire_Flag") == "cote d'ivoire flag"
    assert normalise_name("Caf\u00e9") == normalise_name("Cafe\u0301")
    assert normalise_name("Caf\u00e9") != normalise_name("Cafe")


def test_nearest_name():
    assert nearest_name("Irland", ("Italy", "Ireland")) == "Ireland"
    assert nearest_name("zebra", ("Italy", "Ireland")) is None


@given(st.text())
def test_normalising_twice_changes_nothing(name):
    assert display_name(display_name(name)) == display_name(name)
    once = normalise_name(name)
    assert " ".join(once.split()) == once
    assert "_" not in once
    assert "-" not in once


@given(st.lists(st.text(min_size=1).filter(lambda name: display_name(name) != ""), min_size=1))
def test_every_class_is_found_under_its_own_name(names):
    classes = ClassList(tuple(names))
    for position, name in enumerate(names):
        assert position in classes.ids_of(name)


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("apple pie", "apple_pie"),
        ("apple pie", "Apple-Pie"),
        ("beef tartare", " BEEF  Tartare\t"),
        ("Caf\u00e9 cr\u00e8me", "cafe\u0301_cre\u0300me"),
        ("Guinea-Bissau", "Guinea\u2013Bissau"),
        ("Guinea-Bissau", "Guinea\u2011Bissau"),
        ("Cote d'Ivoire", "Cote d\u2019Ivoire"),
        ("ramen", "\ufeffra\u200bmen\u00a0"),
        ("wren", "\uff37\uff32\uff25\uff2e"),
        ("file", "\ufb01le"),
        ("stra\u00dfe", "STRASSE"),
    ],
)
def test_spellings_of_one_class(name, other):
    assert normalise_name(name) == normalise_name(other)
    assert ClassList((name, "owl")).ids_of(other) == (0,)


@pytest.mark.parametrize(("name", "other"), [("a", "b"), ("no 1", "no 2"), ("1.5", "15"), ("c", "c++"), ("e", "é")])
def test_names_of_two_classes_stay_two(name, other):
    assert normalise_name(name) != normalise_name(other)


def test_an_article_in_front_can_be_left_away():
    assert loose_name("The_Wren") == loose_name("wren") == "wren"
    assert loose_name("a") == "a"
    assert loose_name("another") == "another"


@given(st.text())
def test_the_normal_form_of_a_normal_form_is_itself(name):
    assert normalise_name(normalise_name(name)) == normalise_name(name)


def test_what_has_no_shape_does_not_keep_an_accent_apart():
    assert normalise_name("e\u200b\u0301") == normalise_name("\u00e9")
