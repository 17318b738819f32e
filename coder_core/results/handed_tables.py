"""One SELECT over tables that are handed in, and over a DuckDB database: asked where it can be killed.

The SQL of a class list comes from a config, that is from anybody who may write one. So it is answered by the same
process as questions about results (`query_process`): without credentials, without a way to write, with a limit of
memory, and killed when its time is over, whatever it does.
"""

import io
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa

from coder_core.errors import QueryError
from coder_core.results.query_limits import QueryLimits
from coder_core.results.query_messages import TABLES_QUESTION
from coder_core.results.query_process import SPARE
from coder_core.storage.sql_guard import check_read_only

_FETCHED_ROWS = 1_000
_CONFIG: dict[str, Any] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,
    "temp_directory": "",
}
_LOCK_DOWN = ("SET enable_external_access = false", "SET lock_configuration = true")


class Answer(NamedTuple):
    """What a query returned.

    Args:
        columns: Names, in order; one may be there twice.
        rows: Python's values.
    """

    columns: list[str]
    rows: list[tuple[Any, ...]]


class DatabaseError(QueryError):
    """The database cannot be used.

    Attributes:
        is_busy: Whether that may pass: another process writes it.
    """

    is_busy = False


def ask_tables(sql: str, tables: Mapping[str, pa.Table], database: str | None, limits: QueryLimits) -> Answer:
    """Ask a process of its own.

    Args:
        sql: One SELECT.
        tables: Name -> table.
        database: A DuckDB database file on this disk.
        limits: What the question may take.

    Raises:
        QueryError: The SQL is wrong, does more than read, or takes more than its limits.
        DatabaseError: The database cannot be opened.
    """
    deadline = time.monotonic() + limits.seconds
    columns: list[str] = []
    rows: list[tuple[Any, ...]] = []
    with SPARE.lend() as process:
        process.say(TABLES_QUESTION, sql, {name: _packed(table) for name, table in tables.items()}, database, limits)
        while (message := process.hear(deadline)) != ("done",):
            match message:
                case None:
                    raise QueryError(f"the query takes longer than {limits.seconds:g} s.", "SQL")
                case "columns", found:
                    columns = list(found)
                case "rows", found:
                    rows.extend(found)
                case "refused", problem, place, remedy:
                    raise QueryError(problem, place, remedy)
                case "no database", problem, is_busy:
                    error = DatabaseError(problem, "SQL")
                    error.is_busy = bool(is_busy)
                    raise error
    return Answer(columns, rows)


def answer_tables(
    say: Callable[..., None], sql: str, tables: Mapping[str, bytes], database: str | None, limits: QueryLimits
) -> None:
    """Answer, in the process that is asked.

    Args:
        say: Sends a message to the one that asks.
        sql: The question.
        tables: Name -> table, as it travels.
        database: A DuckDB database file.
        limits: What the question may take.

    Raises:
        QueryError: The SQL does more than read, or answers more than it may.
        duckdb.Error: It is wrong, or takes too much.
    """
    memory = f"{max(1, limits.memory_bytes // 2**20)}MiB"
    with duckdb.connect(config={**_CONFIG, "memory_limit": memory}) as connection:
        for name, packed in tables.items():
            options = pa.ipc.IpcReadOptions(use_threads=False)
            connection.register(name, pa.ipc.open_stream(pa.py_buffer(packed), options=options).read_all())
        if database is not None and not _attach(connection, database, say):
            return
        for statement in _LOCK_DOWN:
            connection.execute(statement)
        check_read_only(connection, sql)
        connection.execute(sql)
        say("columns", [str(column[0]) for column in connection.description or ()])
        count = 0
        while rows := connection.fetchmany(_FETCHED_ROWS):
            count += len(rows)
            if count > limits.rows:
                raise QueryError(f"The answer has more than {limits.rows:,} rows.", "SQL", "Add a LIMIT.")
            say("rows", rows)
    say("done")


def _attach(connection: duckdb.DuckDBPyConnection, path: str, say: Callable[..., None]) -> bool:
    quoted = path.replace("'", "''")
    try:
        connection.execute(f"ATTACH '{quoted}' AS classes_database (READ_ONLY)")
        connection.execute("USE classes_database")
    except duckdb.Error as error:
        say("no database", " ".join(str(error).split()), isinstance(error, duckdb.IOException))
        return False
    return True


def _packed(table: pa.Table) -> bytes:
    content = io.BytesIO()
    with pa.ipc.new_stream(content, table.schema) as stream:
        stream.write_table(table)
    return content.getvalue()
