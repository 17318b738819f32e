"""A class list that a SELECT over files or over a DuckDB database returns.

The SQL comes from a config, that is from anybody who may write one, and stands behind the same walls as `warehouse`:
the guard judges the syntax tree, files are read into memory first, a database is attached read-only, and the engine has
no access to disk, network, extensions or Python when the statement runs.
"""

import contextlib
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa

from coder_core.class_source.class_tables import class_entries, decode_finished_parquet, refuse_repeated_columns
from coder_core.class_source.entries import ID_COLUMN, NAME_COLUMN, ClassEntry
from coder_core.class_source.text_formats import parse_table
from coder_core.errors import InputError, QueryError, UnfinishedInputError
from coder_core.fingerprint import content_hash, key_of
from coder_core.limits import limit
from coder_core.locations import open_location
from coder_core.results.query_limits import QueryLimits
from coder_core.storage.addresses import parse_address, redact
from coder_core.storage.input_files import read_input, read_input_state, special_file
from coder_core.storage.sql_guard import check_read_only

PLACE = "dataset.classes.sql"
_REMEDY = (
    f"Write one SELECT of {NAME_COLUMN} and, optionally, {ID_COLUMN} over the named tables; columns of a CSV file are "
    "text: CAST(column AS INTEGER)."
)
_CONFIG: dict[str, Any] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,
    "temp_directory": "",
    "memory_limit": f"{max(1, QueryLimits().memory_bytes // 2**20)}MiB",
}
_SEPARATORS = {".csv": ",", ".tsv": "\t"}
MAX_TABLE_BYTES = limit("CODER_MAX_TABLE_BYTES", 512 * 2**20)
"""Named tables and databases are held in memory while the query runs."""
MAX_SECONDS = limit("CODER_MAX_CLASS_QUERY_SECONDS", 120)
_LOCK_DOWN = ("SET enable_external_access = false", "SET lock_configuration = true")


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
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(duckdb.connect(config=_CONFIG))
        states = []
        for name, url in tables.items():
            content = read_input(open_location(url), max_bytes=MAX_TABLE_BYTES)
            connection.register(name, _decode_table(content, url))
            states.append(content_hash(content))
        if database is not None:
            states.append(read_input_state(open_location(database)))
            _attach(connection, stack.enter_context(_on_disk(open_location(database))), database)
        for statement in _LOCK_DOWN:
            connection.execute(statement)
        found = _run(connection, sql)
    return QueriedClasses(class_entries(found, PLACE), key_of(states))


def _run(connection: duckdb.DuckDBPyConnection, sql: str) -> pa.Table:
    try:
        check_read_only(connection, sql)
        with _time_limit(connection):
            return connection.sql(sql).to_arrow_table()
    except QueryError as error:
        raise QueryError(error.problem, PLACE, _REMEDY) from error
    except duckdb.InterruptException as error:
        problem = f"the query takes longer than {MAX_SECONDS} s (CODER_MAX_CLASS_QUERY_SECONDS)."
        raise QueryError(problem, PLACE, _REMEDY) from error
    except duckdb.Error as error:
        words = [word for word in str(error).split() if word.strip("^")]  # DuckDB points at a place in its own line
        raise QueryError(f"{' '.join(words)}.", PLACE, _REMEDY) from error


@contextlib.contextmanager
def _time_limit(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Interrupt what the connection does after some time."""
    timer = threading.Timer(MAX_SECONDS, connection.interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _attach(connection: duckdb.DuckDBPyConnection, path: str, place: str) -> None:
    quoted = path.replace("'", "''")
    try:
        connection.execute(f"ATTACH '{quoted}' AS classes_database (READ_ONLY)")
        connection.execute("USE classes_database")
    except duckdb.IOException as error:
        raise UnfinishedInputError(
            f"the database cannot be opened ({' '.join(str(error).split())}).", redact(place), "Wait for its writer."
        ) from error
    except duckdb.Error as error:
        raise InputError(f"this is no DuckDB database ({error}).", redact(place), "Name a database file.") from error


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
        refuse_repeated_columns(table, place)
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
