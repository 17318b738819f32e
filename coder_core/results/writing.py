"""Writing the results of one run: table by table in any number of appends, and then one step that shows them all.

Nothing is in the store before `publish`. There every table is put as one file, then the run's manifest, then the record
with all hashes, and last the row of `runs`: until it is there, no reader sees anything of the run. What is published
does not change any more. A run that is published again with the same tables is left as it is; with other tables it is
refused.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import pyarrow as pa

from coder_core.errors import StoreError
from coder_core.fingerprint import content_hash
from coder_core.results.arrow_rows import arrow_schema, conform, rows_to_arrow, with_run
from coder_core.results.catalog import read_catalog_of
from coder_core.results.generations import newest_generation
from coder_core.results.merged_publications import read_publication
from coder_core.results.result_paths import (
    PUBLICATIONS,
    TABLES_FOLDER,
    check_run_id,
    manifest_path,
    parse_run_file,
    record_path,
    row_path,
    table_path,
    time_digits,
)
from coder_core.results.run_records import FileRecord, RunRecord, encode_record
from coder_core.results.schema import RUNS, TABLES, RowClass, RunRow, table_of
from coder_core.results.table_file import TableFileWriter, WrittenFile
from coder_core.storage.store import Store
from coder_core.storage.tables import encode_parquet

UPLOADS = 8
"""Tables put at once: each costs a few round trips, or waits for the disk."""


class RunWriter:
    """Writes the result tables of one run. A context: what was not published is gone after it. For one thread.

    Args:
        store: Where to.
        run_id: Letters, digits, '.', '_' and '-'.

    Raises:
        StoreError: The run id is not safe.
    """

    def __init__(self, store: Store, run_id: str) -> None:
        self.store = store
        self.run_id = check_run_id(run_id)
        self._writers: dict[str, TableFileWriter] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for writer in self._writers.values():
            writer.__exit__(kind, error, trace)
        self._writers.clear()

    def append(self, row_class: RowClass, rows: Iterable[Any] | pa.Table) -> None:
        """Add rows to a table; of a large table one row group is in memory, the rest in a temporary file.

        Args:
            row_class: Declared with `result_table`, but not `RunRow`.
            rows: Instances of it, or an Arrow table with its columns (those that may be null may be missing).

        Raises:
            StoreError: When the rows are not as declared.
        """
        name = table_of(row_class).name
        if name == RUNS:
            raise StoreError("The table 'runs' is not written like the others.", remedy="Use `publish`.")
        table = conform(row_class, rows) if isinstance(rows, pa.Table) else rows_to_arrow(row_class, rows)
        if name not in self._writers:
            self._writers[name] = TableFileWriter(arrow_schema(row_class))
        self._writers[name].append(with_run(row_class, table, self.run_id))

    def publish(self, row: RunRow, manifest: bytes) -> bool:
        """Put everything into the store and make the run visible; do this last and once.

        Args:
            row: The run's row of `runs`.
            manifest: What the run was made from, as JSON; `ResultTables.read_manifest` returns these bytes.

        Returns:
            False when the run was published before, with the same tables; its first row and manifest then stay.

        Raises:
            StoreError: The run is published with other tables, or the store refuses.
        """
        written = {name: writer.finish() for name, writer in self._writers.items() if writer.rows}
        if read_catalog_of(self.store, self.run_id).is_published(self.run_id):
            self._check_same(written)
            return False
        with ThreadPoolExecutor(UPLOADS) as uploads:
            files = tuple(uploads.map(lambda item: self._put(*item), sorted(written.items())))
        is_first = self._put_row(row, files, self._put_manifest(manifest))
        if is_first and self.run_id in newest_generation(self.store).by_run:
            self.store.delete(row_path(self.run_id))  # published, compacted and collected while this writer slept
            is_first = False
        self._check_same(written)
        return is_first

    def _put(self, name: str, written: WrittenFile) -> FileRecord:
        """Put one file and read it back: a write that was lost shows now and not in a query.

        A file that an interrupted attempt has left is put again: it is young then, and no collection of garbage that
        has listed it before removes it.
        """
        path = table_path(name, self.run_id, written.sha256)
        if not self._writers[name].create_in(self.store, path):
            self._writers[name].replace_in(self.store, path)
        if self.store.hash_file(path) != written.sha256:
            raise StoreError("This file is not what has just been written to it.", self.store.url(path), "Run again.")
        return FileRecord(name, path, written.sha256, written.bytes, written.rows)

    def _put_manifest(self, manifest: bytes) -> FileRecord:
        sha256 = content_hash(manifest)
        path = manifest_path(self.run_id, sha256)
        self.store.write_bytes(path, manifest)
        return FileRecord("", path, sha256, len(manifest), None)

    def _put_row(self, row: RunRow, files: tuple[FileRecord, ...], manifest: FileRecord) -> bool:
        content = encode_parquet(with_run(RunRow, rows_to_arrow(RunRow, [row]), self.run_id))
        sha256 = content_hash(content)
        record = RunRecord(self.run_id, sha256, row.name, time_digits(row.started_at), files, manifest)
        path = record_path(self.run_id, sha256, row.name, row.started_at)
        self.store.write_bytes(path, encode_record(record))
        return self.store.create_bytes(row_path(self.run_id), content)

    def _check_same(self, written: dict[str, WrittenFile]) -> None:
        """Remove what is in the way of what is published, and refuse other tables than those."""
        publication = read_publication(read_catalog_of(self.store, self.run_id), self.run_id)
        files = publication.record.files if publication.record else ()
        manifest = publication.record.manifest if publication.record else None
        self._remove_but({*(file.path for file in files), publication.record_path, manifest.path if manifest else None})
        if {(file.table, file.sha256) for file in files} != {(name, own.sha256) for name, own in written.items()}:
            problem = f"The run {self.run_id!r} is published and does not change any more."
            raise StoreError(problem, self.store.url(row_path(self.run_id)), "Start a new run.")

    def _remove_but(self, published: set[str | None]) -> None:
        """Remove files of this run that are not published: those of an attempt that was interrupted, or came second.

        Our readers do not see them, and tools that read all files of a folder do.
        """
        folders = [PUBLICATIONS, *(f"{TABLES_FOLDER}/{table}" for table in TABLES if table != RUNS)]
        with ThreadPoolExecutor(UPLOADS) as threads:
            for path in [path for found in threads.map(self._own_files, folders) for path in found]:
                if path not in published:
                    self.store.delete(path)

    def _own_files(self, folder: str) -> list[str]:
        found = self.store.list_beginning(folder, f"{self.run_id}.")
        return [path for path in found if (file := parse_run_file(path)) and file.run_id == self.run_id]
