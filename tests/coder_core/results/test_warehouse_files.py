"""The files behind the warehouse: checked before anything is said, read right by many threads, of every version."""

import io
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from coder_core.errors import StoreError
from coder_core.results import published_files, query_process
from coder_core.results.query_files import SharedFile
from coder_core.results.query_process import SPARE
from coder_core.results.run_compaction import compact_results
from coder_core.results.schema import TABLES, MetricRow, PredictionRow
from coder_core.results.warehouse import Warehouse
from coder_core.results.writing import RunWriter
from coder_core.storage.refusals import UnexpectedContentError
from coder_core.storage.store import Store
from tests.coder_core.results.result_rows import (
    flip,
    metric_rows,
    old_run,
    paths,
    publish,
    publish_many,
    run_row,
)


@pytest.mark.slow
@pytest.mark.parametrize("is_compacted", [False, True])
@pytest.mark.parametrize("many", [1, 100], ids=["read by Arrow", "read by DuckDB"])
def test_a_store_of_the_first_version_is_asked_like_any_other(
    disk_store: Store, is_compacted: bool, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine_setting(monkeypatch, "MANY_FILES", many):
        old_run(disk_store, "old")
        publish(disk_store, "run")
        if is_compacted:
            compact_results(disk_store)
        warehouse = Warehouse(disk_store)
        result = warehouse.query("SELECT * FROM metrics ORDER BY run_id")
        assert result.columns == [column.name for column in TABLES["metrics"].columns]
        protocol = result.columns.index("protocol")
        said = [(row[0], row[protocol]) for row in result.rows]
        assert said == [("old", None), ("run", "honest"), ("run", "honest")]
        assert warehouse.query("SELECT run_id, method, top5 FROM predictions ORDER BY ALL").rows == [
            ("old", "clip", [0, 1]),
            ("old", "clip", [1, 0]),
            ("old", "coder", [0, 1]),
            ("old", "coder", [1, 0]),
        ]
        assert warehouse.query("SELECT dataset, best_top1 FROM runs WHERE run_id = 'old'").rows == [("folder", None)]
        assert warehouse.query("SELECT run_id, name FROM latest_metrics ORDER BY ALL").rows == [
            ("old", "flags"),
            ("run", "word"),
            ("run", "word"),
        ]


@pytest.mark.slow
@pytest.mark.parametrize("is_compacted", [False, True])
def test_a_large_table_is_read_right_by_several_threads_at_once(disk_store: Store, is_compacted: bool) -> None:
    rows = 200_000  # many row groups: DuckDB reads them in parallel through one file handle
    labels = np.random.default_rng(0).integers(0, 1_000, rows)
    names = [f"class {label}" for label in labels]
    table = pa.table(
        {
            "method": ["clip"] * rows,
            "protocol": ["honest"] * rows,
            "image_id": names,
            "predicted": labels,
            "predicted_name": names,
        }
    ).append_column("top5", pa.FixedSizeListArray.from_arrays(pa.array(np.repeat(labels, 2)), 2))
    with RunWriter(disk_store, "run") as writer:
        writer.append(PredictionRow, table)
        writer.publish(run_row(), b"{}")
    publish(disk_store, "other")
    if is_compacted:
        compact_results(disk_store)
    sql = "SELECT sum(predicted), sum(top5[2]), count(*) FILTER (predicted_name = 'class ' || top5[1]) FROM predictions"
    assert Warehouse(disk_store).query(sql).rows == [(labels.sum(), labels.sum(), rows)]


def test_every_thread_has_its_own_position_in_a_shared_file() -> None:
    file = SharedFile(io.BytesIO(b"0123456789"))
    assert file.seek(2) == 2
    with ThreadPoolExecutor(1) as other:
        assert other.submit(file.seek, -3, 2).result() == 7
        assert other.submit(file.read, 2).result() == b"78"
        assert file.read(2) == b"23"
        assert other.submit(file.read).result() == b"9"
    assert file.seek(1, 1) == 5
    assert file.tell() == 5
    file.close()


@pytest.mark.parametrize("is_compacted", [False, True])
def test_a_damaged_result_is_the_stores_fault(disk_store: Store, is_compacted: bool) -> None:
    publish_many(disk_store, 3)
    if is_compacted:
        for _ in range(2):
            compact_results(disk_store, grace=timedelta(0))
    flip(disk_store, paths(disk_store, "metrics/")[0])
    warehouse = Warehouse(disk_store)
    with pytest.raises(StoreError, match=r"not what was published.*store verify --repair"):
        warehouse.query("SELECT * FROM metrics")
    assert len(warehouse.query("SELECT * FROM runs").rows) == 3


def test_a_large_result_is_checked_when_its_data_is_read_and_not_for_its_footer(
    disk_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(published_files, "SMALL_BYTES", 0)
    monkeypatch.setattr(published_files, "FOOTER_BYTES", 40_000)  # more than DuckDB takes to read a footer: 32 KiB
    publish(disk_store, "run", texts=30_000)
    hashed: list[str] = []
    hash_file = Store.hash_file
    monkeypatch.setattr(Store, "hash_file", lambda store, path: hashed.append(path) or hash_file(store, path))
    warehouse = Warehouse(disk_store)
    assert warehouse.query("SELECT text FROM texts WHERE run_id > 'z'").rows == []
    assert hashed == []
    assert len(warehouse.query("SELECT text FROM texts").rows) == 30_000
    (path,) = paths(disk_store, "texts/")
    assert hashed == [path]
    flip(disk_store, path)
    with pytest.raises(UnexpectedContentError, match="not what was published") as error:
        warehouse.query("SELECT text FROM texts")
    assert error.value.place == disk_store.url(path)


@pytest.mark.slow
def test_no_query_answers_from_a_large_file_with_a_flipped_bit(
    disk_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(published_files, "SMALL_BYTES", 0)
    monkeypatch.setattr(published_files, "FOOTER_BYTES", 2_000)
    with RunWriter(disk_store, "run") as writer:
        writer.append(MetricRow, metric_rows(*(at * 7919 % 1_000_003 for at in range(20_000))))
        writer.publish(run_row(), b"{}")
    (path,) = paths(disk_store, "metrics/")
    sound = disk_store.read_bytes(path)
    sql = "SELECT sum(hash(method) % 1000), sum(hash(value) % 1000), count(*) FROM metrics"
    expected = Warehouse(disk_store).query(sql)
    for position in range(4, len(sound), len(sound) // 40):
        disk_store.write_bytes(path, sound[:position] + bytes([sound[position] ^ 2]) + sound[position + 1 :])
        with pytest.raises(UnexpectedContentError, match="not what was published"):
            assert Warehouse(disk_store).query(sql) == expected
    disk_store.write_bytes(path, sound)
    assert Warehouse(disk_store).query(sql) == expected


def engine_setting(monkeypatch: pytest.MonkeyPatch, name: str, value: int) -> "SetEngine":
    """Change a constant of the engine, which lives in a process of its own."""
    return SetEngine(monkeypatch, name, value)


class SetEngine:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str, value: int) -> None:
        program = query_process._PROGRAM.replace(
            "; main(", f"; from coder_core.results import query_engine; query_engine.{name} = {value}; main("
        )
        monkeypatch.setattr(query_process, "_PROGRAM", program)

    def __enter__(self) -> None:
        SPARE.clear()

    def __exit__(self, *_error: object) -> None:
        SPARE.clear()
