"""Query results as text: a table for the eye, CSV and JSON for programs.

Cells are hostile: class names and texts come from files and language models. A terminal must not obey an escape
sequence inside one, so the table shows every control and formatting character as its escape, and so does CSV that goes
to a terminal. CSV for a program keeps the value and quotes it by its own rules; JSON is plain ASCII. Widths come from
`rich.cells`, which knows the tables of Unicode: a count of wide characters is wrong for Thai, Devanagari and Jamo.
"""

import csv
import io
import json
import math
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from rich.cells import cell_len

from coder_core.printable_text import printable as printable
from coder_core.results.query_result import QueryResult

CELL_WIDTH = 60
"""Columns of a terminal that one cell of a table may take; longer ones are cut."""
_LOOKED_AT = 4 * CELL_WIDTH
"""Characters of a cell that a table looks at: some take no column at all."""
_FORMULA = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
"""What makes a spreadsheet take a text for a formula, wide signs of East Asian keyboards, too."""


def to_csv(result: QueryResult, *, for_terminal: bool = False, for_spreadsheet: bool = False) -> str:
    """Write comma-separated values with a header; a null is an empty field, a list is JSON.

    Args:
        result: The answer.
        for_terminal: Show control and formatting characters as their escapes.
        for_spreadsheet: Put an apostrophe before a text that a spreadsheet would compute: `=cmd|...` in a class name
            is a formula there. Numbers stay numbers.
    """
    rows = [result.columns, *([_csv_cell(value) for value in row] for row in result.rows)]
    if for_spreadsheet:
        rows = [[_no_formula(cell) for cell in row] for row in rows]
    if for_terminal:
        rows = [[printable(cell) if isinstance(cell, str) else cell for cell in row] for row in rows]
    return "".join(f"{_csv_line(row)}\n" for row in rows)


def to_json(result: QueryResult) -> str:
    """Write a JSON list of one object per row; NaN and infinity become null, a repeated column name is numbered."""
    names = unique_names(result.columns)
    records = [dict(zip(names, map(plain_value, row), strict=True)) for row in result.rows]
    return json.dumps(records, indent=1, allow_nan=False).replace("\x7f", "\\u007f")  # json leaves this one raw


def to_table(result: QueryResult) -> str:
    """Write an aligned table for a terminal; numbers stand right, long cells are cut."""
    cells = [
        [_visible(name) for name in result.columns],
        *([_table_cell(value) for value in row] for row in result.rows),
    ]
    widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    is_number = [
        bool(result.rows) and all(isinstance(row[at], int | float | Decimal | None) for row in result.rows)
        for at in range(len(widths))
    ]
    lines = ["  ".join(map(_padded, row, widths, is_number)).rstrip() for row in cells]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join([*lines, f"({len(result.rows)} row{'' if len(result.rows) == 1 else 's'})"])


def plain_value(value: Any) -> Any:
    """Turn a value of an answer into what JSON has: null, booleans, numbers, texts, lists and objects of them."""
    match value:
        case None | bool() | int() | str():
            return value
        case float() | Decimal():
            return float(value) if math.isfinite(value) else None
        case datetime() | date() | time():
            return value.isoformat()
        case dict():
            return {str(key): plain_value(item) for key, item in value.items()}
        case list() | tuple():
            return [plain_value(item) for item in value]
        case bytes():
            return value.hex()
        case _:
            return str(value)


def _csv_line(cells: list[Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(cells)  # with another terminator a lone \r is left unquoted
    return text.getvalue().removesuffix("\r\n")


def _no_formula(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and cell.lstrip(" \u00a0\ufeff").startswith(_FORMULA) else cell


def _csv_cell(value: Any) -> Any:
    plain = plain_value(value)
    return json.dumps(plain) if isinstance(plain, list | dict) else plain


def _table_cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case float() | Decimal():
            return f"{value:.6g}"
        case str():
            return _visible(value)
        case _:
            return _visible(str(_csv_cell(value)))


def _visible(text: str) -> str:
    shown = printable(text[:_LOOKED_AT])
    if cell_len(shown) <= CELL_WIDTH and len(text) <= _LOOKED_AT:
        return shown
    while cell_len(shown) >= CELL_WIDTH:
        shown = shown[: min(len(shown), CELL_WIDTH) - 1]
    return f"{shown}…"


def _padded(text: str, width: int, is_number: bool) -> str:
    space = " " * (width - cell_len(text))
    return space + text if is_number else text + space


def unique_names(names: list[str]) -> list[str]:
    """Number the names of columns that stand there before: a, b, a_2."""
    seen: dict[str, int] = {}
    unique = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        unique.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return unique
