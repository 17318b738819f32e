"""Class lists as text: one class per line, or CSV.

Both are read so that a file which somebody is still writing is told from a finished one, as far as the bytes show it:
a last line without a line end, a last CSV row with too few fields or an open quote, is unfinished. A file cut exactly
between two lines looks whole; only looking twice tells (`settling`).
"""

import csv
import io
from collections.abc import Iterator, Sequence

from coder_core.class_source.entries import ID_COLUMN, NAME_COLUMN, ClassEntry
from coder_core.errors import InputError, UnfinishedInputError

FINISH = "Wait for its writer; if it is finished, end its last line with a line end."


def parse_lines(content: bytes, place: str) -> list[ClassEntry]:
    """Read a text file: one class per line; blank lines, white space around a name and a byte-order mark do not count.

    Raises:
        InputError: It is not UTF-8.
        UnfinishedInputError: The last line has no line end.
    """
    lines = _read_lines(content, place)
    return [
        ClassEntry(line.strip(), None, f"line {number}") for number, line in enumerate(lines, start=1) if line.strip()
    ]


def parse_csv(content: bytes, place: str) -> list[ClassEntry]:
    """Read a CSV file with a header: column `class_name` and, optionally, `class_id`; others are not looked at.

    Raises:
        InputError: It is not UTF-8, has no column `class_name`, or a row does not have the header's fields.
        UnfinishedInputError: The last row has no line end, an open quote, or too few fields.
    """
    rows = list(_read_rows(_read_lines(content, place), place))
    if not rows:
        return []
    (_, header), *body = rows
    if NAME_COLUMN not in header:
        found = ", ".join(repr(name) for name in header)
        raise InputError(
            f"there is no column {NAME_COLUMN!r}, but {found}.",
            place,
            f"Name the column, e.g. {NAME_COLUMN},{ID_COLUMN}.",
        )
    for number, row in body:
        _check_width(row, header, place=place, line=number, is_last=number == body[-1][0])
    return [_entry(dict(zip(header, row, strict=True)), number) for number, row in body]


def _read_lines(content: bytes, place: str) -> Sequence[str]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"this is not UTF-8 text ({error}).", place, "Save it as UTF-8.") from error
    if text and not text.endswith(("\n", "\r")):
        raise UnfinishedInputError("the last line has no line end: it may be half written.", place, FINISH)
    return io.StringIO(text, newline="").readlines()  # keeps line ends that stand inside a quoted field


def _read_rows(lines: Sequence[str], place: str) -> Iterator[tuple[int, list[str]]]:
    """The rows that hold anything, each with the line it starts in."""
    reader = csv.reader(lines, strict=True)
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
    raise InputError(problem, f"{place}, line {line}", "Put names with a comma in quotes.")


def _entry(fields: dict[str, str], line: int) -> ClassEntry:
    return ClassEntry(fields[NAME_COLUMN], fields.get(ID_COLUMN) or None, f"line {line}")
