"""YAML and JSON: what the parsers themselves read, within limits, and one error for everything else."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from coder_core.errors import TextBankError
from coder_core.texts.markup import MAX_BYTES, MAX_DEPTH, MAX_NUMBER, MAX_TEXT, MAX_VALUES, read_markup

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(allow_nan=False),
    st.dates(),
    st.binary(max_size=8),
    st.text(st.characters(codec="utf-8"), max_size=12),
    st.sampled_from(["no", "1e3", "=", "<<", "~", "0x1F", "1:30", "[a]", "# x", "{a", "2020-01-01", "''"]),
)
KEYS = st.text(st.characters(codec="utf-8"), max_size=6)
DOCUMENTS = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)


@given(DOCUMENTS)
def test_yaml_is_read_as_the_yaml_library_reads_it(document):
    for style in (None, True):
        text = yaml.safe_dump(document, default_flow_style=style)
        assert read_markup(text.encode(), "f") == yaml.safe_load(text) == document


@given(
    st.dictionaries(
        KEYS,
        st.recursive(st.none() | st.integers() | st.floats(allow_nan=False) | KEYS, st.lists, max_leaves=8),
        max_size=4,
    ),
    st.sampled_from([None, 1, "\t"]),
)
def test_json_is_read_as_the_json_library_reads_it(document, indent):
    text = json.dumps(document, indent=indent, ensure_ascii=False)
    assert read_markup(text, "f") == json.loads(text) == document


@pytest.mark.parametrize(
    "text",
    [
        "a: &x [1, 2]\nb: *x",
        "a: &x {p: 1, q: 2}\nb: {<<: *x, q: 3}",
        "a: &x {p: 1}\nb: &y {p: 2, r: 3}\nc: {<<: [*x, *y]}",
        "a: !!str 12\nb: !!int '12'\nc: ! x\nd: !!float 1\ne: !!null ''\nf: !!binary aGk=",
        "- 0o17\n- 017\n- 0b11\n- 1_000\n- .5\n- .inf\n- 190:20:30\n- 2001-12-14t21:59:43.10-05:00\n- ~\n- =x",
        "- |\n  a\n  b\n- >\n  a\n  b\n- 'it''s'\n- \"\\u263A\\0\"\n- &a b\n- *a",
        "2: a\ntrue: b\n? c\n: d\n2020-01-01: e",
        "# only a comment",
        "--- a\n...\n",
    ],
)
def test_the_features_of_yaml_are_kept(text):
    assert read_markup(text, "f") == yaml.safe_load(text)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("a: 1\nb: 2\na: 3", "'a' is there twice, line 3"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "'c' is there twice"),
        ("[a, b]: c", "a list or mapping as key"),
        ("a: *x", "alias 'x' repeats nothing"),
        ("&a [*a]", "alias 'a' repeats nothing that is complete"),
        ("a: 1\n---\nb: 2", "more than one document"),
        (
            "a: !!python/object/apply:os.system [id]",
            "tag 'tag:yaml.org,2002:python/object/apply:os.system' is not known",
        ),
        ("a: !!python/name:os.system ''", "'' cannot be read as 'os.system'"),
        ("a: !!timestamp x", "'x' cannot be read as 'timestamp'"),
        ("a: !!bool maybe", "'maybe' cannot be read as 'bool'"),
        ("a: <<", "`<<` stands where no key is"),
        ("- <<", "`<<` stands where no key is"),
        ("a: {<<: 3}", "`<<` names something that is no mapping"),
        ("a: \0", "control characters"),
        ('{"a": "\x01"}', "ontrol character"),
        ("a: 2020-99-99", "month"),
        (b"a\x00b", "control characters"),
        ("a: b".encode("utf-16"), "this is UTF-16 text"),
        (b"a: \xff", "this is not UTF-8 text"),
        ("- \ud800", "surrogates"),
        ("[" * 100_000, "maximum nesting depth"),
        ('{"a":' * 100_000, f"deeper than {MAX_DEPTH} levels"),
        ("a: " + "[" * MAX_DEPTH + "]" * MAX_DEPTH, f"deeper than {MAX_DEPTH} levels"),
        ("a" * (MAX_TEXT + 1), f"a text of {MAX_TEXT + 1:,} characters"),
        (json.dumps({"a": "b" * (MAX_TEXT + 1)}), "characters, at most"),
        ("a: " + "9" * 4_000, "a number of 4,000 characters, at most 100 are read, line 1"),
        ('{"a": ' + "9" * 4_000 + "}", "a number of 4,000 characters, at most 100 are read"),
        ("a: !!int " + "9" * 4_000, "too long for a value that is no text"),
        pytest.param("[" + "0," * MAX_VALUES + "]", f"more than {MAX_VALUES:,} values", marks=pytest.mark.slow),
        pytest.param('{"a": [' + "0," * MAX_VALUES + "0]}", f"more than {MAX_VALUES:,} values", marks=pytest.mark.slow),
        ("a" * (MAX_BYTES + 1), f"the file has {MAX_BYTES + 1:,} bytes"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_is_not_read_is_one_short_error(content, problem):
    with pytest.raises(TextBankError) as caught:
        read_markup(content, "bank.yaml")
    message = str(caught.value)
    assert message.startswith("bank.yaml: ")
    assert problem in message
    assert len(message) < 400
    assert message.isprintable()


def test_a_byte_order_mark_is_ignored():
    assert read_markup(b"\xef\xbb\xbfa: b", "f") == read_markup("\ufeff{a: b}", "f") == {"a": "b"}


def test_long_digits_are_a_text_where_they_are_quoted():
    digits = "9" * (MAX_NUMBER + 1)
    assert read_markup(f"a: '{digits}'\nb: {digits[1:]}\nc: x{digits}", "f") == {
        "a": digits,
        "b": int(digits[1:]),
        "c": f"x{digits}",
    }


@pytest.mark.slow
def test_a_file_of_our_own_may_have_any_size():
    text = "[" + "0," * MAX_VALUES + "'" + "x" * MAX_BYTES + "']"
    assert len(read_markup(text, "f", is_trusted=True)) == MAX_VALUES + 1
    with pytest.raises(TextBankError, match="deeper"):
        read_markup("a: " + "[" * MAX_DEPTH + "]" * MAX_DEPTH, "f", is_trusted=True)


LAUGHS = "a: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"b{level}: &a{level + 1} [{','.join([f'*a{level}'] * 9)}]\n" for level in range(9)
)
"""522 bytes that stand for 3.9 thousand million values."""

MEASURE = """
import re, sys
from pathlib import Path
from coder_core.classes import ClassList
from coder_core.errors import TextBankError
from coder_core.texts.bank_file import parse_text_bank
from coder_core.texts.published.published_texts import read_published_texts

def peak():
    return int(re.search("VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1000

classes, before = ClassList(("a", "b")), peak()
while length := sys.stdin.buffer.read(8):
    content, problem = sys.stdin.buffer.read(int(length)), ""
    read = parse_text_bank if b"coder-text-bank" in content else read_published_texts
    try:
        read(content, place="f", classes=classes)
    except TextBankError as error:
        problem = str(error)
    print(peak() - before, len(problem))
    del content
"""
BANK = "format: coder-text-bank/1\nclasses:\n- name: a\n  attributes: "
BIG = MAX_BYTES - 1_000
EXPENSIVE = {
    "laughs": LAUGHS,
    "numbers for texts": '{"a": [' + "1," * 290_000 + "1]}",
    "laughs in a bank": LAUGHS.replace("a: &a0", "format: coder-text-bank/1\nclasses: &a0"),
    "numbers for phrases": BANK + "[" + "1," * 290_000 + "]",
    "numbers for classes": "format: coder-text-bank/1\nclasses: [" + "1," * 290_000 + "]",
    "empty classes": "format: coder-text-bank/1\nclasses: [" + "{}," * 290_000 + "]",
    "unknown keys": "format: coder-text-bank/1\n" + "".join(f"k{key}: 1\n" for key in range(140_000)),
    "wide phrases": BANK + "[" + "'abcdefghij\N{PARTY POPPER}'," * 290_000 + "]",
    "phrases with sources": BANK + "[" + "{text: abcdefgh, source: x}," * 57_000 + "]",
    "one long line": "a " * (BIG // 2),
    "sixties": "a: 1" + ":59" * (BIG // 3),
    "quotes": '{"a": ' + '""' * (BIG // 2) + "}",
    "emoji": "# " + "\N{PARTY POPPER}" * (BIG // 4),
}


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="the peak of memory is read from Linux's /proc")
def test_no_file_takes_more_than_a_hundred_megabytes():
    given = b"".join(b"%8d" % len(content) + content for content in map(str.encode, EXPENSIVE.values()))
    done = subprocess.run([sys.executable, "-c", MEASURE], input=given, capture_output=True, check=True)
    lines = [tuple(map(float, line.split())) for line in done.stdout.splitlines()]
    for case, (megabytes, length_of_problem) in zip(EXPENSIVE, lines, strict=True):
        assert megabytes < 100, case
        assert 0 < length_of_problem < 400, case
