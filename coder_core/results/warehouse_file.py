"""The warehouse as one DuckDB file: all rows of all published runs, and the views, for any tool that opens DuckDB.

Nothing in it refers to the store: it may be sent away. Every byte that goes in is compared with its hash before; tables
and columns carry their descriptions as comments.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import duckdb

from coder_core.errors import StoreError
from coder_core.loops import each
from coder_core.results.catalog import Catalog, TableFile, read_catalog
from coder_core.results.merged_publications import read_checked
from coder_core.results.query_messages import GivenFile
from coder_core.results.schema import TABLES, VIEWS, Column, Table
from coder_core.results.small_files import read_small_files
from coder_core.storage.output_file import built_file
from coder_core.storage.refusals import NotInStoreError
from coder_core.storage.store import READERS, Store

BATCH_FILES = 256
BATCH_BYTES = 2**26
"""Of files, whose rows are in memory at once; a single file may be larger."""
UNKNOWN_BYTES = 2**20
"""What a file counts whose size is not recorded (runs of 0.1)."""
ROUNDS = 3
"""How often it is begun again when files were compacted away while they were being read."""


class WarehouseFile(NamedTuple):
    """What was written.

    Args:
        path: The file.
        runs: Published runs in it.
        rows: Table -> its rows.
    """

    path: Path
    runs: int
    rows: dict[str, int]


def write_warehouse(store: Store, path: Path, *, is_forced: bool = False) -> WarehouseFile:
    """Write all result tables and views into a DuckDB file, whole or not at all.

    Args:
        store: The store that runs publish to.
        path: The file, on a local disk.
        is_forced: Replace a file that is there.

    Raises:
        InputError: It cannot be written there, or is there already.
        StoreError: The store refuses, a result file is damaged, or the disk is full.
    """
    for _ in range(ROUNDS - 1):
        try:
            return _write(store, path, is_forced=is_forced)
        except NotInStoreError:
            continue
    return _write(store, path, is_forced=is_forced)


def _write(store: Store, path: Path, *, is_forced: bool) -> WarehouseFile:
    with built_file(path, is_forced=is_forced) as built:
        catalog = read_catalog(store)
        try:
            with duckdb.connect(str(built), config={"temp_directory": str(built.parent)}) as connection:
                rows = {table.name: _copy_table(connection, catalog, table) for table in TABLES.values()}
                for statement in _statements():
                    connection.execute(statement)
        except duckdb.Error as error:
            problem = f"the file cannot be written ({str(error).splitlines()[0]})."
            raise StoreError(problem, str(path), "Is the disk full? Choose another place.") from error
    return WarehouseFile(path, len(catalog.published()), rows)


def _copy_table(connection: duckdb.DuckDBPyConnection, catalog: Catalog, table: Table) -> int:
    columns = ", ".join(f'"{column.name}" {column.type}' for column in table.columns)
    connection.execute(f'CREATE TABLE "{table.name}" ({columns})')
    count = 0
    for batch in each(_batches(catalog.files(table.name))):
        rows = read_small_files(_read(catalog.store, batch), table, None)
        connection.register("given_rows", rows)
        connection.execute(f'INSERT INTO "{table.name}" BY NAME SELECT * FROM given_rows')  # noqa: S608 (all ours)
        connection.unregister("given_rows")
        count += len(rows)
    return count


def _batches(files: Sequence[TableFile]) -> Iterator[list[TableFile]]:
    """Cut a list of files where their bytes, or their number, become many."""
    batch: list[TableFile] = []
    size = 0
    for file in files:
        if batch and (len(batch) == BATCH_FILES or size + (file.bytes or UNKNOWN_BYTES) > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += file.bytes or UNKNOWN_BYTES
    if batch:
        yield batch


def _read(store: Store, files: Sequence[TableFile]) -> list[GivenFile]:
    if store.address.is_local:
        return [_read_file(store, file) for file in files]
    with ThreadPoolExecutor(READERS) as readers:
        return list(readers.map(partial(_read_file, store), files))


def _read_file(store: Store, file: TableFile) -> GivenFile:
    content = read_checked(store, file.path, file.sha256) if file.sha256 else store.read_bytes(file.path)
    return GivenFile(file.table, file.path, file.run_id if file.is_old else None, len(content), content)


def _statements() -> Iterator[str]:
    """Make the views, and say of everything what it is."""
    for table in TABLES.values():
        yield f'COMMENT ON TABLE "{table.name}" IS {_quoted(table.description)}'
        yield from map(partial(_column_comment, table.name), table.columns)
    for view in VIEWS.values():
        yield f'CREATE VIEW "{view.name}" AS {view.sql}'
        yield f'COMMENT ON VIEW "{view.name}" IS {_quoted(view.description)}'
        yield from map(partial(_column_comment, view.name), view.columns)


def _column_comment(name: str, column: Column) -> str:
    return f'COMMENT ON COLUMN "{name}"."{column.name}" IS {_quoted(column.description)}'


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
