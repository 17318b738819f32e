"""What a person wrote or deleted survives whatever is generated next: invariants over random banks and edits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coder_core.errors import TextBankError
from coder_core.texts.bank import (
    CLASS_FIELDS,
    HUMAN_SOURCE,
    ClassTexts,
    Phrase,
    PhraseKind,
    TextBank,
    TextSlot,
    bank_from_slots,
    canonical_bank,
    phrase_key,
    phrases_by_slot,
    source_of,
    unique_phrases,
)
from coder_core.texts.edits import PhraseEdits, TextEdits, edits_between, merge_banks

CLASS_COUNT = 3
WORDS = st.sampled_from(["red", "Red", "RED ", "blue", "a  star", "a star", "green", "cross", "ẞ", "ss"])
SOURCES = st.sampled_from(["llm:a", "llm:b", "published:x.json", HUMAN_SOURCE])
LISTS = st.lists(st.builds(Phrase, WORDS, SOURCES), max_size=4).map(tuple)
KINDS = st.sampled_from(list(CLASS_FIELDS))
CLASS_IDS = st.integers(0, CLASS_COUNT - 1)
SLOTS = st.tuples(KINDS, CLASS_IDS).map(lambda at: TextSlot(*at)) | st.permutations(range(CLASS_COUNT)).map(
    lambda ids: TextSlot(PhraseKind.ONE_TO_ONE, ids[0], ids[1])
)


@st.composite
def phrase_edits(draw):
    keys = draw(st.lists(WORDS, unique_by=phrase_key, max_size=4))
    cut = draw(st.integers(0, len(keys)))
    return PhraseEdits(added=tuple(keys[:cut]), deleted=tuple(keys[cut:]))


BANKS = st.dictionaries(SLOTS, LISTS, max_size=5).map(lambda slots: bank_from_slots(slots, class_count=CLASS_COUNT))
EDITS = st.dictionaries(SLOTS, phrase_edits(), max_size=4).map(TextEdits)


def rows(bank):
    """Every phrase of a bank with its place and source, in order."""
    slots = phrases_by_slot(bank)
    return [(slot, str(phrase), source_of(phrase)) for slot, phrases in slots.items() for phrase in phrases]


def keys(bank, slot):
    return {phrase_key(phrase) for phrase in phrases_by_slot(bank).get(slot, ())}


def found_in(edits, slot):
    return edits.by_slot.get(slot, PhraseEdits())


@given(st.lists(BANKS, min_size=1, max_size=3), EDITS)
def test_what_was_added_is_there_as_human_and_what_was_deleted_is_not(banks, edits):
    merged = phrases_by_slot(merge_banks(banks, edits))
    for slot, found in edits.by_slot.items():
        phrases = merged.get(slot, ())
        assert phrases[: len(found.added)] == found.added
        assert {source_of(phrase) for phrase in phrases[: len(found.added)]} <= {HUMAN_SOURCE}
        assert not found.deleted_keys & set(map(phrase_key, phrases))


@given(st.lists(BANKS, min_size=1, max_size=3), EDITS)
def test_nothing_else_comes_or_goes(banks, edits):
    merged = merge_banks(banks, edits)
    every_slot = {slot for bank in banks for slot in phrases_by_slot(bank)} | set(edits.by_slot)
    for slot in every_slot:
        added = {phrase_key(phrase) for phrase in found_in(edits, slot).added}
        written = added.union(*(keys(bank, slot) for bank in banks))
        assert keys(merged, slot) == written - found_in(edits, slot).deleted_keys


@given(BANKS, BANKS, EDITS)
def test_regeneration_changes_nothing_that_a_person_decided(first, second, edits):
    again = merge_banks([second, merge_banks([first], edits)], edits)
    assert rows(merge_banks([merge_banks([first], edits)], edits)) == rows(merge_banks([first], edits))
    for slot, found in edits.by_slot.items():
        assert phrases_by_slot(again).get(slot, ())[: len(found.added)] == found.added
        assert not found.deleted_keys & keys(again, slot)


@given(BANKS, BANKS, BANKS)
def test_merging_is_idempotent_and_associative(one, two, three):
    merged = merge_banks([one])
    assert sorted(rows(merged)) == sorted(rows(merge_banks([one, canonical_bank(one)])))
    assert rows(merge_banks([merged, merged])) == rows(merge_banks([merged])) == rows(merged)
    assert rows(merge_banks([merge_banks([one, two]), three])) == rows(merge_banks([one, two, three]))


@given(BANKS, BANKS)
def test_the_difference_to_an_edited_bank_leads_to_it(base, edited):
    edits = edits_between(base, edited)
    merged, wanted = phrases_by_slot(merge_banks([base], edits)), phrases_by_slot(edited)
    assert {slot: set(phrases) for slot, phrases in merged.items()} == {
        slot: set(phrases) for slot, phrases in wanted.items()
    }
    assert edits_between(base, base) == TextEdits()


def test_precedence_is_edits_then_human_phrases_then_banks_in_order():
    generated = TextBank((ClassTexts((Phrase("a", "llm:m"), Phrase("B", "llm:m"))),), domain=None)
    published = TextBank((ClassTexts((Phrase("b", HUMAN_SOURCE), Phrase("c", "published:x"))),), domain="flag")
    edits = TextEdits({TextSlot(PhraseKind.ATTRIBUTE, 0): PhraseEdits(added=("d", "A"), deleted=("C",))})
    merged = merge_banks([generated, published], edits)
    assert [(str(p), source_of(p)) for p in merged.classes[0].attributes] == [
        ("d", HUMAN_SOURCE),
        ("A", HUMAN_SOURCE),
        ("b", HUMAN_SOURCE),
    ]
    assert merged.domain == "flag"


def test_what_cannot_be_merged_is_refused():
    small, large = (TextBank((ClassTexts(),) * count) for count in (1, 2))
    with pytest.raises(TextBankError, match=r"one class list.*found 2 with \[1, 2\]"):
        merge_banks([small, large])
    with pytest.raises(TextBankError, match=r"found 0 with \[\] classes"):
        merge_banks([])
    with pytest.raises(TextBankError, match="edits speak of class 5"):
        merge_banks([small], TextEdits({TextSlot(PhraseKind.SYNONYM, 5): PhraseEdits(added=("x",))}))
    with pytest.raises(TextBankError, match="'red' is both added and deleted"):
        PhraseEdits(added=("Red",), deleted=(" RED",))
    with pytest.raises(TextBankError, match="blank"):
        PhraseEdits(added=(" ",))


@given(st.dictionaries(SLOTS, LISTS, max_size=5))
def test_slots_and_banks_are_each_others_inverse(slots):
    canonical = {slot: unique_phrases(phrases) for slot, phrases in slots.items() if phrases}
    assert phrases_by_slot(bank_from_slots(canonical, class_count=CLASS_COUNT)) == canonical
