"""Compaction of results: the tables of published runs move from files of their own into few large ones per table.

1. The rows are written into merged files with names that nobody else will ever use (`merging`). Nobody looks at them.
2. The next generation is created, once (`generations`): from this moment on, every reader takes the rows of these runs
   from the merged files. Of several compactions at work one creates it; the others throw their files away.
3. A later compaction, when the generation is old enough (`GRACE`), removes the files that do not count any more. Until
   then a reader who listed them a moment ago still finds them; one who comes later yet asks once more (`reading`).

Killed anywhere before 2 nothing has happened, and anywhere after 2 everything has; what is left lying about is removed
by the next compaction. A merged file that no generation names may belong to a compaction that is still going. So before
it is removed, a generation is created with the number that such a compaction is going to want: it cannot win any more.

Tools that read all files of a folder see rows twice between 1 and 3, and once after that. Our readers never do.
A run that is damaged, or was written by a newer version, stays as it is and is named.
"""

import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from coder_core.errors import CoderError, StoreError
from coder_core.results.catalog import Catalog, read_catalog
from coder_core.results.generations import (
    Generation,
    MergedFile,
    commit_generation,
    list_generations,
    newest_generation,
    read_generation,
)
from coder_core.results.merging import SMALL_MERGED_BYTES, Merge, Merged, UnusableRunError
from coder_core.results.result_paths import (
    PUBLICATIONS,
    TABLES_FOLDER,
    parse_generation,
    parse_merged,
    parse_run_file,
)
from coder_core.results.schema import TABLES
from coder_core.storage.file_infos import StoredFile
from coder_core.storage.refusals import NotInStoreError
from coder_core.storage.store import Store
from coder_core.storage.tables import open_parquet

GRACE = timedelta(hours=1)
"""How long files stay that do not count any more: longer than any question takes to be answered."""
NO_TIME = datetime.min.replace(tzinfo=UTC) + timedelta(days=400)
"""Where a store does not tell the time, nothing is old."""
LEAST_RUNS = 2
DELETIONS = 16
"""Files removed at once: each costs a round trip, or waits for the disk."""
ROUNDS = 5
"""How often a merge starts again because another process has compacted meanwhile."""


class CompactedResults(BaseModel):
    """What happened, or would happen, to the result tables.

    Args:
        runs: Published runs.
        merged: Those among them that were, or would be, moved into merged files.
        files: Merged files that count now.
        removed: Files that did not count any more and were, or would be, removed.
        waiting: Files that do not count any more and are still too young to be removed.
        left: Runs that stay as they are, and why.
    """

    model_config = ConfigDict(frozen=True)

    runs: int
    merged: int
    files: int
    removed: int
    waiting: int
    left: tuple[str, ...] = ()


class Leftovers(NamedTuple):
    """Files that do not count any more.

    Args:
        superseded: Old enough to go: a generation that is past its grace stands for them.
        orphans: Old enough to go, after a new generation: merged files that no generation names.
        waiting: Too young.
    """

    superseded: list[str]
    orphans: list[str]
    waiting: list[str]


def compact_results(store: Store, *, grace: timedelta = GRACE, is_dry_run: bool = False) -> CompactedResults:
    """Merge the tables of published runs, and remove what an earlier compaction has replaced.

    Args:
        store: Whose results.
        grace: Least age of a generation before the files that it stands for are removed.
        is_dry_run: Only say what would happen.

    Raises:
        UnexpectedContentError: A merged file is damaged.
        StoreError: The store refuses; nothing is lost, and a second call goes on.
    """
    now = datetime.now(UTC) if is_dry_run else min(datetime.now(UTC), store.check_writable() or NO_TIME)
    listed = [*store.list_files(TABLES_FOLDER), *store.list_files(PUBLICATIONS)]
    left: dict[str, str] = {}
    singles = len(read_catalog(store).singles)
    merged = (singles if singles >= LEAST_RUNS else 0) if is_dry_run else _merge(store, left)
    leftovers = find_leftovers(store, listed, now - grace)
    removed = len(leftovers.superseded) + len(leftovers.orphans)
    if not is_dry_run:
        removed = _remove(store, leftovers, listed)
    catalog = read_catalog(store)
    return CompactedResults(
        runs=len(catalog.published()),
        merged=merged,
        files=len(catalog.generation.files),
        removed=removed,
        waiting=len(leftovers.waiting),
        left=tuple(left.values()),
    )


def merge_runs(
    catalog: Catalog, make: Callable[[Catalog], Merge], replaced: Callable[[MergedFile], bool]
) -> Merged | None:
    """Write merged files and make them count; None when another process was faster.

    Args:
        catalog: What is published.
        make: Makes the merge.
        replaced: Chooses the merged files whose rows are taken over.
    """
    attempt = make(catalog)
    try:
        merged = attempt.run(replaced)
    except CoderError:
        with contextlib.suppress(StoreError):
            attempt.discard()
        raise
    before = catalog.generation
    kept_runs = [run for run in before.runs if run.run_id not in attempt.dropped]
    kept_files = [file for file in before.files if not replaced(file)]
    runs = tuple(sorted([*kept_runs, *merged.runs]))
    files = tuple(sorted([*kept_files, *merged.files]))
    if commit_generation(catalog.store, Generation(attempt.number, runs, files)):
        return merged
    attempt.discard()
    return None


def find_leftovers(store: Store, listed: Sequence[StoredFile], settled_at: datetime) -> Leftovers:
    """Find the files that do not count any more.

    Args:
        store: Whose files.
        listed: All of `tables` and `publications`.
        settled_at: A generation that was written before this is past its grace.
    """
    generations = dict(_read_generations(store, listed))
    old = [generations[number] for number in _old_generations(listed, settled_at) if number in generations]
    state = _State(newest_generation(store), tuple(generations.values()), old[-1] if old else Generation(0), settled_at)
    found: dict[str, list[str]] = {"superseded": [], "orphans": [], "waiting": []}
    for file in listed:
        if kind := state.kind(file):
            found[kind].append(file.path)
    return Leftovers(**found)


class _State(NamedTuple):
    """The generations that there are.

    Args:
        newest: That counts.
        all: Those that were listed.
        settled: The newest one that is past its grace; with number 0 where there is none.
        settled_at: What was written before this is past its grace.
    """

    newest: Generation
    all: tuple[Generation, ...]
    settled: Generation
    settled_at: datetime

    def kind(self, file: StoredFile) -> str | None:
        """Tell what a file is that does not count any more; None for one that counts, or is not ours to judge."""
        if own := parse_run_file(file.path):
            if own.run_id not in self.newest.by_run:
                return None
            return "superseded" if own.run_id in self.settled.by_run else "waiting"
        if (number := parse_generation(file.path)) is not None:
            return "superseded" if number < self.settled.number else None
        if not parse_merged(file.path) or file.path in self.newest.paths:
            return None
        naming = [generation.number for generation in self.all if file.path in generation.paths]
        if (max(naming, default=0) >= self.settled.number and naming) or not _is_older(file, self.settled_at):
            return "waiting"
        return "superseded" if naming else "orphans"


def _merge(store: Store, left: dict[str, str]) -> int:
    """Merge what can be merged, and note the runs that cannot; returns how many were."""
    conflicts = 0
    while conflicts < ROUNDS:
        catalog = read_catalog(store)
        if len(catalog.singles.keys() - left.keys()) < LEAST_RUNS:
            return 0
        try:
            merged = _merge_singles(catalog, left)
        except UnusableRunError as error:
            left[error.run_id] = f"{error.run_id}: {error}"
            continue
        except NotInStoreError:
            merged = None
        if merged is not None:
            return len(merged.runs)
        conflicts += 1
    return 0


def _merge_singles(catalog: Catalog, left: Collection[str]) -> Merged | None:
    unknown = _unknown_files(catalog)
    return merge_runs(
        catalog,
        lambda found: Merge(found, found.generation.number + 1, excluded=left),
        lambda file: file.bytes < SMALL_MERGED_BYTES and file.path not in unknown,
    )


def _unknown_files(catalog: Catalog) -> set[str]:
    """Small merged files with columns that this version does not know: merging them again would lose these."""
    unknown = set()
    for file in catalog.generation.files:
        if file.table == PUBLICATIONS or file.bytes >= SMALL_MERGED_BYTES:
            continue
        known = {column.name for column in TABLES[file.table].columns} if file.table in TABLES else set()
        with open_parquet(catalog.store, file.path) as opened:
            if set(opened.schema_arrow.names) - known:
                unknown.add(file.path)
    return unknown


def _remove(store: Store, leftovers: Leftovers, listed: Iterable[StoredFile]) -> int:
    orphans = leftovers.orphans if leftovers.orphans and _fence(store, listed) else []
    files = [path for path in [*orphans, *leftovers.superseded] if parse_generation(path) is None]
    with ThreadPoolExecutor(DELETIONS) as threads:
        for _ in threads.map(store.delete, files):
            pass
    for path in leftovers.superseded:  # last: as long as it is there, what it names is known to be replaced
        if parse_generation(path) is not None:
            store.delete(path)
    return len(orphans) + len(leftovers.superseded)


def _fence(store: Store, listed: Iterable[StoredFile]) -> bool:
    """Make sure that no compaction that began before the files were listed can still win."""
    newest = newest_generation(store)
    if newest.number > max(list_generations(file.path for file in listed), default=0):
        return True
    return commit_generation(store, Generation(newest.number + 1, newest.runs, newest.files))


def _old_generations(listed: Iterable[StoredFile], settled_at: datetime) -> list[int]:
    return list_generations(file.path for file in listed if _is_older(file, settled_at))


def _read_generations(store: Store, listed: Iterable[StoredFile]) -> Iterator[tuple[int, Generation]]:
    for number in list_generations(file.path for file in listed):
        try:
            yield number, read_generation(store, number)
        except NotInStoreError:
            continue


def _is_older(file: StoredFile, time: datetime) -> bool:
    return file.modified_at is not None and file.modified_at <= time
