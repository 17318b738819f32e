"""The catalogue: which runs are published, and which files hold their rows, at one moment.

A run is published when its row of `runs` is there, or when the newest generation of merged files holds it; single files
of such a run do not count any more. Three listings tell everything; records of single runs are read when somebody asks
for their files.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import pairwise
from typing import NamedTuple

from coder_core.fingerprint import content_hash
from coder_core.results.generations import Generation, MergedFile, newest_generation
from coder_core.results.result_paths import (
    PUBLICATIONS,
    TABLES_FOLDER,
    RecordName,
    RunFile,
    check_run_id,
    name_digits,
    old_folder,
    parse_record_name,
    parse_run_file,
)
from coder_core.results.run_records import FileRecord, RunRecord, decode_record
from coder_core.results.schema import RUNS
from coder_core.storage.refusals import REPAIR, UnexpectedContentError
from coder_core.storage.store import Store


class SingleRun(NamedTuple):
    """A published run whose files are its own.

    Args:
        row: Its row of `runs`.
        records: Path and name of its records; more than one when several processes published it at once.
    """

    row: RunFile
    records: tuple[tuple[str, RecordName], ...]

    @property
    def only_record(self) -> RecordName | None:
        """What the name of its record says, where that is certain without opening a file."""
        return self.records[0][1] if len(self.records) == 1 and self.records[0][1].started_at else None


class TableFile(NamedTuple):
    """A file with rows of published runs.

    Args:
        table: Its result table.
        path: Relative to the store.
        sha256: Of its bytes; None for a run that was published before there were records.
        bytes: Its size, where that is known.
        rows: Its rows, where that is known.
        run_id: Whose rows it holds; None for a merged file.
        is_old: Whether it lacks the column `run_id`, as files of 0.1 do.
    """

    table: str
    path: str
    sha256: str | None
    bytes: int | None
    rows: int | None
    run_id: str | None = None
    is_old: bool = False

    @property
    def is_single_row(self) -> bool:
        """Whether it is the row of `runs` of one run, which is small."""
        return self.table == RUNS and self.run_id is not None


class Catalog:
    """What is published. Made by `read_catalog`, for one question.

    Args:
        store: Whose results.
        generation: The merged files that count.
        singles: The runs that are published and not merged, sorted by id.
    """

    def __init__(self, store: Store, generation: Generation, singles: Mapping[str, SingleRun]) -> None:
        self.store = store
        self.generation = generation
        self.singles = singles
        self._records: dict[str, RunRecord | None] = {}

    def published(self) -> list[str]:
        """List the visible runs, sorted."""
        return sorted([*self.generation.by_run, *self.singles])

    def is_published(self, run_id: str) -> bool:
        """Tell whether a run is visible."""
        return run_id in self.generation.by_run or run_id in self.singles

    def records(self, run_ids: Iterable[str]) -> dict[str, RunRecord | None]:
        """Read the records of runs with files of their own; None where there is none.

        Raises:
            NotInStoreError: A run was compacted or moved aside since it was listed.
            UnexpectedContentError: A row or a record is not what was written.
        """
        wanted = [run_id for run_id in run_ids if run_id not in self._records]
        paths = [self._record_path(self.singles[run_id]) for run_id in wanted]
        contents = iter(self.store.read_many([path for path in paths if path]))
        for run_id, path in zip(wanted, paths, strict=True):
            self._records[run_id] = decode_record(next(contents), path, self.store.url(path)) if path else None
        return {run_id: self._records[run_id] for run_id in run_ids}

    def record_path(self, run_id: str) -> str:
        """Name the record of a run with files of its own; empty for a run of 0.1 that has none."""
        return self._record_path(self.singles[run_id])

    def files(self, table: str, run_ids: Collection[str] | None = None) -> list[TableFile]:
        """Name the files with the rows of one table, those of single runs first.

        Args:
            table: Its name.
            run_ids: Runs whose rows are wanted; None for all. Merged files hold rows of other runs, too.

        Raises:
            NotInStoreError: A run was compacted or moved aside since it was listed.
            UnexpectedContentError: A row or a record is not what was written.
        """
        single_ids = sorted(self.singles if run_ids is None else self.singles.keys() & run_ids)
        records = self.records(single_ids)
        single = [file for run_id in single_ids for file in self._single_files(table, run_id, records[run_id])]
        return [*single, *map(_merged, self.merged_files(table, run_ids))]

    def merged_files(self, table: str, run_ids: Collection[str] | None = None) -> list[MergedFile]:
        """Name the merged files in which rows of these runs may be."""
        merged_ids = None if run_ids is None else [run_id for run_id in run_ids if run_id in self.generation.by_run]
        return [file for file in self.generation.files if file.table == table and file.may_hold(merged_ids)]

    def _single_files(self, table: str, run_id: str, record: RunRecord | None) -> Iterator[TableFile]:
        row = self.singles[run_id].row
        if table == RUNS:
            yield TableFile(RUNS, row.path, record.row_sha256 if record else None, None, 1, run_id, row.is_old)
        elif record:
            yield from (_single(file, run_id, is_old=row.is_old) for file in record.files if file.table == table)
        else:
            paths = [path for path in self.store.list(old_folder(table, run_id)) if parse_run_file(path)]
            yield from (TableFile(table, path, None, None, None, run_id, is_old=True) for path in paths)

    def _record_path(self, single: SingleRun) -> str:
        """Choose the record of a run's row; empty for a run of 0.1 without any."""
        if len(single.records) == 1:
            return single.records[0][0]
        if not single.records and single.row.is_old:
            return ""
        row_sha256 = content_hash(self.store.read_bytes(single.row.path))
        found = next((path for path, name in single.records if name.row_sha256 == row_sha256), None)
        if found is None:
            problem = "This row of `runs` is not what was published (no record has its sha256)."
            raise UnexpectedContentError(problem, self.store.url(single.row.path), REPAIR)
        return found


def read_catalog(store: Store) -> Catalog:
    """Look at what is published now.

    Raises:
        StoreError: The store refuses, or the record of the compacted runs is damaged.
    """
    rows = store.list(f"{TABLES_FOLDER}/{RUNS}")  # first: what goes from here is in the generation that is read next
    publications = store.list(PUBLICATIONS)
    generation = newest_generation(store, publications)
    return Catalog(store, generation, single_runs([*rows, *publications], generation))


def read_catalog_of(store: Store, run_id: str) -> Catalog:
    """Look at what is published of one run now: what the others are does not matter, and is not listed.

    Raises:
        StoreError: The run id is not safe, the store refuses, or the record of the compacted runs is damaged.
    """
    check_run_id(run_id)
    rows = [*store.list_beginning(f"{TABLES_FOLDER}/{RUNS}", f"{run_id}."), *store.list(old_folder(RUNS, run_id))]
    records = store.list_beginning(PUBLICATIONS, f"{run_id}.")
    generation = newest_generation(store)
    found = single_runs([*rows, *records], generation)
    return Catalog(store, generation, {run_id: found[run_id]} if run_id in found else {})


def find_latest_runs(catalog: Catalog) -> list[str] | None:
    """Return the run of each evaluation that was started last; None where only rows could tell (runs of 0.1)."""
    histories = _histories(catalog)
    return None if histories is None else sorted(history[-1] for history in histories)


def find_previous_runs(catalog: Catalog, run_ids: Collection[str]) -> list[str] | None:
    """Return the runs that were started just before these, of the same evaluation each; None where only rows tell."""
    histories = _histories(catalog)
    if histories is None:
        return None
    wanted = set(run_ids)
    pairs = [pair for history in histories for pair in pairwise(history)]
    return sorted(before for before, run_id in pairs if run_id in wanted)


def _histories(catalog: Catalog) -> list[list[str]] | None:
    """List the runs of each evaluation in the order of their start; None where only rows could tell (runs of 0.1)."""
    started: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for run in catalog.generation.runs:
        started[name_digits(run.name)].append((run.started_at, run.run_id))
    for run_id, single in catalog.singles.items():
        if (record := single.only_record) is None:
            return None
        started[record.name_digits].append((record.started_at, run_id))
    return [[run_id for _, run_id in sorted(runs)] for runs in started.values()]


def single_runs(paths: Iterable[str], generation: Generation) -> dict[str, SingleRun]:
    """Find the published runs with files of their own that count, in a listing of rows and records; sorted by id."""
    rows: dict[str, RunFile] = {}
    records: dict[str, list[tuple[str, RecordName]]] = defaultdict(list)
    for path in paths:
        if name := parse_record_name(path):
            records[name.run_id].append((path, name))
        elif (file := parse_run_file(path)) and file.table == RUNS and file.run_id not in generation.by_run:
            rows[file.run_id] = file
    return {run_id: SingleRun(rows[run_id], tuple(sorted(records[run_id]))) for run_id in sorted(rows)}


def _single(file: FileRecord, run_id: str, *, is_old: bool) -> TableFile:
    return TableFile(file.table, file.path, file.sha256, file.bytes, file.rows, run_id, is_old)


def _merged(file: MergedFile) -> TableFile:
    return TableFile(file.table, file.path, file.sha256, file.bytes, file.rows)
