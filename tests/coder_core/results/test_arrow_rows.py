from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pyarrow as pa
import pytest

from coder_core.errors import StoreError
from coder_core.results.arrow_rows import arrow_schema, conform, rows_from_arrow, rows_to_arrow, with_run
from coder_core.results.schema import TABLES, MetricRow, PredictionRow, RunRow
from tests.coder_core.results.result_rows import VALUES, metric_rows, run_row


def metrics(**columns: Any) -> pa.Table:
    rows = {"method": ["m"], "metric": ["top1"], "value": [0.5], "n": pa.array([9], pa.int32()), "protocol": ["honest"]}
    return pa.table({**rows, **columns})


def test_rows_of_every_table_go_to_arrow_and_back() -> None:
    for name, table in TABLES.items():
        rows = [table.row_class(**{column.name: VALUES[column.type] for column in table.columns[1:]})]
        arrow = rows_to_arrow(table.row_class, rows)
        assert arrow.column_names == [column.name for column in table.columns[1:]]
        assert with_run(name, arrow, "run").schema == arrow_schema(name)
        back = rows_from_arrow(table.row_class, arrow)
        naive = VALUES["TIMESTAMP"].replace(tzinfo=None)
        values = {
            column.name: naive if column.type == "TIMESTAMP" else VALUES[column.type] for column in table.columns[1:]
        }
        assert back == [table.row_class(**values)]
        assert rows_to_arrow(table.row_class, []).num_rows == 0


def test_times_become_utc() -> None:
    local = datetime(2026, 1, 1, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    arrow = rows_to_arrow(RunRow, [run_row(started_at=local), run_row(started_at=local.astimezone(UTC))])
    assert arrow.column("started_at").to_pylist() == [datetime(2025, 12, 31, 23, 30)] * 2


def test_columns_take_their_declared_order_and_type_and_optional_ones_may_be_missing() -> None:
    table = conform(MetricRow, metrics().select(["protocol", "n", "value", "metric", "method"]))
    assert table.column_names == [column.name for column in TABLES["metrics"].columns][1:]
    assert table.schema.field("n").type == pa.int64()
    assert table.column("ci_low").to_pylist() == [None]


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        (metrics(extra=[1]), "'extra' is not declared"),
        (metrics(run_id=["x"]), "'run_id' is not declared"),
        (metrics().drop_columns("n"), "column n: The column is missing"),
        (metrics(value=pa.array([None], pa.float64())), "value: 1 of 1 values are null"),
        (metrics(value=["much"]), "value: A string does not become a DOUBLE"),
        (metrics(n=[1.5]), "n: A double does not become a BIGINT"),
    ],
)
def test_a_table_that_is_not_as_declared_is_refused(table: pa.Table, problem: str) -> None:
    with pytest.raises(StoreError, match=problem):
        conform(MetricRow, table)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"value": "much"}, "column value: A value does not fit"),
        ({"n": 2**70}, "column n: A value does not fit"),
        ({"method": None}, "method: 1 of 1 values are null"),
    ],
)
def test_a_row_whose_values_do_not_fit_is_refused(changes: dict[str, Any], problem: str) -> None:
    row = MetricRow(**{**vars(metric_rows(0.5)[0]), **changes})
    with pytest.raises(StoreError, match=problem):
        rows_to_arrow(MetricRow, [row])


def test_a_row_of_another_table_is_refused() -> None:
    with pytest.raises(StoreError, match="Expected rows of PredictionRow, found a MetricRow"):
        rows_to_arrow(PredictionRow, metric_rows(0.5))
