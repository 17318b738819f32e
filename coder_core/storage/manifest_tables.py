"""Tables that a user wrote about files, row by row: CSV, TSV, JSON lines or Parquet, each row with its line number.

Nothing is guessed: a row with a field too many, a header that lacks a column, a broken line is an error that names the
line. Of a Parquet file only the columns that are asked for are read, after its declared size was held against limits.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from coder_core.errors import DatasetError, FeatureFileError
from coder_core.limits import limit
from coder_core.loops import each
from coder_core.storage.addresses import redact
from coder_core.storage.input_files import read_input
from coder_core.storage.input_tables import read_columns

__all__ = ["MANIFEST_SUFFIXES", "ManifestRow", "is_manifest", "read_manifest_rows"]

MANIFEST_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
MAX_MANIFEST_BYTES = limit("CODER_MAX_MANIFEST_BYTES", 2**30)
_DELIMITERS = {".csv": ",", ".tsv": "\t"}


class ManifestRow(NamedTuple):
    """One row.

    Args:
        place: The file and the line (of a Parquet file the row, from 1 on), for errors.
        values: By column.
    """

    place: str
    values: Mapping[str, Any]


def is_manifest(location: str) -> bool:
    """Whether a path or URL has the suffix of such a table."""
    return _suffix(location) in MANIFEST_SUFFIXES


def read_manifest_rows(url: str, needed: Sequence[str], optional: Sequence[str] = ()) -> Iterator[ManifestRow]:
    """Read the rows of a table.

    Args:
        url: The file; its suffix says how it is written.
        needed: Columns that must be there.
        optional: Columns that are read where they are there.

    Raises:
        InputError: It is missing, or larger than `MAX_MANIFEST_BYTES`.
        DatasetError: It is no such table, lacks a column, or a line of it is broken.
    """
    suffix = _suffix(url)
    if suffix not in MANIFEST_SUFFIXES:
        problem = f"the suffix {suffix!r} says not how this table is written."
        raise DatasetError(problem, redact(url), f"Suffixes are: {', '.join(MANIFEST_SUFFIXES)}.")
    if suffix == ".parquet":
        yield from _parquet_rows(url, needed, optional)
        return
    text = _text(url)
    if suffix in _DELIMITERS:
        yield from _delimited_rows(text, _DELIMITERS[suffix], redact(url), needed)
    else:
        yield from _json_rows(text, redact(url), needed)


def _suffix(location: str) -> str:
    return PurePosixPath(location.partition("?")[0] if "://" in location else location).suffix.lower()


def _text(url: str) -> str:
    content = read_input(url, max_bytes=MAX_MANIFEST_BYTES)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        problem = f"this is not UTF-8 (byte {error.start + 1})."
        raise DatasetError(problem, f"{redact(url)}, line {line}", "Save the table as UTF-8.") from error


def _delimited_rows(text: str, delimiter: str, place: str, needed: Sequence[str]) -> Iterator[ManifestRow]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = next(reader, [])
        _check_header([name.strip() for name in header], needed, place)
        names = [name.strip() for name in header]
        for fields in each(reader, every=1000):
            where = f"{place}, line {reader.line_num}"
            if not fields:
                continue
            if len(fields) != len(names):
                problem = f"it has {len(fields)} fields, the header {len(names)}."
                raise DatasetError(problem, where, 'Put a value that holds a separator in "quotes".')
            yield ManifestRow(where, dict(zip(names, fields, strict=True)))
    except csv.Error as error:
        raise DatasetError(f"it cannot be read ({error}).", f"{place}, line {reader.line_num}", "Mend it.") from error


def _check_header(held: Sequence[str], needed: Sequence[str], place: str) -> None:
    where = f"{place}, line 1"
    for name in needed:
        if held.count(name) > 1:
            raise DatasetError(f"the column {name!r} is there {held.count(name)} times.", where, "Name each once.")
        if name not in held:
            shown = ", ".join(f"{other:.40}" for other in held[:20])
            problem = f"there is no column {name!r}."
            raise DatasetError(
                problem, where, f"The header has: {shown}; name columns in dataset.image, dataset.label."
            )


def _json_rows(text: str, place: str, needed: Sequence[str]) -> Iterator[ManifestRow]:
    for number, line in enumerate(each(text.split("\n"), every=1000), start=1):
        where = f"{place}, line {number}"
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = " ".join(str(error).split())[:100]
            raise DatasetError(f"this is no JSON ({reason}).", where, "Write one object per line.") from error
        if not isinstance(values, dict):
            raise DatasetError("this is no JSON object.", where, 'Write {"path": ..., "label": ...}.')
        for name in needed:
            if name not in values:
                held = ", ".join(f"{other:.40}" for other in list(values)[:20])
                raise DatasetError(f"there is no {name!r}.", where, f"It has: {held}.")
        yield ManifestRow(where, values)


def _parquet_rows(url: str, needed: Sequence[str], optional: Sequence[str]) -> Iterator[ManifestRow]:
    try:
        columns = read_columns(url, needed)
    except FeatureFileError as error:
        raise DatasetError(error.problem, error.place, error.remedy) from error
    for name in optional:
        try:
            columns |= read_columns(url, [name])
        except FeatureFileError as error:
            if "There is no column" not in error.problem:
                raise DatasetError(error.problem, error.place, error.remedy) from error
    for number, values in enumerate(each(zip(*(column.tolist() for column in columns.values()), strict=True)), start=1):
        yield ManifestRow(f"{redact(url)}, row {number}", dict(zip(columns, values, strict=True)))
