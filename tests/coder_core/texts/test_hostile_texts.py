"""Names and phrases of any signs and any length go through every step as text, and as nothing else."""

import json
import time

import pytest

from coder_core.classes import ClassList, display_name
from coder_core.review.bank_review import review_bank
from coder_core.review.terminal_text import render_bank, render_class, render_import_report
from coder_core.texts.bank import ClassTexts, PhraseKind, TextBank, canonical_bank
from coder_core.texts.bank_file import parse_text_bank, write_text_bank
from coder_core.texts.domains import load_domains
from coder_core.texts.edits import edits_between, merge_banks
from coder_core.texts.edits_file import parse_text_edits, write_text_edits
from coder_core.texts.kinds import TextKind
from coder_core.texts.published.published_texts import read_published_texts
from coder_core.texts.published.repair import repair_phrase
from coder_core.texts.sentences import build_texts

HOSTILE = {
    "newlines": "a\nred\r\nbird\u2028here",
    "braces": "{class} {0} {attribute} {} {{x}} {a.__class__}",
    "half a brace": "} a { b",
    "percent": "%s %(class)s \\1 \\g<0> $x",
    "emoji": "\N{PARTY POPPER} party \N{ZERO WIDTH JOINER}\N{VARIATION SELECTOR-16}",
    "right to left": "\u05d0\u05d1 \u202egnp.exe\u202c",
    "nul": "a\x00b \x1b[31m \x7f",
    "markup": "- x: [y] # <b>&amp;</b> '\"` | > ? !!x &a *a",
    "long": "wren " * 2_000,
    "one long word": "w" * 10_000,
    "no letters": "?! ++ _",
}
NAMES = ClassList(tuple(HOSTILE.values()))
BANK = TextBank(
    tuple(ClassTexts((text,), (f"{text} 2",), (f"{text} 3",), (f"{text} 4",)) for text in HOSTILE.values()),
    {(0, 1): tuple(HOSTILE.values())},
)


@pytest.mark.parametrize("domain", ["general", "flag", "action"])
def test_sentences_are_put_together_by_replacement(domain):
    templates = load_domains()[domain]
    table = build_texts(NAMES, BANK, templates)
    for class_id, name in enumerate(NAMES.display_names):
        rows = {row.kind: row for row in reversed(table.rows) if row.class_id == class_id}
        assert rows[TextKind.CLASS_NAME].text == templates.class_name.replace("{class}", name)
        before, after = templates.attribute.split("{attribute}")
        phrase = " ".join(NAMES.names[class_id].split())
        assert rows[TextKind.ATTRIBUTE].text == before.replace("{class}", name) + phrase + after
        assert " ".join(f"{NAMES.names[class_id]} 4".split()) in [row.text for row in table if row.class_id == class_id]


def test_files_give_back_what_was_written():
    text = write_text_bank(BANK, NAMES)
    bank = parse_text_bank(text.encode(), place="bank.yaml", classes=NAMES)
    assert bank == canonical_bank(BANK)
    empty = TextBank((ClassTexts(),) * len(NAMES))
    edits = edits_between(empty, bank)
    again = parse_text_edits(write_text_edits(edits, NAMES).encode(), place="edits.yaml", classes=NAMES)
    assert merge_banks([empty], again) == bank


@pytest.mark.parametrize("kind", [None, PhraseKind.SENTENCE, PhraseKind.SYNONYM])
def test_published_files_are_imported_and_shown(kind):
    document = {name: [text, f"{text} 2", f"It has {text}"] for name, text in zip(NAMES, HOSTILE.values(), strict=True)}
    published = read_published_texts(json.dumps(document), place="x.json", classes=NAMES, kind=kind)
    assert len(published.bank.classes) == len(NAMES)
    assert published.report.unmatched == ()
    shown = render_import_report(published.report)
    assert all(char.isprintable() for char in shown.replace("\n", ""))


def test_a_review_ends_and_shows_nothing_that_a_terminal_obeys():
    review = review_bank(BANK, NAMES)
    shown = [render_bank(NAMES, BANK, review), *(render_class(at, NAMES, BANK, review) for at in range(len(NAMES)))]
    assert all(char.isprintable() for text in shown for char in text.replace("\n", ""))
    assert max(len(line) for text in shown for line in text.splitlines()) < 600


SLOW = {
    "has": "it has " * 10_000,
    "is": "A is " * 14_000 + "x",
    "dashes": "-" * 70_000 + "x",
    "commas and blanks": ", " * 35_000 + "x",
    "adverbs": "usually " * 9_000,
    "glued": "aA" * 35_000 + ":",
    "quotes": "'" * 70_000,
    "name": "a" * 70_000,
    "their": "their " * 12_000,
}


@pytest.mark.parametrize("case", sorted(SLOW))
def test_repair_takes_time_in_proportion_to_the_phrase(case):
    def seconds(length):
        started = time.process_time()
        for kind in PhraseKind:
            repair_phrase(SLOW[case][:length], kind, "a" * 5_000)
        return time.process_time() - started

    seconds(100)
    assert seconds(64_000) < 200 * max(seconds(2_000), 0.002)  # quadratic: 1,024 times


def test_a_name_of_signs_alone_is_its_own_mention():
    classes = ClassList(("++", "tree frog"))
    table = build_texts(
        classes,
        TextBank((ClassTexts(("looks like ++",)), ClassTexts(("many tree frogs, green",)))),
        load_domains({"whole": {"attribute": "{attribute}"}})["whole"],
    )
    assert [row.text for row in table if row.kind is TextKind.ATTRIBUTE] == ["looks like ++", "many tree frogs, green"]
    assert display_name("++") == "++"
