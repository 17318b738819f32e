"""Rows as Arrow tables: what is written is brought to the declared columns and types, or refused by name.

Arrow is imported here and not in `schema`, because rows are made where nothing of Arrow is needed.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from coder_core.errors import StoreError
from coder_core.results.schema import RUN_ID, Column, ColumnType, RowClass, table_of
from coder_core.storage.refusals import UnexpectedContentError

_ARROW_TYPES: dict[ColumnType, pa.DataType] = {
    "VARCHAR": pa.string(),
    "BIGINT": pa.int64(),
    "DOUBLE": pa.float64(),
    "BOOLEAN": pa.bool_(),
    "TIMESTAMP": pa.timestamp("us"),
    "BIGINT[]": pa.list_(pa.int64()),
    "DOUBLE[]": pa.list_(pa.float64()),
    "VARCHAR[]": pa.list_(pa.string()),
}


def arrow_schema(table: RowClass | str) -> pa.Schema:
    """Return the schema of the file of a result table, `run_id` first; every column may be null there.

    Raises:
        StoreError: When there is no such table.
    """
    return pa.schema([(column.name, _ARROW_TYPES[column.type]) for column in table_of(table).columns])


def rows_to_arrow(row_class: RowClass, rows: Iterable[Any]) -> pa.Table:
    """Turn rows into a table with the columns of their class, without `run_id`; aware times become UTC.

    Args:
        row_class: Declared with `result_table`.
        rows: Instances of it; none give an empty table.

    Raises:
        StoreError: A row is of another class, or a value does not fit its column.
    """
    found = list(rows)
    if wrong := next((row for row in found if type(row) is not row_class), None):
        problem = f"Expected rows of {row_class.__name__}, found a {type(wrong).__name__}."
        raise StoreError(problem, f"table {table_of(row_class).name}", "Append each class to its own table.")
    columns = table_of(row_class).columns[1:]
    arrays = [_array(row_class, column, [_utc(getattr(row, column.name)) for row in found]) for column in columns]
    return conform(row_class, pa.Table.from_arrays(arrays, names=[column.name for column in columns]))


def rows_from_arrow(row_class: RowClass, table: pa.Table) -> list[Any]:
    """Turn a table, e.g. one that `ResultTables.read` returned, into rows; columns younger than the run are None."""
    names = [column.name for column in table_of(row_class).columns[1:]]
    return [row_class(**row) for row in table.select(names).to_pylist()]


def conform(row_class: RowClass, table: pa.Table) -> pa.Table:
    """Bring a table to the declared columns, types and order of a class, without `run_id`.

    Args:
        row_class: Declared with `result_table`.
        table: The declared columns in any order; those that may be null may be missing.

    Raises:
        StoreError: When a column is unknown, missing, of another type, or null where it must not be.
    """
    declared = table_of(row_class)
    columns = declared.columns[1:]
    names = [column.name for column in columns]
    if unknown := sorted(set(table.column_names) - set(names)):
        remedy = f"Declare it in {row_class.__name__}; it holds: {', '.join(names)}."
        raise StoreError(f"The column {unknown[0]!r} is not declared.", f"table {declared.name}", remedy)
    return pa.table({column.name: _conform_column(declared.name, column, table) for column in columns})


def with_run(row_class: RowClass | str, table: pa.Table, run_id: str) -> pa.Table:
    """Bring rows of one run to the schema of the file: `run_id` first, a column that is missing is null.

    Raises:
        UnexpectedContentError: A column has another type.
    """
    schema = arrow_schema(row_class)
    arrays = [pa.repeat(pa.scalar(run_id, pa.string()), len(table))]
    arrays += [_cast(table, field, table_of(row_class).name) for field in list(schema)[1:]]
    return pa.Table.from_arrays(arrays, schema=schema)


def _cast(table: pa.Table, field: pa.Field, name: str) -> pa.Array | pa.ChunkedArray:
    if field.name not in table.column_names:
        return pa.nulls(len(table), field.type)
    try:
        return table.column(field.name).cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        problem = f"A {table.column(field.name).type} does not become a {field.type} ({error})."
        raise UnexpectedContentError(problem, f"table {name}, column {field.name}") from error


def _array(row_class: RowClass, column: Column, values: list[Any]) -> pa.Array:
    try:
        return pa.array(values, type=_ARROW_TYPES[column.type])
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        place = f"table {table_of(row_class).name}, column {column.name}"
        raise StoreError(f"A value does not fit ({error}).", place, f"Give it as {column.type}.") from error


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


def without_run(table: pa.Table) -> pa.Table:
    """Take `run_id` off a table that was read."""
    return table.drop_columns(RUN_ID) if RUN_ID in table.column_names else table
