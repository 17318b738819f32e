"""A person's edits survive their file, and a file written wrongly is one clear error."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coder_core.classes import ClassList
from coder_core.errors import TextBankError
from coder_core.texts.bank import TextSlot
from coder_core.texts.edits import PhraseEdits, TextEdits, phrase_key
from coder_core.texts.edits_file import parse_text_edits, write_text_edits
from coder_core.texts.kinds import TextKind

CLASSES = ClassList(("crane", "Heron", "crane"))
GOOD = """
format: coder-text-edits/1
classes:
  - name: heron
    attributes: {add: [a long neck], delete: ["a beak, curved"]}
    synonyms: {delete: [hern]}
  - {name: crane, id: 2, analogous_classes: {add: [Excavator]}}
one_to_one:
  - {class: heron, rival: crane, rival_id: 0, add: [grey], delete: }
"""


def parse(text, classes=CLASSES):
    return parse_text_edits(text, place="edits.yaml", classes=classes)


def test_edits_are_read_by_class_name():
    assert parse(GOOD).by_slot == {
        TextSlot(TextKind.ATTRIBUTE, 1): PhraseEdits(("a long neck",), ("a beak, curved",)),
        TextSlot(TextKind.SYNONYM, 1): PhraseEdits((), ("hern",)),
        TextSlot(TextKind.ONE_TO_ONE, 1, 0): PhraseEdits(("grey",)),
        TextSlot(TextKind.ANALOGOUS_CLASS, 2): PhraseEdits(("Excavator",)),
    }
    assert parse("format: coder-text-edits/1") == TextEdits()


TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12).filter(str.strip)
TEXTS |= st.sampled_from(["a, b", "no", "- x", '"', "{class}", "<b>", "\x1b[31m", "ẞ"])
KINDS = st.sampled_from([TextKind.ATTRIBUTE, TextKind.ANALOGOUS_CLASS, TextKind.SYNONYM])
SLOTS = st.tuples(KINDS, st.integers(0, 2)).map(lambda at: TextSlot(*at)) | st.permutations(range(3)).map(
    lambda ids: TextSlot(TextKind.ONE_TO_ONE, *ids[:2])
)


@st.composite
def phrase_edits(draw):
    phrases = draw(st.lists(TEXTS, unique_by=phrase_key, max_size=4))
    cut = draw(st.integers(0, len(phrases)))
    return PhraseEdits(added=tuple(phrases[:cut]), deleted=tuple(phrases[cut:]))


@given(st.dictionaries(SLOTS, phrase_edits(), max_size=5).map(TextEdits))
def test_edits_survive_their_file(edits):
    assert parse(write_text_edits(edits, CLASSES)) == edits


WRONG = {
    "not a mapping": ("- a", "expected a mapping"),
    "format": ("format: coder-text-bank/1", "coder-text-edits/1"),
    "unknown key": (GOOD.replace("add: [a", "ad: [a"), r"classes\[0\]\.attributes\.ad: unknown key 'ad'.*'add'"),
    "markup key": (GOOD + "<b>: 1\n", "<b>: unknown key '<b>'"),
    "unknown class": (GOOD.replace("name: heron", "name: hero"), r"classes\[0\]\.name: .*mean 'Heron'"),
    "which crane": (GOOD.replace("id: 2,", ""), r"classes\[1\]\.name: .*`id`"),
    "own rival": (GOOD.replace("rival: crane, rival_id: 0", "rival: heron"), r"one_to_one\[0\]\.rival: .*own rival"),
    "twice": (
        GOOD.replace("crane, id: 2", "heron").replace("analogous_classes", "synonyms"),
        r"\[1\]\.synonyms: .*twice",
    ),
    "both": (GOOD.replace('"a beak, curved"', "A Long neck"), r"classes\[0\]\.attributes: .*both added and deleted"),
    "a number": (GOOD.replace("[grey]", "[1]"), r"one_to_one\[0\]\.add\[0\]: expected text, found int 1"),
    "blank": (GOOD.replace("[grey]", "['']"), r"one_to_one\[0\]\.add\[0\]: the text '' is blank"),
}


@pytest.mark.parametrize("case", sorted(WRONG))
def test_edits_written_wrongly_are_one_clear_error(case):
    text, message = WRONG[case]
    with pytest.raises(TextBankError, match=message) as caught:
        parse(text)
    assert str(caught.value).startswith("edits.yaml")
    assert str(caught.value).endswith((".", ".)", "?"))
