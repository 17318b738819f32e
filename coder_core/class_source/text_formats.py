"""Class lists as text: one class per line, CSV, or TSV.

All are read so that a file which somebody is still writing is told from a finished one, as far as the bytes show it:
a last line without a line end, a last row with too few fields or an open quote, is unfinished. A file cut exactly
between two lines looks whole; only looking twice tells (`settling`).

A line of a text file that begins with `# ` (or holds nothing but `#`) is a comment; `#1` is a class. Text that is
something else in disguise (JSON, a Python dictionary, HTML, columns with tabs, ids before names) is refused: its
brackets would become classes.
"""

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from coder_core.class_source.entries import ID_COLUMN, NAME_COLUMN, ClassEntry
from coder_core.errors import InputError, UnfinishedInputError
from coder_core.storage.input_text import decode_text

LEAST_NUMBERED = 3
"""Lines that count up from 0 or 1: fewer may be names (`1 euro`, `2 euro`)."""
_WORDNET_ID = re.compile(r"n\d{8}\s+\S")
_NUMBER = re.compile(r"(\d{1,7})(?:\s|[:.,;)]\s?)\s*\S", re.ASCII)
FINISH = "Wait for its writer; if it is finished, end its last line with a line end."


class TextTable(NamedTuple):
    """Rows of a CSV or TSV file, all as text.

    Args:
        columns: Names of the header, without white space around them.
        rows: Fields without white space around them, each row with the line that it starts in.
    """

    columns: tuple[str, ...]
    rows: list[tuple[int, list[str]]]


def parse_lines(content: bytes, place: str) -> list[ClassEntry]:
    """Read a text file: one class per line; blank lines, comments and white space around a name do not count.

    Raises:
        InputError: It is not UTF-8, or a list in another format.
        UnfinishedInputError: The last line has no line end.
    """
    lines = _read_lines(content, place)
    _refuse_other_formats([name for line in lines if (name := line.strip()) and not _is_comment(name)], place)
    return [
        ClassEntry(line.strip(), None, f"line {number}")
        for number, line in enumerate(lines, start=1)
        if line.strip() and not _is_comment(line.strip())
    ]


def parse_csv(content: bytes, place: str) -> list[ClassEntry]:
    """Read a CSV file with a header: column `class_name` and, optionally, `class_id`; others are not looked at.

    Raises:
        InputError: It is not UTF-8, has no column `class_name`, a column twice, or a row does not have the header's
            fields.
        UnfinishedInputError: The last row has no line end, an open quote, or too few fields.
    """
    return _entries(parse_table(content, place, separator=","), place)


def parse_tsv(content: bytes, place: str) -> list[ClassEntry]:
    """Read a TSV file like a CSV file, with tabs between the fields.

    Raises:
        InputError: As `parse_csv`.
        UnfinishedInputError: As `parse_csv`.
    """
    return _entries(parse_table(content, place, separator="\t"), place)


def parse_table(content: bytes, place: str, *, separator: str) -> TextTable:
    """Read a table with a header; every field stays the text that it is: `007`, `NA` and `1e3` are no numbers here.

    Raises:
        InputError: It is not UTF-8, has a column twice, or a row does not have the header's fields.
        UnfinishedInputError: The last row has no line end, an open quote, or too few fields.
    """
    rows = list(_read_rows(_read_lines(content, place), place, separator))
    if not rows:
        return TextTable((), [])
    (_, header), *body = rows
    for name in header:
        if header.count(name) > 1:
            raise InputError(f"the column {name!r} is there twice.", place, "Name each column once.")
    for number, row in body:
        _check_width(row, header, place=place, line=number, is_last=number == body[-1][0])
    return TextTable(tuple(header), body)


def _entries(table: TextTable, place: str) -> list[ClassEntry]:
    if not table.columns:
        return []
    if NAME_COLUMN not in table.columns:
        found = ", ".join(f"{name!r:.80}" for name in table.columns[:20])
        raise InputError(
            f"there is no column {NAME_COLUMN!r}, but {found}.",
            place,
            f"Name the columns, e.g. {NAME_COLUMN},{ID_COLUMN}, and separate them as the suffix says.",
        )
    fields = [(line, dict(zip(table.columns, row, strict=True))) for line, row in table.rows]
    return [ClassEntry(row[NAME_COLUMN], row.get(ID_COLUMN) or None, f"line {line}") for line, row in fields]


def _is_comment(line: str) -> bool:
    return line == "#" or line.startswith(("# ", "#\t"))


def _refuse_other_formats(lines: Sequence[str], place: str) -> None:
    for is_it, what, remedy in _OTHER_FORMATS if lines else ():
        if is_it(lines):
            raise InputError(f"this is not one class per line but {what}.", place, remedy)


def _is_numbered(lines: Sequence[str]) -> bool:
    """Whether each line begins with an id: WordNet's (`n01440764 tench`), or its number (`1 ApplyEyeMakeup`)."""
    if all(_WORDNET_ID.match(line) for line in lines):
        return True
    numbers = [int(found[1]) if (found := _NUMBER.match(line)) else -1 for line in lines]
    return len(lines) >= LEAST_NUMBERED and numbers in ([*range(len(lines))], [*range(1, len(lines) + 1)])


_OTHER_FORMATS: tuple[tuple[Callable[[Sequence[str]], bool], str, str], ...] = (
    (
        lambda lines: lines[0][0] + lines[-1][-1] in ("[]", "{}", "()"),
        "a list in brackets",
        "Save it as .json, or write one class per line.",
    ),
    (
        lambda lines: lines[0].lower().startswith(("<!doctype", "<html", "<?xml")),
        "HTML or XML",
        "Write one class per line.",
    ),
    (
        lambda lines: lines[0].startswith("version https://git-lfs."),
        "a git-LFS pointer",
        "Fetch the file itself (git lfs pull).",
    ),
    (
        lambda lines: all("\t" in line for line in lines),
        "a table with tabs",
        f"Save it as .tsv with a header ({NAME_COLUMN}, {ID_COLUMN}).",
    ),
    (
        lambda lines: lines[0].partition(",")[0] in (NAME_COLUMN, ID_COLUMN) and "," in lines[0],
        "a table with commas",
        "Save it as .csv.",
    ),
    (
        lambda lines: lines[0][-1] + lines[-1][0] in ("[]", "{}", "()") or all(line.endswith(",") for line in lines),
        "a part of a program or of JSON",
        "Save the list as .json, or write one class per line.",
    ),
    (
        lambda lines: all(line.startswith(("- ", "* ")) for line in lines),
        "a list with marks",
        "Save it as .yaml, or leave the marks out.",
    ),
    (_is_numbered, "ids before names", f"Save it as .csv with a header ({NAME_COLUMN},{ID_COLUMN})."),
)
"""How text that is no list of lines is known; what it is; what to do."""


def _read_lines(content: bytes, place: str) -> Sequence[str]:
    text = decode_text(content, place)
    if text and not text.endswith(("\n", "\r")):
        raise UnfinishedInputError("the last line has no line end: it may be half written.", place, FINISH)
    return io.StringIO(text, newline="").readlines()  # keeps line ends that stand inside a quoted field


def _read_rows(lines: Sequence[str], place: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """The rows that hold anything, each with the line it starts in."""
    reader = csv.reader(lines, strict=True, delimiter=separator)
    number = 1
    try:
        for row in reader:
            if any(field.strip() for field in row):
                yield number, [field.strip() for field in row]
            number = reader.line_num + 1
    except csv.Error as error:
        is_at_end = reader.line_num >= len(lines)
        error_class = UnfinishedInputError if is_at_end else InputError
        raise error_class(f"the row is no CSV ({error}).", f"{place}, line {number}", "Close its quotes.") from error


def _check_width(row: Sequence[str], header: Sequence[str], *, place: str, line: int, is_last: bool) -> None:
    if len(row) == len(header):
        return
    problem = f"the row has {len(row)} fields, the header {len(header)}."
    if is_last and len(row) < len(header):
        raise UnfinishedInputError(problem, f"{place}, line {line}", FINISH)
    raise InputError(problem, f"{place}, line {line}", "Put names with a separator in them in quotes.")
