"""From phrases to sentences: one order, no repeats, nothing of the user's is a template."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coder_core.classes import ClassList, display_name
from coder_core.errors import TextBankError
from coder_core.texts.bank import ClassTexts, Phrase, TextBank, empty_bank
from coder_core.texts.domains import load_domains
from coder_core.texts.kinds import TextKind
from coder_core.texts.sentences import CLASS_LIST_SOURCE, build_texts

FLAG, GENERAL = load_domains()["flag"], load_domains()["general"]
CLASSES = ClassList(("Italy", "Sea_Eagle"))
BANK = TextBank(
    classes=(
        ClassTexts(
            attributes=("a red  stripe.", Phrase("a green stripe", "llm:x")),
            analogous_classes=("Ireland.", "Ireland"),
            synonyms=("Il_Tricolore", "Italy"),
        ),
        ClassTexts(attributes=("a {class}",)),
    ),
    one_to_one={(1, 0): ("Feathers.",)},
)
NEIGHBOURS = [kind for kind in TextKind if kind is not TextKind.TEMPLATE]


def test_a_small_bank_by_hand():
    table = build_texts(CLASSES, BANK, GENERAL, kinds=NEIGHBOURS)
    assert [(row.text, str(row.kind), row.class_id, row.rival_id) for row in table] == [
        ("a photo of Italy", "class_name", 0, None),
        ("a photo of Il Tricolore", "synonym", 0, None),
        ("a photo of Italy", "synonym", 0, None),
        ("Italy which has a red stripe.", "attribute", 0, None),
        ("Italy which has a green stripe", "attribute", 0, None),
        ("a Italy similar to Ireland.", "analogous_class", 0, None),
        ("a photo of Sea Eagle", "class_name", 1, None),
        ("Sea Eagle which has a {class}", "attribute", 1, None),
        ("Because of Feathers, Sea Eagle is different from Italy.", "one_to_one", 1, 0),
        ("Sea Eagle stands out in Feathers compared to Italy.", "one_to_one", 1, 0),
        ("Different from Italy, Sea Eagle has Feathers.", "one_to_one", 1, 0),
    ]
    assert len(table.unique_texts()) == len(table) - 1


def test_rows_say_where_they_came_from():
    rows = build_texts(CLASSES, BANK, FLAG).rows
    assert rows[0].source == CLASS_LIST_SOURCE
    by_phrase = {row.phrase: row for row in rows if row.kind is TextKind.ATTRIBUTE}
    assert by_phrase["a green stripe"].source == "llm:x"
    assert by_phrase["a red stripe."].source == "file"
    assert by_phrase["a green stripe"].template == FLAG.attribute
    assert all(type(row.text) is str and type(row.phrase) is str for row in rows)


def test_ensemble_rows_stand_beside_the_neighbour_texts():
    rows = [row for row in build_texts(CLASSES, BANK, FLAG) if row.kind is TextKind.TEMPLATE]
    assert [row.template for row in rows] == [*FLAG.ensemble, *FLAG.ensemble]
    assert rows[0].text == "a photo of the flag of Italy."


def test_kinds_choose_and_the_class_name_is_always_there():
    table = build_texts(CLASSES, BANK, FLAG, kinds=[TextKind.ATTRIBUTE])
    assert {row.kind for row in table} == {TextKind.CLASS_NAME, TextKind.ATTRIBUTE}
    bare = build_texts(CLASSES, empty_bank(CLASSES), FLAG, kinds=[])
    assert bare.unique_texts() == ("a flag of Italy", "a flag of Sea Eagle")


def test_two_classes_of_one_name_share_a_sentence():
    table = build_texts(ClassList(("crane", "crane")), TextBank((ClassTexts(), ClassTexts())), GENERAL, kinds=[])
    assert [row.class_id for row in table] == [0, 1]
    assert table.unique_texts() == ("a photo of crane",)


def test_a_bank_of_another_size_is_refused():
    with pytest.raises(TextBankError, match="2 classes, the class list 1"):
        build_texts(ClassList(("Italy",)), BANK, FLAG)


PHRASE = st.text(min_size=1, max_size=12).filter(lambda text: text.strip() != "")
NAME = st.text(min_size=1, max_size=12).filter(lambda text: display_name(text) != "")


@given(
    st.lists(st.tuples(NAME, st.lists(PHRASE, max_size=3)), min_size=1, max_size=4), st.sampled_from([FLAG, GENERAL])
)
def test_any_names_and_phrases_give_every_class_its_name_first(entries, domain):
    classes = ClassList(tuple(name for name, _ in entries))
    bank = TextBank(tuple(ClassTexts(attributes=tuple(phrases)) for _, phrases in entries))
    table = build_texts(classes, bank, domain)
    assert table == build_texts(classes, bank, domain)
    for class_id in range(len(classes)):
        rows = [row for row in table if row.class_id == class_id]
        assert rows[0].kind is TextKind.CLASS_NAME
        assert rows[0].text == domain.class_name.replace("{class}", classes.display_names[class_id])
        keys = [(row.kind, row.text) for row in rows]
        assert len(set(keys)) == len(keys)
    assert json.loads(json.dumps(table.unique_texts())) == list(table.unique_texts())


WHOLE = load_domains(
    {
        "whole": {
            "attribute": "{attribute}",
            "analogous_class": "{analogue}",
            "one_to_one": ["{phrase}", "{class}: {phrase}"],
        }
    }
)["whole"]


def test_templates_without_the_class_take_phrases_that_name_it():
    bank = TextBank(
        (
            ClassTexts(
                ("The flag of ITALY is plain.", "il tricolore, green"), ("Italy looks like Peru",), ("Il Tricolore",)
            ),
            ClassTexts(("Two sea eagles.",)),
        ),
        {(0, 1): ("Italy has no feathers, a sea-eagle has",)},
    )
    texts = [row.text for row in build_texts(CLASSES, bank, WHOLE, kinds=NEIGHBOURS)]
    assert texts == [
        "a photo of Italy",
        "a photo of Il Tricolore",
        "The flag of ITALY is plain.",
        "il tricolore, green",
        "Italy looks like Peru",
        "a photo of Sea Eagle",
        "Two sea eagles.",
        "Italy has no feathers, a sea-eagle has",
        "Italy: Italy has no feathers, a sea-eagle has",
    ]


@pytest.mark.parametrize(
    ("bank", "problem"),
    [
        (TextBank((ClassTexts(("it is green",)), ClassTexts())), "'it is green' does not name the class 'Italy'"),
        (TextBank((ClassTexts(), ClassTexts((), ("an eagle",)))), "'an eagle' does not name the class 'Sea Eagle'"),
        (TextBank((ClassTexts(("Italian",)), ClassTexts())), "'Italian' does not name the class 'Italy'"),
        (
            TextBank((ClassTexts(),) * 2, {(0, 1): ("Italy is flat",)}),
            "'Italy is flat' does not name the rival 'Sea Eagle'",
        ),
    ],
)
def test_a_phrase_without_the_name_is_refused_with_class_and_phrase(bank, problem):
    with pytest.raises(TextBankError, match=problem) as caught:
        build_texts(CLASSES, bank, WHOLE)
    assert "nor does the template" in str(caught.value)
    assert len(build_texts(CLASSES, bank, WHOLE, kinds=[])) == 2  # what is not built is not checked
    assert len(build_texts(CLASSES, bank, GENERAL)) > 2


def test_whole_sentences_stand_beside_dressed_attributes_as_they_are():
    bank = TextBank((ClassTexts(("a stripe",), sentences=("A flag.", "Italy which has a stripe")), ClassTexts()))
    rows = [row for row in build_texts(CLASSES, bank, GENERAL) if row.kind is TextKind.ATTRIBUTE]
    assert [(row.text, row.phrase, row.template) for row in rows] == [
        ("Italy which has a stripe", "a stripe", GENERAL.attribute),
        ("A flag.", "A flag.", "{attribute}"),
    ]
