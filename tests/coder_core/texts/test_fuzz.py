"""Files of texts spoilt at random: what comes out is a bank (or edits), or one error of ours, never a traceback."""

import json
import random

import pytest
import yaml

from coder_core.classes import ClassList
from coder_core.errors import CoderError
from coder_core.review.terminal_text import render_import_report
from coder_core.texts.bank import TextBank
from coder_core.texts.bank_file import parse_text_bank, write_text_bank
from coder_core.texts.domains import load_domains
from coder_core.texts.edits import merge_banks
from coder_core.texts.edits_file import parse_text_edits, write_text_edits
from coder_core.texts.published.published_texts import read_published_texts
from coder_core.texts.sentences import build_texts

CLASSES = ClassList(("crane", "tree frog", "crane", "{class}"))
GENERAL = load_domains()["general"]
PLACE = "files/zoo.yaml"
ROUNDS = 300

BANK = {
    "format": "coder-text-bank/1",
    "domain": "bird",
    "source": "human",
    "partial": True,
    "classes": [
        {"name": "crane", "id": 0, "attributes": ["a long neck", {"text": "legs", "source": "llm:m"}]},
        {"name": "Tree-Frog", "sentences": ["A tree frog is green."], "synonyms": ["toad"]},
        {"name": "crane", "id": 2, "attributes": ["a steel arm"], "analogous_classes": ["derrick"]},
        {"name": "{class}", "attributes": ["{attribute}"]},
        {"name": "newt"},
    ],
    "one_to_one": [{"class": "tree frog", "rival": "crane", "rival_id": 2, "phrases": ["wet skin"]}],
}
EDITS = {
    "format": "coder-text-edits/1",
    "classes": [
        {"name": "tree frog", "attributes": {"add": ["warts"], "delete": ["fur"]}, "sentences": {"add": ["x"]}}
    ],
    "one_to_one": [{"class": "crane", "class_id": 0, "rival": "tree frog", "add": ["feathers"]}],
}
CODER = {
    "class_names": ["crane", "tree frog", "crane"],
    "attribute": [["a long neck", "It has legs"], [], ["it is steel", 3, None]],
    "synonym": [{"class_name": "Tree Frog", "syno": ["toad"]}],
    "analogous_class": {"tree frog": "newt"},
    "one_to_one": {"crane": {"tree frog": ["feathers"]}},
}
CLASS_LISTS = {"crane": ["It has legs", "wings:"], "tree_frog": ["green, and wet,"], "{class}": ["{}"]}

VALUES = [
    *(
        None,
        True,
        -1,
        0,
        2,
        10**80,
        1e308,
        float("nan"),
        "",
        " ",
        "\x00",
        "\x1b[31m",
        "a\nb",
        "\ud800",
        "\u202e",
        "\ufeff",
    ),
    *("{class}", "{", "%s", "{0.__class__}", "crane", "tree frog", "no", "<<", "\N{PARTY POPPER}" * 50, "x" * 20_000),
    *(
        [],
        {},
        [[]],
        [None],
        {"a": 1},
        {"text": "x"},
        {"text": "x", "source": " "},
        [1, "a", ["b"]],
        {"": ""},
        ["a"] * 500,
    ),
]
PIECES = [
    b"[",
    b"{",
    b"- ",
    b": ",
    b"&a ",
    b"*a",
    b"<<: *a",
    b"!!python/object:a.B ",
    b"\x00",
    b"\xff",
    b"\xef\xbb\xbf",
]
PIECES += [
    b"\n",
    b"\t",
    b'"',
    b"'",
    b"#",
    b"|",
    b"? ",
    b"---\n",
    b"9" * 4000,
    b"%YAML 9.9\n",
    b"\\ud800",
    b"1:" * 60,
    b"\xff",
]


def mutate(value, rng):
    """A copy of a document with one value exchanged, removed, doubled or renamed, anywhere in it."""
    if isinstance(value, dict | list) and value and rng.random() < 0.8:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key, copy = rng.choice(keys), value.copy()
        way = rng.random()
        if way < 0.7:
            copy[key] = mutate(value[key], rng)
        elif way < 0.8:
            del copy[key]
        elif isinstance(copy, list):
            copy.insert(key, rng.choice([value[key], rng.choice(VALUES)]))
        else:
            copy[rng.choice(["", "name", "id", "x" * 300, "a\x00", "class", *map(str, keys)])] = copy.pop(key)
        return copy
    return rng.choice(VALUES)


def spoil(content, rng):
    """Bytes with a piece cut out, put in or turned round."""
    at, length = rng.randrange(len(content) + 1), rng.randrange(1, 12)
    piece = rng.choice([b"", rng.choice(PIECES), content[at : at + length][::-1], rng.choice(PIECES)])
    return content[:at] + piece + content[at + length :]


def spoilt_files(document, seed):
    rng = random.Random(seed)
    for _ in range(ROUNDS):
        spoilt = document
        for _ in range(rng.randrange(3)):
            spoilt = mutate(spoilt, rng)
        if rng.random() < 0.5:
            content = json.dumps(spoilt).encode()
        else:
            content = yaml.safe_dump(spoilt, default_flow_style=rng.choice([True, False, None])).encode(
                "utf-8", "replace"
            )
        for _ in range(rng.choice([0, 0, 1, 2])):
            content = spoil(content, rng)
        yield content


def use_bank(content):
    bank = parse_text_bank(content, place=PLACE, classes=CLASSES)
    again = parse_text_bank(write_text_bank(bank, CLASSES), place=PLACE, classes=CLASSES)
    assert again.one_to_one == bank.one_to_one
    return bank


def use_edits(content):
    edits = parse_text_edits(content, place=PLACE, classes=CLASSES)
    written = write_text_edits(edits, CLASSES)
    assert parse_text_edits(written, place=PLACE, classes=CLASSES) == edits
    return merge_banks([parse_text_bank(json.dumps(BANK), place=PLACE, classes=CLASSES)], edits)


def use_published(content):
    published = read_published_texts(content, place=PLACE, classes=CLASSES)
    assert render_import_report(published.report)
    return published.bank


def use_own_classes(content):
    published = read_published_texts(content, place=PLACE)
    build_texts(published.classes, published.bank, GENERAL)
    return published.bank


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
    ("document", "use"),
    [
        (BANK, use_bank),
        (EDITS, use_edits),
        (CODER, use_published),
        (CODER, use_own_classes),
        (CLASS_LISTS, use_published),
    ],
    ids=["bank", "edits", "coder", "own classes", "class to list"],
)
def test_a_spoilt_file_is_a_bank_or_one_error_of_ours(document, use, seed):
    banks = errors = 0
    for content in spoilt_files(document, seed):
        try:
            bank = use(content)
        except CoderError as error:
            errors += 1
            message = str(error)
            assert len(message) < 700, content
            assert "\n" not in message
            assert "pydantic" not in message
        else:
            banks += 1
            assert isinstance(bank, TextBank)
            if len(bank.classes) == len(CLASSES):
                assert len(build_texts(CLASSES, bank, GENERAL)) >= len(CLASSES)
    assert banks > ROUNDS / 20
    assert errors > ROUNDS / 20
