"""The engine of one question: DuckDB over the files that it is given, and over nothing else.

The engine runs without access to disk, network, extensions or Python variables, and its configuration is locked before
the question is asked. Many small files are read with Arrow into one table, because DuckDB takes ten calls of Python to
open each; a few, and large ones, DuckDB reads itself, column by column.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import duckdb

from coder_core.errors import QueryError
from coder_core.results.pivots import name_pivot_values
from coder_core.results.query_files import PROTOCOL, GivenFiles, ReadPiece
from coder_core.results.query_messages import GivenFile
from coder_core.results.query_needs import Needs, query_needs
from coder_core.results.schema import RUN_ID, TABLES, VIEWS, Table
from coder_core.storage.sql_guard import read_only_tree

MANY_FILES = 16
"""From so many small files of one table on, importing Arrow (0.1 s) is worth while."""
FETCHED_ROWS = 1_000
"""Rows of an answer in one message."""
_CONFIG: dict[str, Any] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "enable_external_file_cache": False,  # it would keep what was read with a footer, which is not checked
    "python_enable_replacements": False,
    "temp_directory": "",
}
_LOCK_DOWN = (
    f"SET allowed_directories = ['{PROTOCOL}://']",
    "SET enable_external_access = false",
    "SET lock_configuration = true",
)
_PARTS = "parts"


class QueryEngine:
    """Answers one question. A context.

    Args:
        sql: The question.
        memory_bytes: What DuckDB may take.
    """

    def __init__(self, sql: str, memory_bytes: int) -> None:
        self.sql = sql
        memory = f"{max(1, memory_bytes // 2**20)}MiB"
        self._connection = duckdb.connect(config={**_CONFIG, "memory_limit": memory})

    def __enter__(self) -> "QueryEngine":
        return self

    def __exit__(self, *_error: object) -> None:
        self._connection.close()

    def needs(self) -> Needs:
        """Tell what the question needs to see.

        Raises:
            QueryError: It asks for more than reading result tables.
            duckdb.Error: It does not parse.
        """
        trees: list[Any] = []

        def need_values(sql: str) -> list[str]:
            trees.append(read_only_tree(self._connection, sql))
            return ["value"]

        try:
            trees.append(read_only_tree(self._connection, name_pivot_values(self.sql, need_values)))
            return query_needs(trees)
        except RecursionError as error:
            raise QueryError("The query is nested too deeply.", "SQL", "Split it with WITH.") from error

    def give(self, batches: Iterable[Sequence[GivenFile]], needs: Needs, read_piece: ReadPiece) -> None:
        """Make the tables and views; the names that the question does not use are left out where that shows nowhere.

        Args:
            batches: The files; many small ones of a table are read as they come.
            needs: Of the question.
            read_piece: Reads pieces of large files.

        Raises:
            duckdb.Error: A file cannot be read.
        """
        given: dict[str, GivenFile] = {}
        copies: dict[str, list[Any]] = defaultdict(list)
        for batch in batches:
            rest = self._read_small(batch, needs, copies)
            given.update((file.path, file) for file in rest)
        for name, rows in sorted(copies.items()):
            self._copy(name, rows)
        self._connection.register_filesystem(GivenFiles(given, read_piece))
        for statement in _LOCK_DOWN:
            self._connection.execute(statement)
        for table in TABLES.values():
            if not needs.is_certain or table.name in needs.all_tables:
                own = [file for file in given.values() if file.table == table.name]
                self._connection.execute(_view_sql(table, own, has_copy=table.name in copies))
        for view in VIEWS.values():
            if not needs.is_certain or view.name in needs.views:
                self._connection.execute(f'CREATE VIEW "{view.name}" AS {view.sql}')

    def columns(self) -> tuple[list[str], list[str]]:
        """Ask the question; returns the names and types of the columns of the answer.

        Raises:
            duckdb.Error: It is wrong, or takes too much.
        """
        self._connection.execute(name_pivot_values(self.sql, self._values))
        described = self._connection.description or ()
        return [str(column[0]) for column in described], [str(column[1]) for column in described]

    def rows(self) -> Iterator[list[tuple[Any, ...]]]:
        """Yield the rows of the answer, some at a time."""
        while rows := self._connection.fetchmany(FETCHED_ROWS):
            yield rows

    def _values(self, sql: str) -> list[str]:
        read_only_tree(self._connection, sql)
        return [str(value) for (value,) in self._connection.execute(sql).fetchall()]

    def _read_small(
        self, files: Sequence[GivenFile], needs: Needs, copies: dict[str, list[Any]]
    ) -> Iterator[GivenFile]:
        """Read the small files of tables that have many, and yield the others."""
        of_table: dict[str, list[GivenFile]] = defaultdict(list)
        for file in files:
            of_table[file.table if file.is_whole else ""].append(file)
        for name, own in of_table.items():
            if name and len(own) >= MANY_FILES:
                from coder_core.results.small_files import read_small_files

                copies[name].append(read_small_files(own, TABLES[name], needs.columns))
            else:
                yield from own

    def _copy(self, name: str, rows: Sequence[Any]) -> None:
        from coder_core.results.small_files import joined

        self._connection.register("given_rows", joined(rows))
        self._connection.execute(f"CREATE SCHEMA IF NOT EXISTS {_PARTS}")
        self._connection.execute(f'CREATE TABLE {_PARTS}."{name}" AS SELECT * FROM given_rows')  # noqa: S608 (all ours)
        self._connection.unregister("given_rows")


def _view_sql(table: Table, files: Sequence[GivenFile], *, has_copy: bool) -> str:
    """Write the view of a table: its declared columns and types first, so that it is typed even without files."""
    names = ", ".join(f'"{column.name}"' for column in table.columns)
    typed = ", ".join(f'NULL::{column.type} AS "{column.name}"' for column in table.columns)
    sources = [f"SELECT {typed} WHERE false"]
    if has_copy:
        sources.append(f'SELECT * FROM {_PARTS}."{table.name}"')  # noqa: S608 (all ours)
    if own := [file for file in files if file.run_id is None]:
        sources.append(_read_sql(own, "hive_partitioning = false"))
    if old := [file for file in files if file.run_id is not None]:
        sources.append(_read_sql(old, f"hive_partitioning = true, hive_types = {{'{RUN_ID}': VARCHAR}}"))
    return f'CREATE VIEW "{table.name}" AS SELECT {names} FROM ({" UNION ALL BY NAME ".join(sources)})'  # noqa: S608


def _read_sql(files: Iterable[GivenFile], options: str) -> str:
    urls = ", ".join(f"'{PROTOCOL}://{file.path}'" for file in files)
    return f"SELECT * FROM read_parquet([{urls}], union_by_name = true, {options})"  # noqa: S608 (all ours)
