import csv
import io
import json
import unicodedata
import uuid
from datetime import date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coder_core.results.query_result import QueryResult
from coder_core.results.render import CELL_WIDTH, to_csv, to_json, to_table

TEXT = st.text(max_size=20)


def test_a_table_is_aligned_with_numbers_on_the_right() -> None:
    result = QueryResult(["name", "value"], [("clip", 0.5), ("coder", None), ("日本", 12.25)])
    assert to_table(result).splitlines() == [
        "name   value",
        "-----  -----",
        "clip     0.5",
        "coder",
        "日本   12.25",
        "(3 rows)",
    ]


def test_no_rows_still_show_the_columns() -> None:
    assert to_table(QueryResult(["a", "b"], [])) == "a  b\n-  -\n(0 rows)"
    assert to_csv(QueryResult(["a", "b"], [])) == "a,b\n"
    assert to_json(QueryResult(["a"], [])) == "[]"


@given(st.lists(st.tuples(TEXT, TEXT), max_size=4), st.lists(TEXT, min_size=2, max_size=2))
def test_no_cell_can_command_the_terminal_or_break_the_table(rows: list[tuple[str, str]], columns: list[str]) -> None:
    lines = to_table(QueryResult(columns, rows)).split("\n")
    assert len(lines) == len(rows) + 3
    assert not [char for line in lines for char in line if unicodedata.category(char)[0] == "C"]


def test_escape_sequences_are_shown_and_not_obeyed() -> None:
    shown = to_table(QueryResult(["text"], [("a\x1b[31mred\x07\nnext\u202e\u2028",)]))
    assert r"a\x1b[31mred\x07\nnext\u202e\u2028" in shown


def test_a_long_cell_is_cut() -> None:
    for text in ("x" * 500, "日" * 500, "e\u0301" * 5_000, "\u0301" * 10_000, "x" * CELL_WIDTH + "y"):
        line = to_table(QueryResult(["text"], [(text,)])).splitlines()[2]
        assert line.endswith("…")
        assert 1 < len(line) <= 4 * CELL_WIDTH + 1
        assert width(line) <= CELL_WIDTH
    assert to_table(QueryResult(["text"], [("x" * CELL_WIDTH,)])).splitlines()[2] == "x" * CELL_WIDTH


def width(text: str) -> int:
    """Columns of a terminal, for characters whose width nobody doubts."""
    return sum(2 if char == "日" else 0 if unicodedata.combining(char) else 1 for char in text)


def test_columns_are_as_wide_as_what_they_show() -> None:
    """Thai and Devanagari vowels and Hangul Jamo join the letter before them (Unicode, EastAsianWidth and wcwidth)."""
    cells = ["กิน", "नि", "\u1112\u1161\u11ab", "e\u0301"]
    lines = to_table(QueryResult(["text", "n"], [(cell, 1) for cell in cells])).splitlines()[2:-1]
    assert [line.rpartition(" ")[0].count(" ") for line in lines] == [
        len("text  ") - taken - 1 for taken in (2, 1, 2, 1)
    ]


@given(st.lists(st.tuples(st.text(st.characters(exclude_categories=["Cs"]), max_size=20)), max_size=4))
def test_csv_gives_hostile_words_back(rows: list[tuple[str]]) -> None:
    read = list(csv.reader(io.StringIO(to_csv(QueryResult(["a"], rows)), newline="")))
    assert read == [["a"], *([list(row) if row[0] else [""] for row in rows])]


@given(st.lists(st.tuples(st.text(max_size=20)), max_size=4), st.text(max_size=9))
def test_csv_on_a_terminal_commands_nothing(rows: list[tuple[str]], column: str) -> None:
    text = to_csv(QueryResult([column], rows), for_terminal=True)
    assert not [char for char in text.replace("\n", "") if unicodedata.category(char) in {"Cc", "Cf", "Cs", "Co", "Cn"}]


def test_csv_on_a_terminal_shows_lists_and_numbers_as_they_are() -> None:
    rows = [("a\x1b[31m\u202e", 1, [1, 2], None)]
    assert to_csv(QueryResult(list("abcd"), rows), for_terminal=True) == 'a,b,c,d\na\\x1b[31m\\u202e,1,"[1, 2]",\n'


def test_csv_writes_lists_as_json_and_nulls_as_nothing() -> None:
    assert to_csv(QueryResult(["a", "b", "c"], [([1, 2], None, True)])) == 'a,b,c\n"[1, 2]",,True\n'


def test_json_has_plain_types_only() -> None:
    identity = uuid.UUID(int=1)
    row = (
        1,
        Decimal("0.5"),
        float("nan"),
        None,
        True,
        datetime(2026, 1, 2, 3),
        date(2026, 1, 2),
        [1, {"x": b"\xff"}],
        identity,
    )
    [record] = json.loads(to_json(QueryResult(list("abcdefghi"), [row])))
    expected = [1, 0.5, None, None, True, "2026-01-02T03:00:00", "2026-01-02", [1, {"x": "ff"}], str(identity)]
    assert list(record.values()) == expected


def test_json_keeps_both_of_two_columns_with_one_name() -> None:
    [record] = json.loads(to_json(QueryResult(["a", "a"], [(1, 2)])))
    assert list(record.values()) == [1, 2]


@given(st.lists(st.tuples(TEXT), max_size=3))
def test_json_gives_hostile_words_back(rows: list[tuple[str]]) -> None:
    text = to_json(QueryResult(["a"], rows))
    assert text.isascii()
    assert "\x7f" not in text
    assert [record["a"] for record in json.loads(text)] == [row[0] for row in rows]


@pytest.mark.parametrize(
    "cell",
    [
        "=cmd|'/C calc'!A0",
        "+1+1",
        "-1+cmd",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n=1",
        " =1",
        "\u00a0=1",
        "\ufeff=1",
        "\uff1d1",
        "\uff0b1",
        "\uff0d1",
        "\uff201",
        '=HYPERLINK("http://evil.example")',
    ],
)
def test_a_spreadsheet_computes_no_text(cell: str) -> None:
    result = QueryResult([cell, "n"], [(cell, -1.5)])
    header, row = csv.reader(io.StringIO(to_csv(result, for_spreadsheet=True), newline=""))
    assert header == [f"'{cell}", "n"]
    assert row == [f"'{cell}", "-1.5"]  # a number stays one
    assert next(csv.reader(io.StringIO(to_csv(result), newline=""))) == [cell, "n"]  # for programs, as it is


def test_a_spreadsheet_gets_other_texts_as_they_are() -> None:
    rows: list[tuple[object, ...]] = [("wren", "a-b", "1-2", "x=1", None, [1, 2])]
    assert (
        to_csv(QueryResult(list("abcdef"), rows), for_spreadsheet=True) == 'a,b,c,d,e,f\nwren,a-b,1-2,x=1,,"[1, 2]"\n'
    )
