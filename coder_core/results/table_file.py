"""One Parquet file, written row group by row group; its bytes follow from its rows and from nothing else.

How many appends the rows came in must not show, so row groups are cut at fixed numbers of rows, which follow from the
schema. A file of one row group is built in memory; a larger one goes to a temporary file on this disk and is uploaded
in one piece, so that a hundred million rows take no more memory than one row group.
"""

import hashlib
import tempfile
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import pyarrow as pa
import pyarrow.parquet as pq

from coder_core.fingerprint import content_hash
from coder_core.storage.store import Store
from coder_core.storage.tables import parquet_options, rows_per_group


class WrittenFile(NamedTuple):
    """A finished Parquet file: its hash, size and number of rows."""

    sha256: str
    bytes: int
    rows: int


class TableFileWriter:
    """Writes tables of one schema to one Parquet file. A context: what is temporary is gone after it.

    Args:
        schema: Of every table.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self.schema = schema
        self.rows = 0
        self._group_rows = rows_per_group(schema)
        self._waiting: deque[pa.Table] = deque()
        self._waiting_rows = 0
        self._folder: Any = None
        self._writer: pq.ParquetWriter | None = None
        self._content: bytes | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._waiting.clear()
        if self._writer is not None:
            self._writer.close()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    @property
    def size(self) -> int:
        """Bytes in the temporary file so far."""
        return self._path.stat().st_size if self._folder else 0

    def append(self, table: pa.Table) -> None:
        """Add rows; at most one row group of them stays in memory."""
        if len(table):
            self.rows += len(table)
            self._waiting.append(table)
            self._waiting_rows += len(table)
        while self._waiting_rows >= self._group_rows:
            self._write_group(self._take(self._group_rows))

    def finish(self) -> WrittenFile:
        """Write what is left and close the file."""
        last = self._take(self._waiting_rows)
        if self._writer is None:
            sink = pa.BufferOutputStream()
            pq.write_table(last, sink, row_group_size=self._group_rows, **parquet_options(self.schema))
            self._content = sink.getvalue().to_pybytes()
            return WrittenFile(content_hash(self._content), len(self._content), self.rows)
        if len(last):
            self._write_group(last)
        self._writer.close()
        with self._path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return WrittenFile(sha256, self.size, self.rows)

    def create_in(self, store: Store, path: str) -> bool:
        """Put the finished file into a store under a name that nobody has; False when somebody has."""
        if self._content is not None:
            return store.create_bytes(path, self._content)
        return store.create_file(path, self._path)

    def replace_in(self, store: Store, path: str) -> None:
        """Put the finished file into a store, in the place of what may be there."""
        if self._content is not None:
            store.write_bytes(path, self._content)
        else:
            store.write_file(path, self._path)

    @property
    def _path(self) -> Path:
        return Path(self._folder.name, "table.parquet")

    def _take(self, rows: int) -> pa.Table:
        """Take rows off the front of what waits, as one chunk per column."""
        taken: list[pa.Table] = []
        while rows:
            table = self._waiting.popleft()
            if len(table) > rows:
                self._waiting.appendleft(table.slice(rows))
                table = table.slice(0, rows)
            taken.append(table)
            rows -= len(table)
            self._waiting_rows -= len(table)
        return pa.concat_tables(taken or [self.schema.empty_table()]).combine_chunks()

    def _write_group(self, table: pa.Table) -> None:
        if self._writer is None:
            self._folder = tempfile.TemporaryDirectory(prefix="coder-eval-")
            self._writer = pq.ParquetWriter(self._path, self.schema, **parquet_options(self.schema))
        self._writer.write_table(table, row_group_size=self._group_rows)
