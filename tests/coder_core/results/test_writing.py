from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pyarrow.parquet as pq
import pytest

from coder_core.errors import StoreError
from coder_core.results import table_file, writing
from coder_core.results.result_tables import ResultTables
from coder_core.results.run_compaction import compact_results
from coder_core.results.schema import MetricRow, RunRow, TextRow
from coder_core.results.writing import RunWriter
from coder_core.storage.refusals import UnexpectedContentError
from coder_core.storage.store import Store
from tests.coder_core.results.result_rows import flip, metric_rows, paths, publish, run_row, text_rows


def test_a_run_is_published_by_its_row_alone(store: Store) -> None:
    results = ResultTables(store)
    with RunWriter(store, "run-1") as writer:
        writer.append(MetricRow, metric_rows(0.5))
        writer.append(MetricRow, metric_rows(0.25))
        assert store.list() == []
        assert results.published() == []
        assert writer.publish(run_row(), b"{}")
    assert results.published() == ["run-1"]
    assert results.is_published("run-1")
    assert results.read(MetricRow, "run-1").column("value").to_pylist() == [0.5, 0.25]
    assert results.read_rows(RunRow, "run-1")[0].name == "word"
    assert results.read_manifest("run-1") == b"{}"


def test_there_is_one_file_per_table_and_it_says_whose_rows_it_holds(disk_store: Store) -> None:
    publish(disk_store, "run-1")
    for path in paths(disk_store, ".parquet"):
        assert set(pq.read_table(disk_store.url(path)).column("run_id").to_pylist()) == {"run-1"}
    assert len(paths(disk_store, "tables/metrics/")) == 1
    assert paths(disk_store, "tables/runs/") == ["tables/runs/run-1.parquet"]
    assert paths(disk_store, "artifacts/") == []  # a table without rows has no file


def test_a_run_that_was_not_published_leaves_nothing_and_may_be_written_again(disk_store: Store) -> None:
    with RunWriter(disk_store, "run") as writer:
        writer.append(MetricRow, metric_rows(0.5))
    assert disk_store.list() == []
    assert publish(disk_store, "run", (0.75,))
    assert ResultTables(disk_store).read("metrics", "run").column("value").to_pylist() == [0.75]


def test_publishing_the_same_tables_again_changes_nothing(store: Store) -> None:
    assert publish(store, "run", name="first", manifest=b"1")
    before = {path: store.read_bytes(path) for path in store.list()}
    assert not publish(store, "run", name="second", manifest=b"2")
    assert {path: store.read_bytes(path) for path in store.list()} == before


@pytest.mark.parametrize("is_compacted", [False, True])
def test_other_tables_of_a_published_run_are_refused(disk_store: Store, is_compacted: bool) -> None:
    publish(disk_store, "run", name="first")
    publish(disk_store, "other")
    if is_compacted:
        for _ in range(2):
            compact_results(disk_store, grace=timedelta(0))
    before = disk_store.list()
    assert not publish(disk_store, "run")
    for values, texts in (((0.1,), 3), ((0.5, 0.25), 4)):
        with pytest.raises(StoreError, match=r"is published and does not change any more\. Start a new run"):
            publish(disk_store, "run", values, texts=texts)
    assert disk_store.list() == before
    assert ResultTables(disk_store).read_rows(RunRow, "run")[0].name == "first"


@pytest.mark.slow
def test_of_racing_publishers_one_wins_and_what_the_others_wrote_is_gone(store: Store) -> None:
    def race(number: int) -> bool | None:
        try:
            return publish(store, "run", (number / 10,), name=f"name {number}", manifest=b"%d" % number)
        except StoreError:
            return None

    with ThreadPoolExecutor(4) as threads:
        won = list(threads.map(race, range(6)))
    assert won.count(True) == 1
    winner = won.index(True)
    results = ResultTables(store)
    assert results.read("metrics", "run").column("value").to_pylist() == [winner / 10]
    assert results.read_manifest("run") == b"%d" % winner
    assert results.latest(f"name {winner}") == "run"
    publish(store, "run", (winner / 10,))  # whoever comes last clears up after those who were killed
    assert len(paths(store, "metrics/")) == 1
    assert len(paths(store, "publications/")) == 2


def test_what_an_interrupted_attempt_left_is_removed_and_was_never_seen(
    disk_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(writing, "row_path", lambda _run_id: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            publish(disk_store, "run", (0.1,), texts=1)
        with pytest.raises(ZeroDivisionError):
            publish(disk_store, "run.2", (0.1,))
    left = disk_store.list()
    assert len(left) == 10
    assert ResultTables(disk_store).published() == []
    publish(disk_store, "run", (0.9,), texts=2)
    assert len([path for path in paths(disk_store, "/run.") if "/run.2." not in path]) == 6
    assert len(paths(disk_store, "/run.2.")) == 5  # another run's
    assert ResultTables(disk_store).read("metrics", "run").column("value").to_pylist() == [0.9]


def test_a_file_that_an_interrupted_attempt_left_damaged_is_written_again(
    disk_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(writing, "row_path", lambda _run_id: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            publish(disk_store, "run")
    flip(disk_store, paths(disk_store, "metrics/")[0])
    assert publish(disk_store, "run")
    assert ResultTables(disk_store).read("metrics", "run").num_rows == 2


def test_a_write_that_was_lost_shows_before_the_run_does(disk_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Store, "hash_file", lambda _store, _path: "0" * 64)
    with pytest.raises(StoreError, match="not what has just been written"):
        publish(disk_store, "run")
    assert ResultTables(disk_store).published() == []


def test_a_large_table_arrives_from_its_temporary_file(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_file, "rows_per_group", lambda _schema: 100)
    with RunWriter(store, "run") as writer:
        for _ in range(3):
            writer.append(TextRow, text_rows(90))
        writer.publish(run_row(), b"{}")
    assert ResultTables(store).read(TextRow, "run").column("text_id").to_pylist() == [*range(90)] * 3


@pytest.mark.parametrize("run_id", ["", "../x", "a/b", "a b", ".hidden", "a'b", "x" * 129, "run=1", "ä", "a\n"])
def test_a_run_id_that_is_not_safe_is_refused(disk_store: Store, run_id: str) -> None:
    with pytest.raises(StoreError, match="is not a run id"):
        RunWriter(disk_store, run_id)
    with pytest.raises(StoreError, match="is not a run id"):
        ResultTables(disk_store).read("metrics", run_id)


def test_the_row_of_runs_is_published_and_not_appended(disk_store: Store) -> None:
    with RunWriter(disk_store, "run") as writer, pytest.raises(StoreError, match="Use `publish`"):
        writer.append(RunRow, [run_row()])


@pytest.mark.parametrize("part", ["metrics/", "tables/runs/", ".manifest.json", "0000.json"])
def test_a_reader_is_told_of_damage_and_gets_no_rows(disk_store: Store, part: str) -> None:
    publish(disk_store, "run")
    flip(disk_store, paths(disk_store, part)[0])
    results = ResultTables(disk_store)
    read = {"metrics/": "metrics", "tables/runs/": "runs"}
    with pytest.raises(UnexpectedContentError, match=r"not what was published|is damaged"):
        results.read(read[part], "run") if part in read else results.read_manifest("run")
