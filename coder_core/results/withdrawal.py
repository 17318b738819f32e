"""Repair of merged files: what is damaged is moved aside, and only the runs whose rows are lost go out of sight.

A merged file holds rows of many runs. Where some of its row groups fail their checksums and others do not, the footer
is right and the rows of the sound ones are kept; where the footer itself cannot be trusted, every run that has rows in
the file is affected. An affected run whose own files have not been removed yet is merged again from these. The others
are withdrawn: their rows go from every merged file, in one new generation, and the files that held them are moved to
`damaged/`. Evaluating again takes seconds, because everything a run was made from is still there.
"""

from collections.abc import Collection, Iterator
from typing import NamedTuple

import pyarrow as pa

from coder_core.errors import StoreError
from coder_core.results.catalog import Catalog, read_catalog, single_runs
from coder_core.results.generations import Generation, MergedFile
from coder_core.results.merged_publications import publications_of
from coder_core.results.merging import Merge, UnusableRunError, read_merged
from coder_core.results.result_paths import PUBLICATIONS, TABLES_FOLDER
from coder_core.results.run_compaction import merge_runs
from coder_core.results.schema import RUNS
from coder_core.storage.damaged_files import move_aside
from coder_core.storage.refusals import NotInStoreError, UnexpectedContentError
from coder_core.storage.store import Store
from coder_core.storage.tables import explained_parquet, open_parquet

ROUNDS = 5


class Withdrawal(NamedTuple):
    """What a repair of merged files has done.

    Args:
        withdrawn: Runs that are not published any more.
        restored: Runs that were merged again from their own files.
        moved: Where the files are that do not count any more.
    """

    withdrawn: tuple[str, ...]
    restored: tuple[str, ...]
    moved: tuple[str, ...]


class _Damage(NamedTuple):
    """A damaged merged file: the runs whose rows are lost, and the row groups that are sound."""

    file: MergedFile
    affected: frozenset[str]
    sound_groups: tuple[int, ...]


def withdraw_damaged(store: Store, damaged: Collection[str]) -> Withdrawal:
    """Take damaged merged files, and the runs whose rows they lose, out of what is published.

    Args:
        store: Whose results.
        damaged: Paths of merged files that are gone or not what was written.

    Raises:
        StoreError: The store refuses, or others compact all the time; nothing is lost, and a second call goes on.
    """
    excluded: set[str] = set()
    for _ in range(ROUNDS):
        catalog = read_catalog(store)
        found = [file for file in catalog.generation.files if file.path in damaged]
        if not found:
            return Withdrawal((), (), ())
        damage = {file.path: _examine(catalog, file, damaged) for file in found}
        try:
            done = _rewrite(catalog, damage, excluded)
        except UnusableRunError as error:
            excluded.add(error.run_id)
        except NotInStoreError:
            continue
        else:
            if done is not None:
                return done
    raise StoreError("The compacted results change all the time.", store.url(TABLES_FOLDER), "Repair again.")


def _rewrite(catalog: Catalog, damage: dict[str, _Damage], excluded: set[str]) -> Withdrawal | None:
    store, before = catalog.store, catalog.generation
    affected = frozenset().union(*(found.affected for found in damage.values()))
    kept = Generation(before.number, tuple(run for run in before.runs if run.run_id not in affected), before.files)
    own_files = single_runs([*store.list(f"{TABLES_FOLDER}/{RUNS}"), *store.list(PUBLICATIONS)], kept)
    restorable = {run_id: single for run_id, single in own_files.items() if run_id in affected - excluded}
    replaced = {file.path for file in before.files if file.path in damage or file.may_hold(affected)}

    def read(file: MergedFile) -> Iterator[pa.Table]:
        if file.path in damage:
            return _sound_rows(store, damage[file.path])
        return read_merged(store, file)

    merged = merge_runs(
        Catalog(store, kept, restorable),
        lambda found: Merge(found, before.number + 1, dropped=affected, read=read),
        lambda file: file.path in replaced,
    )
    if merged is None:
        return None
    restored = tuple(sorted(run.run_id for run in merged.runs))
    withdrawn = tuple(sorted(affected - set(restored)))
    moved = tuple(_move(store, path) for path in sorted(replaced if withdrawn else damage))
    return Withdrawal(withdrawn, restored, tuple(path for path in moved if path))


def _examine(catalog: Catalog, file: MergedFile, damaged: Collection[str]) -> _Damage:
    """Find out which runs lose rows with a damaged file."""
    sound, lost_spans = _groups(catalog.store, file)
    if not sound or not lost_spans:  # nothing can be read, or all can: then the damage is in the footer
        sound, lost_spans = (), [(file.first_run, file.last_run)]
    within = {run_id for run_id in catalog.generation.by_run for low, high in lost_spans if low <= run_id <= high}
    return _Damage(file, frozenset(within - _runs_without(catalog, file.table, within, damaged)), tuple(sound))


def _groups(store: Store, file: MergedFile) -> tuple[tuple[int, ...], list[tuple[str, str]]]:
    """Return the row groups that can be read, and the first and the last run of each that cannot."""
    sound: list[int] = []
    spans: list[tuple[str, str]] = []
    try:
        with open_parquet(store, file.path) as opened:
            for group in range(opened.num_row_groups):
                run_ids = opened.metadata.row_group(group).column(0).statistics
                try:
                    with explained_parquet(file.path):
                        opened.read_row_group(group, use_threads=False)
                    sound.append(group)
                except UnexpectedContentError:
                    spans.append((str(run_ids.min), str(run_ids.max)))
    except (UnexpectedContentError, NotInStoreError, AttributeError):
        return (), []
    return tuple(sound), spans


def _runs_without(catalog: Catalog, table: str, run_ids: set[str], damaged: Collection[str]) -> set[str]:
    """Return the runs that have no rows in a table at all, by their records where these can be read."""
    if table in {PUBLICATIONS, RUNS}:
        return set()
    without: set[str] = set()
    for file in catalog.merged_files(PUBLICATIONS, run_ids):
        if file.path in damaged:
            continue
        for run_id, found in publications_of(catalog.store, file).items():
            if found.record and all(own.table != table for own in found.record.files):
                without.add(run_id)
    return without & run_ids


def _sound_rows(store: Store, damage: _Damage) -> Iterator[pa.Table]:
    if damage.sound_groups:
        with open_parquet(store, damage.file.path) as opened:
            for group in damage.sound_groups:
                yield opened.read_row_group(group, use_threads=False)


def _move(store: Store, path: str) -> str:
    try:
        return move_aside(store, path)
    except NotInStoreError:
        return ""
