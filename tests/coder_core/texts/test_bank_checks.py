"""What a run should know before anything is spent: classes without a description, and classes nobody can tell apart."""

from hypothesis import given
from hypothesis import strategies as st

from coder_core.classes import ClassList, normalise_name
from coder_core.texts.bank import ClassTexts, TextBank, empty_bank
from coder_core.texts.bank_checks import EqualClasses, equal_classes_warning, find_equal_classes, undescribed_classes

CLASSES = ClassList(("missile", "wren", "MISSILE ", "tree_frog", "Tree-frog"))


def test_a_class_is_described_by_attributes_sentences_or_analogous_classes():
    texts = (ClassTexts(("a",)), ClassTexts(sentences=("b.",)), ClassTexts((), ("c",)), ClassTexts((), (), ("d",)))
    assert undescribed_classes(TextBank((*texts, ClassTexts()))) == (3, 4)
    assert undescribed_classes(empty_bank(CLASSES)) == (0, 1, 2, 3, 4)


def test_two_classes_of_one_name_are_found_up_to_spelling():
    assert find_equal_classes(CLASSES) == (EqualClasses("name", (0, 2)), EqualClasses("name", (3, 4)))
    assert equal_classes_warning(CLASSES) == (
        "classes that no text can tell apart: 'missile' (id 0), 'MISSILE ' (id 2) have one name; 'tree_frog' (id 3),"
        " 'Tree-frog' (id 4) have one name. Rename them, or describe them differently."
    )


def test_two_classes_of_the_same_texts_are_found_whatever_their_order():
    bank = TextBank(
        (
            ClassTexts(("red", "blue"), synonyms=("x",)),
            ClassTexts(("Blue ", "red"), synonyms=("X",)),
            ClassTexts(("blue", "red"), ("x",)),
            ClassTexts(),
            ClassTexts(),
        )
    )
    names = ClassList(("a", "b", "c", "d", "e"))
    assert find_equal_classes(names, bank) == (EqualClasses("texts", (0, 1)),)
    assert "'a' (id 0), 'b' (id 1) have the same texts" in equal_classes_warning(names, bank)
    assert equal_classes_warning(names) is None


def test_the_warning_is_one_short_line_however_many_classes_there_are():
    classes = ClassList(tuple(f"{'x' * 5_000}{number % 40}" for number in range(400)))
    warning = equal_classes_warning(classes)
    assert len(warning) < 4_000
    assert warning.count("have one name") == 5
    assert "and 5 more have one name" in warning
    assert "and 35 more groups" in warning


@given(st.lists(st.sampled_from(["a", "A", "b_c", "b-c", "b c", "d"]), min_size=1, max_size=8))
def test_groups_are_those_of_a_slow_search(names):
    found = find_equal_classes(ClassList(tuple(names)))
    pairs = {(one, other) for group in found for one in group.class_ids for other in group.class_ids if one < other}
    keys = [normalise_name(name) for name in names]
    slow = {(one, other) for other in range(len(keys)) for one in range(other) if keys[one] == keys[other]}
    assert pairs == slow
