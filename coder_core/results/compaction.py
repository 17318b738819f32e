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
from collections.abc import Callable, Iterable
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
from coder_core.results.layout import (
    PUBLICATIONS,
    TABLES_FOLDER,
    generation_path,
    parse_generation,
    parse_merged,
    parse_run_file,
)
from coder_core.results.merging import SMALL_MERGED_BYTES, Merge, Merged, UnusableRunError
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
    merged = 0
    if not is_dry_run:
        merged = _merge(store, left)
    elif len(singles := read_catalog(store).singles) >= LEAST_RUNS:
        merged = len(singles)
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


def find_leftovers(store: Store, listed: Iterable[StoredFile], settled_at: datetime) -> Leftovers:
    """Find the files that do not count any more.

    Args:
        store: Whose files.
        listed: All of `tables` and `publications`.
        settled_at: A generation that was written before this is past its grace.
    """
    generations = dict(_read_generations(store, listed))
    newest = newest_generation(store)
    written = {number: file for file in listed if (number := parse_generation(file.path)) is not None}
    settled = max((number for number in generations if _is_older(written.get(number), settled_at)), default=0)
    gone_runs = generations[settled].by_run.keys() & newest.by_run.keys() if settled else set()
    counted = newest.paths.union(*(generations[number].paths for number in generations if number >= settled))
    replaced = frozenset[str]().union(*(generations[number].paths for number in generations if number < settled))
    leftovers = Leftovers([], [], [])
    for file in listed:
        if own := parse_run_file(file.path):
            if own.run_id in newest.by_run:
                (leftovers.superseded if own.run_id in gone_runs else leftovers.waiting).append(file.path)
        elif parse_merged(file.path) and file.path not in counted:
            is_old = _is_older(file, settled_at)
            kind = leftovers.superseded if file.path in replaced else leftovers.orphans
            (kind if is_old else leftovers.waiting).append(file.path)
        elif parse_merged(file.path) and file.path not in newest.paths:
            leftovers.waiting.append(file.path)
    leftovers.superseded.extend(generation_path(number) for number in sorted(generations) if number < settled)
    return leftovers


def _merge(store: Store, left: dict[str, str]) -> int:
    for _ in range(ROUNDS):
        catalog = read_catalog(store)
        if len(catalog.singles.keys() - left.keys()) < LEAST_RUNS:
            return 0
        number, unknown = catalog.generation.number + 1, _unknown_files(catalog)
        try:
            merged = merge_runs(
                catalog,
                lambda found: Merge(found, number, left_out=left),  # noqa: B023 (called at once)
                lambda file: file.bytes < SMALL_MERGED_BYTES and file.path not in unknown,  # noqa: B023
            )
        except UnusableRunError as error:
            left[error.run_id] = f"{error.run_id}: {error}"
        except NotInStoreError:
            continue
        else:
            if merged is not None:
                return len(merged.runs)
    return 0


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


def _read_generations(store: Store, listed: Iterable[StoredFile]) -> Iterable[tuple[int, Generation]]:
    for number in list_generations(file.path for file in listed):
        try:
            yield number, read_generation(store, number)
        except NotInStoreError:
            continue


def _is_older(file: StoredFile | None, time: datetime) -> bool:
    return file is not None and file.modified_at is not None and file.modified_at <= time
