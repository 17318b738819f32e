"""Many small files as one table: Arrow opens each in a fifth of a millisecond, and reads the columns asked for only."""

from collections.abc import Collection, Iterable, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from coder_core.results.arrow_rows import arrow_schema
from coder_core.results.query_messages import GivenFile
from coder_core.results.schema import RUN_ID, Table


def read_small_files(files: Iterable[GivenFile], table: Table, columns: Collection[str] | None) -> pa.Table:
    """Read whole files of one result table.

    Args:
        files: Their content is here and has been compared with its hash.
        table: The result table.
        columns: Names of the columns that are wanted; None for all. Others may be missing.
    """
    fields = [field for field in arrow_schema(table.name) if columns is None or field.name in columns]
    wanted = [field.name for field in fields]
    rows = pa.concat_tables([_read(file, wanted) for file in files], promote_options="permissive")
    return pa.table({field.name: _column(rows, field) for field in fields})


def joined(tables: Sequence[pa.Table]) -> pa.Table:
    """Put tables of the same columns together, in one piece: DuckDB takes a thousand small ones twice as slowly."""
    return pa.concat_tables(tables).combine_chunks()


def _column(rows: pa.Table, field: pa.Field) -> pa.ChunkedArray:
    if field.name not in rows.column_names:
        return pa.chunked_array([pa.nulls(len(rows), field.type)])
    return rows.column(field.name).cast(field.type)


def _read(file: GivenFile, wanted: list[str]) -> pa.Table:
    opened = pq.ParquetFile(pa.BufferReader(file.content), pre_buffer=False)
    held = set(opened.schema_arrow.names)
    rows = opened.read(columns=[name for name in wanted if name in held], use_threads=False)
    if file.run_id is not None:
        rows = rows.append_column(RUN_ID, pa.repeat(pa.scalar(file.run_id), len(rows)))
    return rows
