"""Compaction of results: every published run is visible exactly once, whatever happens at any moment."""

from collections import Counter
from datetime import timedelta

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from coder_core.results import merging, run_compaction
from coder_core.results.catalog import read_catalog
from coder_core.results.merging import Merge
from coder_core.results.result_tables import ResultTables
from coder_core.results.run_compaction import compact_results, merge_runs
from coder_core.results.schema import TABLES
from coder_core.results.warehouse import Warehouse
from coder_core.storage.store import Store
from tests.coder_core.results.result_rows import flip, old_run, parquet_bytes, paths, publish, publish_many
from tests.coder_core.results.store_state import (
    ROWS,
    counts_of,
    plain_rows,
    state,
    wait_for_the_next_second,
    wanted_files,
)
from tests.coder_core.storage.conftest import LONG_ON_S3

pytestmark = pytest.mark.slow

NOW = timedelta(0)


@LONG_ON_S3
def test_runs_move_into_few_files_and_nothing_else_changes(store: Store) -> None:
    publish_many(store, 3)
    before, rows = state(store), Warehouse(store).query(ROWS).rows
    planned = compact_results(store, is_dry_run=True)
    assert (planned.merged, planned.removed, planned.waiting) == (3, 0, 0)
    done = compact_results(store)
    assert (done.runs, done.merged, done.files, done.removed, done.waiting) == (3, 3, 5, 0, 18)
    assert state(store) == before
    wait_for_the_next_second(store)
    assert compact_results(store, grace=NOW).removed == 18
    assert len(store.list()) == 6
    assert state(store) == before
    assert Warehouse(store).query(ROWS).rows == rows
    assert plain_rows(store) == sorted((row[0], row[2]) for row in rows)
    assert compact_results(store, grace=NOW).removed == 0


def test_what_is_new_joins_what_is_merged_already(disk_store: Store) -> None:
    for number in range(4):
        publish_many(disk_store, 3, name=f"set-{number}")
        before = state(disk_store)
        for _ in range(2):
            compact_results(disk_store, grace=NOW)
            assert state(disk_store) == before
        assert len(paths(disk_store, "metrics/")) == 1
    assert len(ResultTables(disk_store).published()) == 12
    table = pq.read_table(disk_store.url(paths(disk_store, "metrics/")[0]))
    assert table.column("run_id").to_pylist() == sorted(table.column("run_id").to_pylist())


def test_a_single_run_stays_as_it_is(disk_store: Store) -> None:
    publish(disk_store, "run")
    before = disk_store.list()
    assert compact_results(disk_store, grace=NOW).merged == 0
    assert disk_store.list() == before


def test_large_tables_become_several_files_of_which_a_question_opens_those_it_needs(
    disk_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coder_core.results.table_file.rows_per_group", lambda _schema: 10)
    monkeypatch.setattr(merging, "MERGED_BYTES", 2_000)
    monkeypatch.setattr(run_compaction, "SMALL_MERGED_BYTES", 1_000)
    for number in range(8):
        publish(disk_store, f"run-{number}", texts=25)
    before = state(disk_store)
    for _ in range(3):
        compact_results(disk_store, grace=NOW)
        assert state(disk_store) == before
    assert len(paths(disk_store, "texts/")) > 3
    opened = read_catalog(disk_store).files("texts", ["run-3"])
    assert 0 < len(opened) < len(paths(disk_store, "texts/"))
    publish(disk_store, "run-35", texts=25)
    publish(disk_store, "run-9", texts=25)
    large = {path: disk_store.read_bytes(path) for path in paths(disk_store, "texts/")}
    before = state(disk_store)
    compact_results(disk_store, grace=NOW)
    assert state(disk_store) == before
    assert sum(path in large for path in paths(disk_store, "texts/merged/")) > 2  # what is large is not merged again


# ---- beside others


def test_of_two_compactions_one_wins_and_the_other_throws_its_files_away(disk_store: Store) -> None:
    publish_many(disk_store, 3)
    before, catalog = state(disk_store), read_catalog(disk_store)
    assert compact_results(disk_store).merged == 3
    counted = wanted_files(disk_store)
    assert merge_runs(catalog, lambda found: Merge(found, found.generation.number + 1), lambda _file: True) is None
    assert {path for path in disk_store.list() if "merged" in path} == counted - set(paths(disk_store, "generations"))
    assert state(disk_store) == before


def test_a_compaction_whose_files_were_removed_cannot_win_any_more(disk_store: Store) -> None:
    """It is asleep between writing its files and creating its generation, for longer than anybody waits."""
    publish_many(disk_store, 3)
    before = state(disk_store)

    def sleep(found: object) -> Merge:
        attempt = Merge(found, 1)  # type: ignore[arg-type]
        run = attempt.run

        def run_and_sleep(replaced: object) -> object:
            merged = run(replaced)  # type: ignore[arg-type]
            assert len(paths(disk_store, "merged")) == 5
            assert compact_results(disk_store, grace=timedelta(hours=1)).waiting >= 5
            assert compact_results(disk_store, grace=NOW).removed >= 5
            return merged

        attempt.run = run_and_sleep  # type: ignore[assignment,method-assign]
        return attempt

    assert merge_runs(read_catalog(disk_store), sleep, lambda _file: True) is None
    assert state(disk_store) == before
    for _ in range(2):
        compact_results(disk_store, grace=NOW)
    assert set(disk_store.list()) == wanted_files(disk_store)
    assert state(disk_store) == before


def test_orphans_are_removed_after_a_generation_that_no_sleeper_can_win(disk_store: Store) -> None:
    publish_many(disk_store, 2)
    for _ in range(2):
        compact_results(disk_store, grace=NOW)
    orphan = "tables/metrics/merged/00000002-0123456789ab-0000.parquet"
    disk_store.write_bytes(orphan, b"of a compaction that is asleep, or dead")
    number = read_catalog(disk_store).generation.number
    assert compact_results(disk_store).waiting == 1
    assert read_catalog(disk_store).generation.number == number
    assert compact_results(disk_store, grace=NOW).removed >= 1
    assert not disk_store.exists(orphan)
    assert read_catalog(disk_store).generation.number == number + 1


def test_a_reader_who_has_listed_the_files_finds_them_for_a_while(disk_store: Store) -> None:
    publish_many(disk_store, 3)
    catalog = read_catalog(disk_store)
    compact_results(disk_store)
    compact_results(disk_store)
    assert [disk_store.exists(file.path) for file in catalog.files("metrics")] == [True] * 3
    for _ in range(2):
        compact_results(disk_store, grace=NOW)
    assert len(paths(disk_store, "metrics/")) == 1


def test_a_writer_that_slept_through_everything_changes_nothing(
    disk_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its run was published by another process, compacted and collected between its look and its row."""
    publish(disk_store, "other")
    put_row = compaction_then_row(disk_store)
    monkeypatch.setattr("coder_core.results.writing.RunWriter._put_row", put_row)
    assert not publish(disk_store, "run", name="mine", manifest=b"mine")
    monkeypatch.undo()
    assert ResultTables(disk_store).read_manifest("run") == b"theirs"
    assert ResultTables(disk_store).latest("theirs") == "run"
    assert paths(disk_store, "tables/runs/run") == []
    assert counts_of(plain_rows(disk_store))["run"] == 2 or compact_results(disk_store, grace=NOW)
    compact_results(disk_store, grace=NOW)
    assert counts_of(plain_rows(disk_store)) == {"run": 2, "other": 2}


def compaction_then_row(store: Store) -> object:
    from coder_core.results.writing import RunWriter

    put_row = RunWriter._put_row

    def sleep_and_put(writer: RunWriter, *arguments: object) -> bool:
        RunWriter._put_row = put_row  # type: ignore[method-assign]
        publish(store, "run", name="theirs", manifest=b"theirs")
        for _ in range(2):
            compact_results(store, grace=NOW)
        return put_row(writer, *arguments)  # type: ignore[arg-type]

    return sleep_and_put


# ---- what is left alone


def test_a_damaged_run_stays_as_it_is_and_is_named(disk_store: Store) -> None:
    publish_many(disk_store, 10)
    harmed = [f"flags-00{number}" for number in range(1, 8)]
    for run_id in harmed:
        flip(disk_store, paths(disk_store, f"metrics/{run_id}")[0])
    done = compact_results(disk_store, grace=NOW)
    assert done.merged == 3
    assert [told.partition(": ")[0] for told in done.left] == harmed
    compact_results(disk_store, grace=NOW)
    assert len(paths(disk_store, "/flags-002")) == 6
    assert len(ResultTables(disk_store).published()) == 10


@pytest.mark.parametrize("of", ["table", "column"])
def test_what_a_newer_version_wrote_is_not_lost(
    disk_store: Store, of: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    publish_many(disk_store, 3)
    if of == "column":
        newer = TABLES["texts"]._replace(columns=TABLES["texts"].columns[:-1])
        monkeypatch.setitem(TABLES, "texts", newer)
    else:
        ordered = TABLES.copy()
        request.addfinalizer(lambda: (TABLES.clear(), TABLES.update(ordered)))  # what is put back would come last
        monkeypatch.delitem(TABLES, "texts")
    done = compact_results(disk_store, grace=NOW)
    assert done.merged == 0
    assert len(done.left) == 2  # the last one has nobody to be merged with
    assert "does not know" in done.left[0]
    monkeypatch.undo()
    compact_results(disk_store, grace=NOW)
    with monkeypatch.context() as patch:
        patch.setitem(TABLES, "texts", TABLES["texts"]._replace(columns=TABLES["texts"].columns[:-1]))
        for run_id in ("x", "y"):
            publish(disk_store, run_id, texts=0)
        assert compact_results(disk_store, grace=NOW).merged == 2
    assert ResultTables(disk_store).read("texts", "flags-000").column("source").to_pylist() == ["file"] * 3


# ---- other tools


def test_other_tools_read_the_folders_of_a_compacted_store(disk_store: Store) -> None:
    old_run(disk_store, "old-1")
    publish_many(disk_store, 3)
    for _ in range(2):
        compact_results(disk_store, grace=NOW)
    publish(disk_store, "young")
    disk_store.write_bytes(
        f"tables/metrics/unpublished.{'0' * 64}.parquet",
        parquet_bytes(pa.table({"run_id": ["unpublished"], "value": [0.5]})),
    )
    folder = f"{disk_store.url()}/tables"
    files = "read_parquet('{}/**/*.parquet', hive_partitioning = true, union_by_name = true)"
    sql = (
        f"SELECT run_id, count(*) FROM {files.format(f'{folder}/metrics')} "
        f"WHERE run_id IN (SELECT run_id FROM {files.format(f'{folder}/runs')}) GROUP BY ALL"
    )
    expected = {"old-1": 1, "flags-000": 2, "flags-001": 2, "flags-002": 2, "young": 2}
    assert dict(duckdb.sql(sql).fetchall()) == expected
    found = ds.dataset(f"{folder}/metrics", format="parquet").to_table(columns=["run_id"]).column("run_id")
    published = ds.dataset(f"{folder}/runs", format="parquet").to_table(columns=["run_id"]).column("run_id").to_pylist()
    assert dict(Counter(run_id for run_id in found.to_pylist() if run_id in published)) == expected
    assert sorted(published) == sorted(expected)
