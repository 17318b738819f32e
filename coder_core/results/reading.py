"""Result tables: Parquet files per table and run, and a run that is visible only when it is whole.

The run is the folder's name and not a column of the file. The row of `runs` is written last, and readers show published
runs only, so an interrupted evaluation is never half a result. What is published does not change any more, and its
hashes stand beside the row (`publication`).
"""

from collections.abc import Mapping
from datetime import UTC, datetime

import pyarrow as pa

from coder_core.errors import StoreError
from coder_core.storage.columns import RUN_ID, RUNS, TABLES, Column, ColumnType, table_columns
from coder_core.storage.publication import publish_row
from coder_core.storage.result_paths import (
    WHOLE,
    list_published_parts,
    parse_result_path,
    result_path,
    run_folder,
)
from coder_core.storage.store import Store
from coder_core.storage.tables import encode_parquet, read_parquet

_ARROW_TYPES: dict[ColumnType, pa.DataType] = {
    "VARCHAR": pa.string(),
    "BIGINT": pa.int64(),
    "DOUBLE": pa.float64(),
    "BOOLEAN": pa.bool_(),
    "TIMESTAMP": pa.timestamp("us"),
    "BIGINT[]": pa.list_(pa.int64()),
}


class ResultTables:
    """The result tables of one store. Picklable."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def write(self, name: str, run_id: str, table: pa.Table, *, part: str = WHOLE) -> None:
        """Write one table of one run, or a part of it; it stays invisible until the run is published.

        Args:
            name: A table of `columns.TABLES` other than `runs`.
            run_id: Letters, digits, '.', '_' and '-'.
            table: The documented columns without `run_id`, in any order; optional ones may be missing.
            part: Names the part where a table is written in several, e.g. by method.

        Raises:
            StoreError: When columns do not fit, or the run is published already with other rows.
        """
        if name == RUNS:
            raise StoreError("The table 'runs' is not written like the others.", remedy="Use `publish`.")
        content = encode_parquet(conform_table(name, table))
        path = result_path(name, run_id, part)
        if self.is_published(run_id):
            self._check_unchanged(run_id, path, content)
        elif not self.store.create_bytes(path, content) and self.store.read_bytes(path) != content:
            self.store.write_bytes(path, content)

    def publish(self, run_row: Mapping[str, object]) -> bool:
        """Make a run visible by writing its row of `runs`; do this last.

        Args:
            run_row: One value per column of `runs`; times are aware datetimes and are stored as UTC.

        Returns:
            False when the run was published before; its first row then stays.
        """
        row = {name: _utc(value) for name, value in run_row.items() if name != RUN_ID}
        table = conform_table(RUNS, pa.table({name: [value] for name, value in row.items()}))
        run_id = str(run_row.get(RUN_ID, ""))
        result_path(RUNS, run_id)  # refuses a run id that is not safe
        return publish_row(self.store, run_id, encode_parquet(table), self._hash_parts(run_id))

    def is_published(self, run_id: str) -> bool:
        """Tell whether a run is visible."""
        return self.store.exists(result_path(RUNS, run_id))

    def published(self) -> list[str]:
        """List the visible runs, sorted."""
        return [part.run_id for part in list_published_parts(self.store) if part.table == RUNS]

    def read(self, name: str, run_id: str, *, part: str = WHOLE) -> pa.Table:
        """Read one part of one table of one run back, published or not."""
        return read_parquet(self.store, result_path(name, run_id, part))

    def part_names(self, name: str, run_id: str) -> list[str]:
        """List the parts that a run has of a table, sorted."""
        paths = self.store.list(run_folder(name, run_id))
        return [path.rpartition("/")[2].removesuffix(".parquet") for path in paths if parse_result_path(path)]

    def _check_unchanged(self, run_id: str, path: str, content: bytes) -> None:
        if not self.store.exists(path) or self.store.read_bytes(path) != content:
            problem = f"The run {run_id!r} is published and does not change any more."
            raise StoreError(problem, self.store.url(path), "Start a new run.")

    def _hash_parts(self, run_id: str) -> dict[str, str]:
        """Hash what the store really holds of a run; read back, a write that was lost shows now and not in a query."""
        folders = [run_folder(table, run_id) for table in TABLES if table != RUNS]
        return {path: self.store.hash_file(path) for folder in folders for path in self.store.list(folder)}


def conform_table(name: str, table: pa.Table) -> pa.Table:
    """Bring a table to its documented columns, types and order.

    Raises:
        StoreError: When a column is unknown, missing, of another type, or null where it must not be.
    """
    columns = [column for column in table_columns(name) if column.name != RUN_ID]
    documented = [column.name for column in columns]
    if unknown := sorted(set(table.column_names) - set(documented)):
        remedy = f"Document it in coder_core/storage/columns.py; it holds: {', '.join(documented)}."
        raise StoreError(f"The column {unknown[0]!r} is not documented.", f"table {name}", remedy)
    return pa.table({column.name: _conform_column(name, column, table) for column in columns})


def _conform_column(name: str, column: Column, table: pa.Table) -> pa.ChunkedArray:
    place = f"table {name}, column {column.name}"
    kind = _ARROW_TYPES[column.type]
    if column.name not in table.column_names:
        if not column.optional:
            raise StoreError("The column is missing.", place, "Give every row a value.")
        return pa.chunked_array([pa.nulls(table.num_rows, kind)])
    values = table.column(column.name)
    if values.null_count and not column.optional:
        raise StoreError(f"{values.null_count} of {len(values)} values are null.", place, "Give every row a value.")
    try:
        return values.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        remedy = f"Give it as {column.type}."
        raise StoreError(f"A {values.type} does not become a {column.type} ({error}).", place, remedy) from error


def _utc(value: object) -> object:
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).replace(tzinfo=None)
    return value
