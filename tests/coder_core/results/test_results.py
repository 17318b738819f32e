from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pyarrow as pa
import pytest
from coder_core.storage.columns import TABLES
from coder_core.storage.results import ResultTables, conform_table

from coder_core.errors import StoreError
from coder_core.storage.store import Store


def run_row(run_id: str, **changes: Any) -> dict[str, Any]:
    """A complete row of `runs`."""
    values: dict[str, Any] = {"VARCHAR": "word", "BIGINT": 1, "TIMESTAMP": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)}
    return {column.name: values[column.type] for column in TABLES["runs"]} | {"run_id": run_id} | changes


def metrics(*values: float) -> pa.Table:
    """Rows of `metrics`, one per method."""
    return pa.table(
        {
            "method": [f"method {number}" for number in range(len(values))],
            "metric": ["top1"] * len(values),
            "value": list(values),
            "n": pa.array([100] * len(values), pa.int32()),
            "protocol": ["honest"] * len(values),
        }
    )


def test_a_run_is_published_by_its_row_alone(store: Store) -> None:
    results = ResultTables(store)
    results.write("metrics", "run-1", metrics(0.5, 0.25))
    assert results.published() == []
    assert not results.is_published("run-1")
    assert results.publish(run_row("run-1"))
    assert results.published() == ["run-1"]
    assert results.read("metrics", "run-1").column("value").to_pylist() == [0.5, 0.25]
    assert "run_id" not in results.read("runs", "run-1").column_names


def test_an_unpublished_run_may_be_written_again_and_a_published_one_stays(disk_store: Store) -> None:
    results = ResultTables(disk_store)
    results.write("metrics", "run", metrics(0.5))
    results.write("metrics", "run", metrics(0.75))
    results.publish(run_row("run", name="first"))
    results.write("metrics", "run", metrics(0.75))
    with pytest.raises(StoreError, match="Start a new run"):
        results.write("metrics", "run", metrics(0.1))
    assert not results.publish(run_row("run", name="second"))
    assert results.read("runs", "run").column("name").to_pylist() == ["first"]
    assert results.read("metrics", "run").column("value").to_pylist() == [0.75]


def test_times_are_stored_as_utc(disk_store: Store) -> None:
    results = ResultTables(disk_store)
    local = datetime(2026, 1, 1, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    results.publish(run_row("run", started_at=local))
    assert results.read("runs", "run").column("started_at").to_pylist() == [datetime(2025, 12, 31, 23, 30)]


@pytest.mark.parametrize("run_id", ["", "../x", "a/b", "a b", ".hidden", "a'b", "x" * 129, "run=1", "ä"])
def test_a_run_id_that_is_not_safe_is_refused(disk_store: Store, run_id: str) -> None:
    with pytest.raises(StoreError, match="is not a run id"):
        ResultTables(disk_store).write("metrics", run_id, metrics(0.5))
    with pytest.raises(StoreError, match="is not a run id"):
        ResultTables(disk_store).publish(run_row(run_id))
    assert disk_store.list() == []


@pytest.mark.parametrize(
    ("name", "table", "problem"),
    [
        ("nonsense", metrics(0.5), "no result table 'nonsense'"),
        ("runs", metrics(0.5), "Use `publish`"),
        ("metrics", metrics(0.5).append_column("extra", pa.array([1])), "'extra' is not documented"),
        ("metrics", metrics(0.5).append_column("run_id", pa.array(["x"])), "'run_id' is not documented"),
        ("metrics", metrics(0.5).drop_columns("n"), "column n: The column is missing"),
        (
            "metrics",
            metrics(0.5).set_column(2, "value", pa.array([None], pa.float64())),
            "value: 1 of 1 values are null",
        ),
        (
            "metrics",
            metrics(0.5).set_column(2, "value", pa.array(["much"])),
            "value: A string does not become a DOUBLE",
        ),
        ("metrics", metrics(0.5).set_column(3, "n", pa.array([1.5])), "n: A double does not become a BIGINT"),
    ],
)
def test_a_table_that_is_not_as_documented_is_refused(
    disk_store: Store, name: str, table: pa.Table, problem: str
) -> None:
    with pytest.raises(StoreError, match=problem):
        ResultTables(disk_store).write(name, "run", table)
    assert disk_store.list() == []


def test_columns_take_their_documented_order_and_type_and_optional_ones_may_be_missing() -> None:
    turned = metrics(0.5).select(["protocol", "n", "value", "metric", "method"])
    table = conform_table("metrics", turned)
    assert table.column_names == [column.name for column in TABLES["metrics"]][1:]
    assert table.schema.field("n").type == pa.int64()
    assert table.column("ci_low").to_pylist() == [None]


def test_every_table_is_documented() -> None:
    assert {"runs", "metrics", "predictions", "class_metrics", "confusions", "texts", "timings"} <= TABLES.keys()
    for columns in TABLES.values():
        assert columns[0].name == "run_id"
        assert len({column.name for column in columns}) == len(columns)
        assert all(len(column.description) > 3 and column.description.endswith(".") for column in columns)


def test_a_table_of_any_documented_type_can_be_written_empty(disk_store: Store) -> None:
    for name, columns in TABLES.items():
        table = pa.table({column.name: pa.nulls(0) for column in columns if column.name != "run_id"})
        assert conform_table(name, table).num_rows == 0
    assert disk_store.list() == []
