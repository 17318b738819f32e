"""A bank that was written is read back phrase by phrase and source by source, whatever its names and phrases are."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from coder_core.classes import ClassList, display_name
from coder_core.errors import TextBankError
from coder_core.texts.bank import ClassTexts, Phrase, TextBank, empty_bank, source_of, unique_phrases
from coder_core.texts.bank_file import parse_text_bank, write_text_bank
from coder_core.texts.markup import MAX_TEXT

YAML_SYNTAX = (
    "[a, b]",
    "a, b",
    "'",
    '"',
    "no",
    "- x",
    "# y",
    "x: y",
    "1e3",
    "\\",
    "~",
    "=",
    "<<",
    "0x1F",
    "null",
    "| x",
)
MORE_SYNTAX = (
    "2020-01-01",
    "!!python/object:os.system",
    "&a *a",
    "> x",
    "%TAG",
    "@",
    "`",
    "---",
    "...",
    "? x",
    "{class}",
)
OTHERWISE = ("<b>&amp;</b>", "🏴‍☠️", "ẞ", "two  blanks", "_", "Ünïcode", " padded ", "a\u0301", "\ufeffx", "\u2028x")
CONTROLS = ("a\nb", "\ttab", "a\r\nb", "\x85x", "\x00x", "\x1b[31mred")
HOSTILE = st.one_of(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=20),
    st.sampled_from([*YAML_SYNTAX, *MORE_SYNTAX, *OTHERWISE, *CONTROLS]),
)
NAMES = HOSTILE.filter(lambda name: display_name(name) != "" and name.strip() != "")
PHRASES = st.builds(
    Phrase,
    HOSTILE.filter(lambda text: text.strip() != ""),
    st.sampled_from(["file", "human", "llm:a, {b}: c", "wordnet"]),
)
LISTS = st.lists(PHRASES, max_size=3).map(tuple)


@st.composite
def banks(draw, canonical=False):
    names = tuple(draw(st.lists(NAMES, min_size=1, max_size=5)))
    lists = LISTS.map(unique_phrases) if canonical else LISTS
    texts = tuple(ClassTexts(draw(lists), draw(lists), draw(lists), draw(lists)) for _ in names)
    ids = st.integers(0, len(names) - 1)
    pairs = draw(st.dictionaries(st.tuples(ids, ids).filter(lambda pair: pair[0] != pair[1]), lists, max_size=3))
    kept = {pair: phrases for pair, phrases in pairs.items() if phrases or not canonical}
    return ClassList(names), TextBank(texts, kept, draw(st.sampled_from([None, "flag"])))


def parse(text, classes):
    return parse_text_bank(text, place="bank.yaml", classes=classes)


def with_sources(bank):
    lists = [phrases for texts in bank.classes for phrases in vars(texts).values()]
    return [[(str(text), source_of(text)) for text in phrases] for phrases in [*lists, *bank.one_to_one.values()]]


@given(banks(canonical=True))
def test_a_bank_survives_its_file(case):
    classes, bank = case
    again = parse(write_text_bank(bank, classes), classes)
    assert again == bank
    assert with_sources(again) == with_sources(bank)


@given(banks())
def test_any_bank_is_written_in_its_canonical_form(case):
    classes, bank = case
    text = write_text_bank(bank, classes)
    again = parse(text, classes)
    assert write_text_bank(again, classes) == text
    for before, after in zip(bank.classes, again.classes, strict=True):
        assert after.attributes == unique_phrases(before.attributes)
    assert again.one_to_one == {pair: unique_phrases(phrases) for pair, phrases in bank.one_to_one.items() if phrases}


CLASSES = ClassList(("crane", "crane", "Crane", "heron"))


def test_classes_of_one_name_are_told_apart_and_classes_without_attributes_are_allowed():
    texts = (ClassTexts(("a neck",)), ClassTexts(("an arm",)), ClassTexts(synonyms=("C",)), ClassTexts())
    bank = TextBank(texts, {(0, 1): ("feathers",), (2, 3): ("steel",)})
    document = yaml.safe_load(write_text_bank(bank, CLASSES))
    assert [(entry["name"], entry.get("id")) for entry in document["classes"]] == [
        ("crane", 0),
        ("crane", 1),
        ("Crane", None),
        ("heron", None),
    ]
    assert document["partial"] is True
    assert document["one_to_one"][0] == {
        "class": "crane",
        "class_id": 0,
        "rival": "crane",
        "rival_id": 1,
        "phrases": ["feathers"],
    }
    assert parse(write_text_bank(bank, CLASSES), CLASSES) == bank


def test_the_file_is_one_that_a_person_edits():
    phrases = (Phrase("red, white", "llm:m"), Phrase("a star", "llm:m"), Phrase("mine", "human"))
    bank = TextBank((ClassTexts(attributes=phrases),), domain="flag")
    assert write_text_bank(bank, ClassList(("Togo",))) == (
        "format: coder-text-bank/1\ndomain: flag\nsource: llm:m\nclasses:\n- name: Togo\n  attributes:\n"
        "  - red, white\n  - a star\n  - text: mine\n    source: human\n"
    )


def test_names_that_differ_in_blanks_only_are_addressed_by_id():
    classes = ClassList((" a", "a", "A"))
    bank = TextBank(tuple(ClassTexts(synonyms=(text,)) for text in "xyz"))
    assert parse(write_text_bank(bank, classes), classes) == bank


def test_what_no_file_can_hold_is_refused():
    bank = TextBank((ClassTexts(synonyms=("half a pair \ud800",)),))
    with pytest.raises(TextBankError, match=r"text bank: the text '.*' is not Unicode"):
        write_text_bank(bank, ClassList(("a",)))
    with pytest.raises(TextBankError, match="2 classes, the class list 1"):
        write_text_bank(empty_bank(ClassList(("a", "b"))), ClassList(("a",)))


@pytest.mark.parametrize(
    ("phrase", "message"),
    [
        ("{text: a, source: human, note: b}", r"attributes\[1\]\.note: unknown key 'note'"),
        ("{text: a}", r"attributes\[1\]\.source: the key 'source' is missing"),
        ("{text: a, source: 1}", r"attributes\[1\]\.source: expected text, found int 1"),
        ("[a, b]", r"attributes\[1\]: expected text, found list"),
        ("12", r"attributes\[1\]: expected text, found int 12"),
        ("''", r"attributes\[1\]: the text '' is blank"),
    ],
)
def test_a_phrase_written_wrongly_is_one_clear_error(phrase, message):
    text = f"{{format: coder-text-bank/1, classes: [{{name: a, attributes: [good, {phrase}]}}]}}"
    with pytest.raises(TextBankError, match=message):
        parse(text, ClassList(("a",)))


def test_partial_lifts_the_rule_of_all_or_none_and_nothing_else():
    text = "{format: coder-text-bank/1, partial: true, classes: [{name: a, attributes: [x]}, {name: b}]}"
    assert parse(text, ClassList(("a", "b"))).classes[1] == ClassTexts()
    with pytest.raises(TextBankError, match=r"no attributes.*partial"):
        parse(text.replace("partial: true, ", ""), ClassList(("a", "b")))
    with pytest.raises(TextBankError, match="have no entry: 'c'"):
        parse(text, ClassList(("a", "b", "c")))


def test_a_bank_of_any_size_is_read_back_where_it_is_our_own():
    classes, bank = ClassList(("a",)), TextBank((ClassTexts(("x" * (MAX_TEXT + 1),)),))
    text = write_text_bank(bank, classes)
    with pytest.raises(TextBankError, match="a text of 100,001 characters"):
        parse(text, classes)
    assert parse_text_bank(text, place="bank.yaml", classes=classes, is_trusted=True) == bank
