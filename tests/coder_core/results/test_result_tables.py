import pickle
from datetime import timedelta

import pytest

from coder_core.errors import StoreError
from coder_core.results.result_tables import ResultTables
from coder_core.results.run_compaction import compact_results
from coder_core.results.schema import TABLES, PredictionRow
from coder_core.storage.store import Store
from tests.coder_core.results.result_rows import START, old_run, paths, publish, publish_many
from tests.coder_core.results.store_state import wait_for_the_next_second


def test_an_empty_store_has_no_runs(store: Store) -> None:
    results = ResultTables(store)
    assert results.published() == []
    assert not results.is_published("run")
    assert results.latest("flags") is None
    assert set(results.row_counts().values()) == {0}
    with pytest.raises(StoreError, match=r"no published run 'run'\. Published runs: none yet"):
        results.read("metrics", "run")


def test_a_run_that_is_not_there_is_answered_with_the_latest_ones(disk_store: Store) -> None:
    for run_id, day in {"zebra": 1, "b": 4, "a": 3, "c": 2}.items():
        publish(disk_store, run_id, started_at=START + timedelta(days=day))
    for ask in (ResultTables(disk_store).read_manifest, lambda run_id: ResultTables(disk_store).read("texts", run_id)):
        with pytest.raises(StoreError, match="Published runs: b, a, c"):
            ask("flags-9")


def test_a_table_without_rows_is_empty_and_has_its_columns(disk_store: Store) -> None:
    publish(disk_store, "run")
    table = ResultTables(disk_store).read(PredictionRow, "run")
    assert table.num_rows == 0
    assert table.column_names == [column.name for column in TABLES["predictions"].columns[1:]]
    assert ResultTables(disk_store).read_rows(PredictionRow, "run") == []


@pytest.mark.parametrize("is_compacted", [False, True])
def test_the_latest_run_is_the_one_that_was_started_last(disk_store: Store, is_compacted: bool) -> None:
    days = {"b": 3, "a": 1, "c": 2, "d": 3}
    for run_id, day in days.items():
        publish(disk_store, run_id, name="flags", started_at=START + timedelta(days=day))
    publish(disk_store, "flags-z", name="flags-2", started_at=START + timedelta(days=9))
    if is_compacted:
        compact_results(disk_store)
    results = ResultTables(disk_store)
    assert results.latest("flags") == "d"  # the same time as b: the higher id
    assert results.latest("flags", other_than="d") == "b"
    assert results.latest("flags-2") == "flags-z"
    assert results.latest("flag") is None
    assert results.latest() == "flags-z"
    assert results.newest() == ("flags-z", "d", "b", "c", "a")
    assert results.newest("flags-2") == ("flags-z",)


def test_the_latest_run_is_found_without_reading_the_rows(disk_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    publish_many(disk_store, 20)
    read: list[str] = []
    read_bytes = Store.read_bytes
    monkeypatch.setattr(Store, "read_bytes", lambda store, path: read.append(path) or read_bytes(store, path))
    assert ResultTables(disk_store).latest("flags") == "flags-019"
    assert read == []


def test_rows_are_counted_without_opening_their_files(disk_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    publish_many(disk_store, 3)
    compact_results(disk_store)
    publish(disk_store, "later", texts=7)
    monkeypatch.setattr(Store, "open_input", lambda _store, path: pytest.fail(path))
    counts = ResultTables(disk_store).row_counts()
    assert (counts["runs"], counts["metrics"], counts["texts"], counts["ignored"]) == (4, 8, 16, 0)


def test_results_travel_as_their_store(disk_store: Store) -> None:
    publish(disk_store, "run")
    assert pickle.loads(pickle.dumps(ResultTables(disk_store))).published() == ["run"]  # noqa: S301 (our own bytes)


def check_old_store(store: Store) -> None:
    results = ResultTables(store)
    assert results.published() == ["flags-1", "flags-2", "new"]
    assert results.latest("flags") == "flags-2"
    assert results.latest("word") == "new"
    rows = results.read("predictions", "flags-1").to_pylist()
    assert [(row["method"], row["image_id"], row["top5"]) for row in rows] == [
        (method, image, top5) for method in ("clip", "coder") for image, top5 in (("a", [0, 1]), ("b", [1, 0]))
    ]
    assert {row["location"] for row in rows} == {None}
    (metric,) = results.read("metrics", "flags-2").to_pylist()
    assert (metric["value"], metric["ci_low"], metric["ci_high"], metric["protocol"]) == (0.5, 0.4, None, None)
    (row,) = results.read("runs", "flags-2").to_pylist()
    assert (row["dataset"], row["dataset_key"], row["best_top1"]) == ("folder", None, None)
    counts = results.row_counts()
    assert (counts["runs"], counts["predictions"], counts["metrics"]) == (3, 8, 4)
    with pytest.raises(StoreError, match="wrote no manifests"):
        results.read_manifest("flags-1")
    with pytest.raises(StoreError, match="does not change any more"):
        publish(store, "flags-1")


def test_a_store_of_the_first_version_is_read_as_it_is_and_compacted(store: Store) -> None:
    old_run(store, "flags-1")
    old_run(store, "flags-2", started_at=START + timedelta(days=1))
    publish(store, "new")
    store.write_bytes("tables/metrics/run_id=unfinished/part.parquet", b"of a run that was never published")
    check_old_store(store)
    compact_results(store)
    check_old_store(store)
    wait_for_the_next_second(store)
    assert compact_results(store, grace=timedelta(0)).removed
    check_old_store(store)
    assert paths(store, "run_id=") == ["tables/metrics/run_id=unfinished/part.parquet"]


def test_a_run_from_before_there_were_records_is_read(disk_store: Store) -> None:
    old_run(disk_store, "flags-1")
    disk_store.delete(paths(disk_store, ".json")[0])
    assert ResultTables(disk_store).read("predictions", "flags-1").num_rows == 4
