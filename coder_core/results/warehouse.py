"""Warehouse: read-only SQL over the result tables of published runs.

SQL comes from anywhere (a shell, a notebook, a web form), so three walls stand around the files. The statement must be
one SELECT whose syntax tree holds queries only and no table function beyond a short list (`sql_guard`). The engine runs
without access to disk, network, extensions or Python variables, and its configuration is locked. What it can open are
the published files, through a file system that cannot write (`store_files`); DuckDB verifies no checksums, so they are
compared with the hashes of their run (`published_files`).
"""

from collections.abc import Sequence
from typing import Any

import duckdb

from coder_core.errors import QueryError, StoreError
from coder_core.storage.columns import RUN_ID, TABLES
from coder_core.storage.published_files import PublishedFiles
from coder_core.storage.query_result import QueryResult
from coder_core.storage.refusals import REPAIR
from coder_core.storage.result_paths import TABLES_FOLDER, ResultPart, list_published_parts
from coder_core.storage.sql_guard import check_read_only
from coder_core.storage.store import Store
from coder_core.storage.store_files import PROTOCOL, StoreFiles

__all__ = ["QueryResult", "Warehouse"]

_CONFIG: dict[str, Any] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "enable_external_file_cache": False,  # it would keep what was read with a footer, which is not checked
    "python_enable_replacements": False,
    "temp_directory": "",
}
_LOCK_DOWN = (
    f"SET allowed_directories = ['{PROTOCOL}://{TABLES_FOLDER}/']",
    "SET enable_external_access = false",
    "SET lock_configuration = true",
)


class Warehouse:
    """The result tables of one store as SQL views. Picklable.

    Args:
        store: The store that runs publish to; an empty one has empty tables.
    """

    def __init__(self, store: Store) -> None:
        self.store = store

    def query(self, sql: str) -> QueryResult:
        """Answer one SELECT over the tables of `columns.TABLES`.

        Raises:
            QueryError: When the SQL is wrong or asks for more than reading result tables.
            StoreError: When the store refuses, or a result file is damaged.
        """
        files = PublishedFiles(self.store)
        with duckdb.connect(config=_CONFIG) as connection:
            try:
                named_tables = check_read_only(connection, sql)
                self._create_views(connection, named_tables, files)
                cursor = connection.execute(sql)
                columns = [str(column[0]) for column in cursor.description or ()]
                return QueryResult(columns, cursor.fetchall())
            except duckdb.Error as error:
                if files.damage:  # DuckDB passes on what a file says as a text of its own
                    raise files.damage from error
                raise QueryError(str(error).strip(), "SQL", f"The tables are: {', '.join(TABLES)}.") from error

    def _create_views(
        self, connection: duckdb.DuckDBPyConnection, named_tables: set[str], files: PublishedFiles
    ) -> None:
        """Create every table; only those that the query names cost a look at their files."""
        parts = list_published_parts(self.store) if named_tables & TABLES.keys() else []
        connection.register_filesystem(StoreFiles(files, frozenset(part.path for part in parts)))
        for statement in _LOCK_DOWN:
            connection.execute(statement)
        for table in TABLES:
            own = [part for part in parts if part.table == table and table in named_tables]
            try:
                connection.execute(_view_sql(table, own))
            except duckdb.Error as error:
                problem = f"The table {table} cannot be read ({error})."
                raise files.damage or StoreError(problem, self.store.url(), REPAIR) from error


def _view_sql(table: str, parts: Sequence[ResultPart]) -> str:
    """Write the view of a table: its documented columns and types first, so that it is typed even without files."""
    columns = TABLES[table]
    names = ", ".join(f'"{column.name}"' for column in columns)
    typed = ", ".join(f'NULL::{column.type} AS "{column.name}"' for column in columns)
    source = f"SELECT {typed} WHERE false"
    if parts:
        urls = ", ".join(f"'{PROTOCOL}://{part.path}'" for part in parts)
        options = f"hive_partitioning = true, hive_types = {{'{RUN_ID}': VARCHAR}}, union_by_name = true"
        source += f" UNION ALL BY NAME SELECT * FROM read_parquet([{urls}], {options})"  # noqa: S608 (all ours)
    return f'CREATE VIEW "{table}" AS SELECT {names} FROM ({source})'  # noqa: S608 (all ours)
