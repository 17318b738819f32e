"""What a person reads: complete, aligned, and deaf to whatever a phrase tries to tell the terminal."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coder_core.classes import ClassList
from coder_core.errors import InputError
from coder_core.review.bank_review import review_bank
from coder_core.review.terminal_text import (
    CELL_WIDTH,
    align,
    find_class_ids,
    render_bank,
    render_class,
    render_import_report,
    render_issue,
    visible,
)
from coder_core.texts.bank import ClassTexts, Phrase, TextBank
from coder_core.texts.published.published_texts import read_published_texts

CLASSES = ClassList(("crane", "Heron", "crane"))
BANK = TextBank(
    (
        ClassTexts((Phrase("a long neck", "llm:m"), Phrase("mine", "human")), ("Heron",), (Phrase("Grus", "wordnet"),)),
        ClassTexts((Phrase("a long neck", "llm:m"),)),
        ClassTexts(),
    ),
    {(0, 1): (Phrase("a red crown", "llm:m"),)},
)
REVIEW = review_bank(BANK, CLASSES)


def test_a_class_is_shown_with_its_phrases_their_sources_and_its_issues():
    assert render_class(0, CLASSES, BANK, REVIEW) == (
        "crane (id 0)\n"
        "  2 attributes, 0 sentences, 1 analogous classes, 1 synonyms, 1 one-to-one phrases against 1 rivals;"
        " 1 by a person\n"
        "\nattributes\n  1  a long neck  llm:m\n  2  mine         human\n"
        "\nanalogous classes\n  1  Heron  file\n"
        "\nsynonyms\n  1  Grus  wordnet\n"
        "\none-to-one phrases, against Heron\n  1  a red crown  llm:m\n"
        "\n2 issues\n"
        "  leak: analogous_class 'Heron' <- 'Heron': 'heron'\n"
        "  shared: attribute 'a long neck' <- 'Heron' [2]\n"
    )
    assert "empty_class: 'crane'" in render_class(2, CLASSES, BANK, REVIEW)
    clean = TextBank((ClassTexts(("a",)),))
    assert "no issues" in render_class(0, ClassList(("x",)), clean, review_bank(clean, ClassList(("x",))))


def test_many_issues_are_cut_and_counted():
    bank = TextBank((ClassTexts(tuple(f"b {n}" for n in range(50))), ClassTexts()))
    classes = ClassList(("a", "b"))
    assert "50 issues" in (shown := render_class(0, classes, bank, review_bank(bank, classes)))
    assert "and 30 more" in shown


def test_a_bank_is_shown_in_brief():
    shown = render_bank(CLASSES, BANK, REVIEW)
    assert shown.startswith("3 classes, 6 phrases, of them 1 by a person\n")
    assert "  attributes                3                 0       1     2\n" in shown
    assert "  llm:m    3\n" in shown
    assert "  empty_class  1  no attribute" in shown


def test_a_bank_without_faults_says_so():
    classes, bank = ClassList(("x",)), TextBank((ClassTexts(("a",)),))
    assert "issues\n  none  0\n" in render_bank(classes, bank, review_bank(bank, classes))


def test_a_class_is_found_by_any_spelling():
    assert find_class_ids("crane", CLASSES) == (0, 2)
    assert find_class_ids("the  HERON", CLASSES) == (1,)
    with pytest.raises(InputError, match=r"no class 'hero'\. Did you mean 'Heron'"):
        find_class_ids("hero", CLASSES)
    with pytest.raises(InputError, match=r"no class 'zebra'\. The list has 3"):
        find_class_ids("zebra", CLASSES)


HOSTILE = "\x1b[31mred\x1b]0;owned\x07 \u202eevil \x9b2J\r\n<b> " + "x" * 300


def test_hostile_text_does_not_reach_the_terminal():
    classes = ClassList((HOSTILE, "b"))
    bank = TextBank((ClassTexts((Phrase(HOSTILE + " b", HOSTILE),)), ClassTexts((HOSTILE,))), {(0, 1): (HOSTILE,)})
    review = review_bank(bank, classes)
    document = {
        "class_names": [HOSTILE],
        "attribute": [[HOSTILE, HOSTILE]],
        "synonym": {HOSTILE + "?": ["x"]},
        HOSTILE: 1,
    }
    report = read_published_texts(json.dumps(document), place=HOSTILE).report
    shown = [render_class(0, classes, bank, review), render_bank(classes, bank, review), render_import_report(report)]
    for text in [*shown, *(render_issue(issue, classes) for issue in review.issues)]:
        assert all(char.isprintable() for char in text.replace("\n", ""))
        assert max(map(len, text.splitlines())) < 4 * CELL_WIDTH


@given(st.text(max_size=200), st.integers(3, 60))
def test_a_cell_is_one_printable_line_of_bounded_width(text, width):
    cell = visible(text, width)
    assert "\n" not in cell
    assert cell.isprintable()
    assert len(cell) <= 2 * width
    assert visible(text, 10**6).startswith(cell.removesuffix("…"))


def test_columns_are_aligned_by_what_a_terminal_shows():
    assert align([("a", 1, "x"), ("漢字", 10, "yy")]) == ["  a      1  x", "  漢字  10  yy"]
    assert align([]) == []


def test_the_import_report_says_everything_that_a_person_must_do():
    document = {
        "class_names": ["crane", "tree frog"],
        "attribute": [["It has a neck", "", "usually grey"], []],
        "synonym": [{"class_name": "three frogs", "syno": ["toad"]}],
        "one_to_one": {"crane": {"crane": ["x"]}},
        "extra": 1,
    }
    shown = render_import_report(read_published_texts(json.dumps(document), place="zoo.json").report)
    for line in (
        "zoo.json: coder format, 2 classes, source published:zoo.json",
        "  three frogs  synonym     1  no such class          nearest: tree frog",
        "  crane        one_to_one  1  a class against itself  nearest: crane",
        "classes without any text\n  tree frog  id 1",
        "phrases dropped\n  blank  1  no letter and no digit",
        "      'It has a neck' -> 'a neck'",
        "phrases flagged\n  not_a_noun_phrase  1",
        "keys that were not read\n  extra",
    ):
        assert line in shown or " ".join(line.split()) in " ".join(shown.split())
