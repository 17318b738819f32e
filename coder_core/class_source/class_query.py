"""A class list that a SELECT over files or over a DuckDB database returns.

The SQL comes from a config, that is from anybody who may write one, and stands behind the same walls as `warehouse`:
the guard judges the syntax tree, files are read into memory first, a database is attached read-only, and the engine has
no access to disk, network, extensions or Python when the statement runs, in a process that is killed when its time is
over (`handed_tables`).
"""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pyarrow as pa

from coder_core.class_source.class_tables import decode_finished_parquet, refuse_repeated_columns, row_entries
from coder_core.class_source.entries import ID_COLUMN, NAME_COLUMN, ClassEntry
from coder_core.class_source.text_formats import parse_table
from coder_core.errors import InputError, QueryError, UnfinishedInputError
from coder_core.fingerprint import content_hash, key_of
from coder_core.limits import limit
from coder_core.locations import open_location
from coder_core.results.handed_tables import DatabaseError, ask_tables
from coder_core.results.query_limits import QueryLimits
from coder_core.storage.addresses import parse_address, redact
from coder_core.storage.input_files import read_input, read_input_state, special_file

PLACE = "dataset.classes.sql"
_REMEDY = (
    f"Write one SELECT of {NAME_COLUMN} and, optionally, {ID_COLUMN} over the named tables; columns of a CSV file are "
    "text: CAST(column AS INTEGER)."
)
_SEPARATORS = {".csv": ",", ".tsv": "\t"}
MAX_TABLE_BYTES = limit("CODER_MAX_TABLE_BYTES", 512 * 2**20)
"""Named tables and databases are held in memory while the query runs."""
MAX_SECONDS = limit("CODER_MAX_CLASS_QUERY_SECONDS", 120)
MAX_CLASSES = 2_000_000


class QueriedClasses(NamedTuple):
    """What a query returned, and a text that is another one when a file that it reads is."""

    rows: list[ClassEntry]
    state: str


def query_classes(sql: str, *, tables: Mapping[str, str], database: str | None) -> QueriedClasses:
    """Run one SELECT.

    Args:
        sql: The statement.
        tables: Name -> `.csv`, `.tsv` or `.parquet` file; all columns of CSV and TSV are text, empty fields null.
        database: A DuckDB database file.

    Raises:
        QueryError: The SQL is wrong, or does more than read.
        UnfinishedInputError: A file is half written, or the database is being written.
        InputError: A file cannot be read, or the result has not the columns.
    """
    given, states = {}, []
    for name, url in tables.items():
        content = read_input(open_location(url), max_bytes=MAX_TABLE_BYTES)
        given[name] = _decode_table(content, url)
        states.append(content_hash(content))
    if database is None:
        return QueriedClasses(_ask(sql, given, None), key_of(states))
    states.append(read_input_state(open_location(database)))
    with _on_disk(open_location(database)) as path:
        return QueriedClasses(_ask(sql, given, path, database), key_of(states))


def _ask(sql: str, tables: Mapping[str, pa.Table], path: str | None, database: str = "") -> list[ClassEntry]:
    limits = QueryLimits(seconds=MAX_SECONDS, rows=MAX_CLASSES)
    try:
        answer = ask_tables(sql, tables, path, limits)
    except DatabaseError as error:
        if error.is_busy:
            problem = f"the database cannot be opened ({error.problem})."
            raise UnfinishedInputError(problem, redact(database), "Wait for its writer.") from error
        problem = f"this is no DuckDB database ({error.problem})."
        raise InputError(problem, redact(database), "Name a database file.") from error
    except QueryError as error:
        is_late = error.problem.startswith("the query takes longer")
        problem = f"{error.problem[:-1]} (CODER_MAX_CLASS_QUERY_SECONDS)." if is_late else error.problem
        raise QueryError(problem, PLACE, _REMEDY) from error
    return row_entries(answer.columns, answer.rows, PLACE)


@contextlib.contextmanager
def _on_disk(url: str) -> Iterator[str]:
    """Where a database lies on this disk; one that lies elsewhere is copied for the time of the query."""
    address = parse_address(url)
    if address.is_local:
        if kind := special_file(Path(address.path).stat().st_mode):
            raise InputError(f"this is {kind} and not a file.", redact(url), "Name a database file.")
        yield address.path
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "classes.duckdb")
        copy.write_bytes(read_input(url, max_bytes=MAX_TABLE_BYTES))
        yield str(copy)


def _decode_table(content: bytes, url: str) -> pa.Table:
    """Read a named table. Every column of a CSV or TSV file is text: `001` is no 1, `NA` no null, `no` no false."""
    place = redact(url)
    suffix = PurePosixPath(url.partition("?")[0] if "://" in url else url).suffix.lower()
    if suffix == ".parquet":
        table = decode_finished_parquet(content, place)
        refuse_repeated_columns(table.column_names, place)
        return table
    if suffix not in _SEPARATORS:
        known = ", ".join((*_SEPARATORS, ".parquet"))
        raise InputError(f"tables with the suffix {suffix!r} are not read.", place, f"Save it as one of {known}.")
    rows = parse_table(content, place, separator=_SEPARATORS[suffix])
    columns = zip(*(row for _, row in rows.rows), strict=True) if rows.rows else ((),) * len(rows.columns)
    return pa.table(
        [pa.array([field or None for field in column], type=pa.string()) for column in columns],
        names=list(rows.columns),
    )
