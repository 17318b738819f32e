"""Merging: the rows of many runs, from files of their own and from small merged files, into few large ones.

Rows stay sorted by run, so that a question about one run skips whole row groups and whole files. One row group of each
source is in memory at a time. Every source is compared with its hash before a row of it is taken over.
"""

import heapq
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from operator import itemgetter
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from coder_core.errors import CoderError, StoreError
from coder_core.results.arrow_rows import arrow_schema, with_run
from coder_core.results.catalog import Catalog, TableFile
from coder_core.results.generations import MergedFile, MergedRun
from coder_core.results.merged_publications import SCHEMA, read_checked, read_publication
from coder_core.results.result_paths import PUBLICATIONS, merged_path, time_digits
from coder_core.results.schema import RUN_ID, RUNS, TABLES
from coder_core.results.table_file import TableFileWriter
from coder_core.storage.refusals import REPAIR, NotInStoreError, UnexpectedContentError
from coder_core.storage.store import Store
from coder_core.storage.tables import decode_parquet, open_parquet

MERGED_BYTES = 64 * 2**20
"""A merged file is closed when it has reached this: read in a second or two from an object store, and hashed whole."""
SMALL_MERGED_BYTES = MERGED_BYTES // 2
"""Smaller merged files are merged again with what is new."""
SMALL_BYTES = 2**20
"""A file up to this is read whole, and several at once."""
READERS = 8
RUNS_AT_ONCE = 64
BATCH_ROWS = 65_536
RunRows = tuple[str, pa.Table]
"""A run, and some of its rows in the schema of the file."""


class UnusableRunError(CoderError):
    """A run stays as it is: a file of it is damaged, or holds what this version of the code does not know.

    Args:
        run_id: The run.
        cause: What is wrong.
    """

    def __init__(self, run_id: str, cause: CoderError) -> None:
        super().__init__(cause.problem, cause.place, cause.remedy)
        self.run_id = run_id


class Merged(NamedTuple):
    """What a merge has written: files, and the runs that came from files of their own."""

    files: tuple[MergedFile, ...]
    runs: tuple[MergedRun, ...]


class Merge:
    """One attempt at merging; its files have names that nobody else will ever use.

    Args:
        catalog: What is published.
        number: The generation to be.
        excluded: Single runs that stay as they are.
        dropped: Compacted runs whose rows are not taken over.
        read: Reads a merged file, some rows at a time.
    """

    def __init__(
        self,
        catalog: Catalog,
        number: int,
        *,
        excluded: Collection[str] = (),
        dropped: Collection[str] = (),
        read: Callable[[MergedFile], Iterator[pa.Table]] | None = None,
    ) -> None:
        self.catalog = catalog
        self.number = number
        self.single_ids = [run_id for run_id in catalog.singles if run_id not in excluded]
        self.dropped = frozenset(dropped)
        self._read = read or partial(read_merged, catalog.store)
        self.written: list[MergedFile] = []
        self._token = uuid.uuid4().hex[:12]
        self._runs: dict[str, MergedRun] = {}

    def run(self, replaced: Callable[[MergedFile], bool]) -> Merged:
        """Write the merged files of all tables.

        Args:
            replaced: Chooses the merged files whose rows are taken over into new ones.

        Raises:
            UnusableRunError: A single run cannot be merged.
            NotInStoreError: A merged file is gone: another process has compacted, too.
            UnexpectedContentError: A merged file is damaged.
            StoreError: The store refuses.
        """
        for table in (PUBLICATIONS, *TABLES):
            merged = [file for file in self.catalog.generation.files if file.table == table and replaced(file)]
            sources = [self._merged_rows(file) for file in merged]
            self._write(table, heapq.merge(*sources, self._single_rows(table), key=itemgetter(0)))
        return Merged(tuple(self.written), tuple(self._runs.values()))

    def discard(self) -> None:
        """Remove what was written; only for a merge that is surely in no generation."""
        for file in self.written:
            self.catalog.store.delete(file.path)
        self.written.clear()

    def _write(self, table: str, rows: Iterator[RunRows]) -> None:
        schema = SCHEMA if table == PUBLICATIONS else arrow_schema(table)
        first = next(rows, None)
        while first is not None:
            with TableFileWriter(schema) as writer:
                run_ids = [first[0], first[0]]
                writer.append(first[1])
                while (first := next(rows, None)) is not None and writer.size < MERGED_BYTES:
                    writer.append(first[1])
                    run_ids[1] = first[0]
                self._put(table, writer, run_ids)

    def _put(self, table: str, writer: TableFileWriter, run_ids: list[str]) -> None:
        found = writer.finish()
        number = sum(file.table == table for file in self.written)
        path = merged_path(table, self.number, self._token, number)
        self.written.append(MergedFile(table, path, found.sha256, found.bytes, found.rows, run_ids[0], run_ids[1]))
        store = self.catalog.store
        if not writer.create_in(store, path) or store.hash_file(path) != found.sha256:
            raise StoreError("This file is not what has just been written to it.", store.url(path), "Compact again.")

    def _merged_rows(self, file: MergedFile) -> Iterator[RunRows]:
        for table in self._read(file):
            for run_id, rows in split_by_run(table):
                if run_id not in self.dropped:
                    yield run_id, rows if file.table == PUBLICATIONS else with_run(file.table, rows, run_id)

    def _single_rows(self, table: str) -> Iterator[RunRows]:
        with ThreadPoolExecutor(READERS) as readers:
            for at in range(0, len(self.single_ids), RUNS_AT_ONCE):
                run_ids = self.single_ids[at : at + RUNS_AT_ONCE]
                for run_id, pieces in zip(run_ids, readers.map(partial(self._open, table), run_ids), strict=True):
                    with _of_run(run_id):
                        yield from ((run_id, rows) for piece in pieces for rows in piece)

    def _open(self, table: str, run_id: str) -> list[Iterable[pa.Table]]:
        """Read the small files of a run, and begin with the large ones."""
        with _of_run(run_id):
            if table == PUBLICATIONS:
                return [[self._publication(run_id)]]
            return [self._run_rows(file, run_id) for file in self.catalog.files(table, [run_id])]

    def _run_rows(self, file: TableFile, run_id: str) -> Iterable[pa.Table]:
        batches = (self._fitted(file, rows, run_id) for rows in read_batches(self.catalog.store, file))
        return list(batches) if is_small(file) else batches

    def _fitted(self, file: TableFile, rows: pa.Table, run_id: str) -> pa.Table:
        _check_columns(self.catalog.store, file, rows)
        if file.table == RUNS:
            self._note(run_id, file, rows)
        return with_run(file.table, rows, run_id)

    def _publication(self, run_id: str) -> pa.Table:
        found = read_publication(self.catalog, run_id)
        for file in found.record.files if found.record else ():
            if file.table not in TABLES:
                problem = f"The run {run_id} has a table {file.table!r}, which this version does not know."
                raise UnexpectedContentError(problem, self.catalog.store.url(file.path))
        manifest = found.record.manifest if found.record else None
        row = (run_id, found.record_path or None, found.record_bytes, manifest and manifest.path, found.manifest)
        arrays = [pa.array([value], field.type) for value, field in zip(row, SCHEMA, strict=True)]
        return pa.Table.from_arrays(arrays, schema=SCHEMA)

    def _note(self, run_id: str, file: TableFile, rows: pa.Table) -> None:
        (row,) = rows.select(["name", "started_at"]).to_pylist()
        self._runs[run_id] = MergedRun(
            run_id, row["name"], time_digits(row["started_at"]), file.sha256 or "", file.sha256 is not None
        )


def is_small(file: TableFile) -> bool:
    """Whether a file is read at once; so is one of unknown size: a row of `runs`, or what 0.1 wrote."""
    return file.bytes is None or file.bytes <= SMALL_BYTES


def read_batches(store: Store, file: TableFile) -> Iterator[pa.Table]:
    """Read a file, compared with its hash first, some rows at a time.

    Raises:
        NotInStoreError: It is gone.
        UnexpectedContentError: It is not what was written.
    """
    url = store.url(file.path)
    if file.sha256 and is_small(file):
        yield decode_parquet(read_checked(store, file.path, file.sha256), url)
        return
    if file.sha256 and not any(store.hash_file(file.path) == file.sha256 for _ in range(2)):
        raise UnexpectedContentError("This result file is not what was published (its sha256 differs).", url, REPAIR)
    with open_parquet(store, file.path) as opened:
        for batch in opened.iter_batches(batch_size=BATCH_ROWS, use_threads=False):
            yield pa.Table.from_batches([batch])


@contextmanager
def _of_run(run_id: str) -> Iterator[None]:
    try:
        yield
    except (UnexpectedContentError, NotInStoreError) as error:
        raise UnusableRunError(run_id, error) from error


def read_merged(store: Store, file: MergedFile) -> Iterator[pa.Table]:
    """Read a merged file, compared with its hash first, some rows at a time.

    Raises:
        NotInStoreError: It is gone.
        UnexpectedContentError: It is not what was written.
    """
    return read_batches(store, TableFile(file.table, file.path, file.sha256, file.bytes, file.rows))


def split_by_run(table: pa.Table) -> Iterator[RunRows]:
    """Cut a table that is sorted by run into one piece per run."""
    run_ids = table.column(RUN_ID).combine_chunks().dictionary_encode()
    codes = run_ids.indices.to_numpy(zero_copy_only=False)
    bounds = [0, *(np.flatnonzero(np.diff(codes)) + 1).tolist(), len(codes)]
    for start, end in pairwise(bounds):
        if end > start:
            yield run_ids.dictionary[int(codes[start])].as_py(), table.slice(start, end - start)


def _check_columns(store: Store, file: TableFile, rows: pa.Table) -> None:
    known = {column.name for column in TABLES[file.table].columns}
    if unknown := sorted(set(rows.column_names) - known):
        problem = f"It has a column {unknown[0]!r}, which this version does not know."
        raise UnexpectedContentError(problem, store.url(file.path), "Compact with the version that wrote it.")
