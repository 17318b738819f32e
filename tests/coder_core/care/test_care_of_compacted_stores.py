"""The care of stores whose runs were compacted: merged files are checked, kept, repaired and collected."""

import pyarrow.parquet as pq
import pytest

from coder_core.care import collection
from coder_core.care.collection import collect_garbage
from coder_core.care.repairing import repair_store
from coder_core.care.store_compaction import compact_store
from coder_core.care.verifying import verify_store
from coder_core.errors import StoreError
from coder_core.results import merging
from coder_core.results.result_tables import ResultTables
from coder_core.results.schema import TextRow
from coder_core.results.warehouse import Warehouse
from coder_core.results.writing import RunWriter
from coder_core.storage.store import Store
from tests.coder_core.results.result_rows import flip, paths, publish, publish_many, run_row, text_rows

from .test_care import MONTH, NONE, publish_from, set_age, write_artifact

pytestmark = pytest.mark.slow


@pytest.fixture
def compacted(disk_store: Store) -> Store:
    """Three compacted runs of which one was made from an artifact; their own files are gone."""
    publish_from(disk_store, "made", [write_artifact(disk_store, "texts")])
    publish_many(disk_store, 2)
    for _ in range(2):
        compact_store(disk_store, grace=NONE)
    return disk_store


def test_compacted_runs_are_checked(compacted: Store) -> None:
    found = verify_store(compacted)
    assert found.findings == ()
    assert (found.checked.runs, found.checked.result_parts) == (3, 6)


def test_what_compaction_has_replaced_is_one_leftover(disk_store: Store) -> None:
    publish_many(disk_store, 3)
    compact_store(disk_store)
    [finding] = verify_store(disk_store).findings
    assert finding.severity == "leftover"
    assert "18 files have been replaced" in finding.problem
    assert "18 wait for a later compaction" in str(compact_store(disk_store))
    assert "removed 18 files" in str(compact_store(disk_store, grace=NONE))
    assert verify_store(disk_store).findings == ()


def test_artifacts_of_compacted_runs_are_needed(compacted: Store) -> None:
    unneeded = write_artifact(compacted, "texts", seed=7)
    [item] = collect_garbage(compacted, NONE, is_dry_run=False, is_forced=True).collected
    assert item.path.endswith(unneeded.key)
    assert len(ResultTables(compacted).published()) == 3


def test_collection_removes_what_compaction_has_replaced(disk_store: Store) -> None:
    publish_many(disk_store, 2)
    compact_store(disk_store)
    planned = collect_garbage(disk_store, NONE, is_forced=True).collected
    assert [(item.path, item.reason) for item in planned] == [
        (f"tables/*/flags-00{number}.*", "its rows are in merged files") for number in range(2)
    ]
    assert collect_garbage(disk_store, MONTH).collected == ()
    collect_garbage(disk_store, NONE, is_dry_run=False, is_forced=True)
    assert len(disk_store.list()) == 6
    assert ResultTables(disk_store).read("metrics", "flags-000").num_rows == 2


def test_a_run_that_is_published_meanwhile_keeps_its_files(disk_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupted attempt left files long ago, and the run is published while garbage is being collected."""
    publish(disk_store, "run")
    row = disk_store.read_bytes("tables/runs/run.parquet")
    disk_store.delete("tables/runs/run.parquet")
    set_age(disk_store, "run.", 2 * MONTH)
    assert len(collect_garbage(disk_store, MONTH).collected) == 1
    list_unneeded = collection.list_unneeded

    def publish_meanwhile(*arguments: object) -> object:
        found = list(list_unneeded(*arguments))  # type: ignore[arg-type]
        disk_store.write_bytes("tables/runs/run.parquet", row)
        return found

    monkeypatch.setattr(collection, "list_unneeded", publish_meanwhile)
    assert collect_garbage(disk_store, MONTH, is_dry_run=False).collected == ()
    assert verify_store(disk_store).findings == ()


def test_a_damaged_merged_file_takes_only_runs_that_lose_rows_out_of_sight(
    disk_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coder_core.results.table_file.rows_per_group", lambda _schema: 2_000)
    for number in range(6):
        with RunWriter(disk_store, f"run-{number}") as writer:
            writer.append(TextRow, text_rows(2_000) if number else [])
            writer.publish(run_row(name=f"set {number}"), b"%d" % number)
    for _ in range(2):
        compact_store(disk_store, grace=NONE)
    (path,) = paths(disk_store, "texts/")
    column = pq.ParquetFile(disk_store.url(path)).metadata.row_group(2).column(7)
    flip(disk_store, path, column.data_page_offset + column.total_compressed_size // 2)  # of run-3
    [finding] = verify_store(disk_store).damage
    assert finding.path == path
    repaired = repair_store(disk_store)
    assert "1 run was withdrawn (run-3)" in repaired.damage[0].remedy
    results = ResultTables(disk_store)
    assert results.published() == ["run-0", "run-1", "run-2", "run-4", "run-5"]
    assert {name: results.row_counts()[name] for name in ("runs", "texts")} == {"runs": 5, "texts": 8_000}
    assert results.read("texts", "run-4").column("text").to_pylist() == [row.text for row in text_rows(2_000)]
    assert results.read_manifest("run-5") == b"5"
    assert Warehouse(disk_store).query("SELECT count(*) FROM runs JOIN texts USING (run_id)").rows == [(8_000,)]
    assert [finding.severity for finding in verify_store(disk_store).findings] == ["leftover"]
    assert any(name.endswith(path) for name in paths(disk_store, "damaged/"))
    assert publish(disk_store, "run-3")  # it may be published again
    assert results.published()[3] == "run-3"


def test_damage_in_a_footer_takes_every_run_with_rows_in_the_file(disk_store: Store) -> None:
    publish(disk_store, "a", texts=2)
    publish(disk_store, "b", texts=0)
    publish(disk_store, "c", texts=2)
    for _ in range(2):
        compact_store(disk_store, grace=NONE)
    (path,) = paths(disk_store, "texts/")
    disk_store.write_bytes(path, disk_store.read_bytes(path)[:-9])
    assert "2 runs were withdrawn (a, c)" in repair_store(disk_store).damage[0].remedy
    assert ResultTables(disk_store).published() == ["b"]
    assert ResultTables(disk_store).read_manifest("b") == b'{"run": "b"}'
    assert verify_store(disk_store).damage == []


@pytest.mark.parametrize("table", ["metrics", "runs", "publications"])
def test_runs_whose_own_files_are_still_there_are_merged_again(disk_store: Store, table: str) -> None:
    publish_many(disk_store, 3)
    rows = Warehouse(disk_store).query("SELECT * FROM metrics JOIN runs USING (run_id) ORDER BY ALL").rows
    compact_store(disk_store)
    (path,) = paths(disk_store, f"{table}/merged")
    disk_store.delete(path) if table == "runs" else flip(disk_store, path)
    assert len(verify_store(disk_store).damage) == 1
    assert "3 runs were merged again" in repair_store(disk_store).damage[0].remedy
    assert verify_store(disk_store).damage == []
    for _ in range(2):
        compact_store(disk_store, grace=NONE)
    assert Warehouse(disk_store).query("SELECT * FROM metrics JOIN runs USING (run_id) ORDER BY ALL").rows == rows
    assert ResultTables(disk_store).read_manifest("flags-002") == b'{"run": "flags-002"}'
    assert verify_store(disk_store).damage == []


def test_several_damaged_merged_files_are_repaired_at_once(compacted: Store) -> None:
    for table in ("metrics", "texts", "publications"):
        flip(compacted, paths(compacted, f"{table}/merged")[0])
    assert len(verify_store(compacted).damage) == 3
    assert all("3 runs were withdrawn" in finding.remedy for finding in repair_store(compacted).damage)
    assert ResultTables(compacted).published() == []
    assert verify_store(compacted).damage == []
    publish_many(compacted, 3)
    assert compact_store(compacted).results.merged == 3


def test_a_damaged_record_of_a_generation_is_read_from_its_other_line_and_mended(compacted: Store) -> None:
    (path,) = paths(compacted, "generations")
    sound = compacted.read_bytes(path)
    for position in (10, 100, len(sound) // 2 + 100, len(sound) - 2):
        compacted.write_bytes(path, sound[:position] + bytes([sound[position] ^ 1]) + sound[position + 1 :])
        assert len(ResultTables(compacted).published()) == 3
        [finding] = verify_store(compacted).damage
        assert finding.path == path
        assert "sound line" in repair_store(compacted).damage[0].remedy
        assert compacted.read_bytes(path) == sound
        assert verify_store(compacted).damage == []
    compacted.write_bytes(path, b"nothing at all")
    with pytest.raises(StoreError, match=r"none of them can be seen.*copy of the store"):
        ResultTables(compacted).published()
    [finding] = verify_store(compacted).damage
    assert (finding.path, "copy of the store" in repair_store(compacted).damage[0].remedy) == (path, True)


def test_compaction_of_a_damaged_merged_file_says_so_and_loses_nothing(compacted: Store) -> None:
    publish_many(compacted, 2, name="new")
    flip(compacted, paths(compacted, "texts/merged")[0])
    before = set(compacted.list())
    with pytest.raises(StoreError, match="store verify --repair"):
        compact_store(compacted)
    assert set(compacted.list()) == before
    assert len(ResultTables(compacted).published()) == 5


def test_a_large_merged_file_is_checked_block_by_block(disk_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "SMALL_BYTES", 0)
    publish_many(disk_store, 3)
    before = Warehouse(disk_store).query("SELECT * FROM texts ORDER BY ALL")
    for _ in range(2):
        compact_store(disk_store, grace=NONE)
    publish_many(disk_store, 2, name="more")
    compact_store(disk_store, grace=NONE)
    assert Warehouse(disk_store).query("SELECT * FROM texts WHERE run_id < 'm' ORDER BY ALL") == before
    assert verify_store(disk_store).damage == []
