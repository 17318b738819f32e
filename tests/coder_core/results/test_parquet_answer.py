"""Answers as Parquet: read back by another reader (DuckDB's own), with the types that DuckDB gave."""

from pathlib import Path

import duckdb
import pytest

from coder_core.results.parquet_answer import to_parquet
from coder_core.results.query_result import QueryResult
from coder_core.results.warehouse import Warehouse
from coder_core.storage.store import Store

EXPRESSIONS = {
    "1::BIGINT": "BIGINT",
    "1": "INTEGER",
    "true": "BOOLEAN",
    "0.1::DOUBLE": "DOUBLE",
    "1.25::DECIMAL(5,2)": "DECIMAL(5,2)",
    "sum(1)": "BIGINT",
    "170141183460469231731687303715884105727::HUGEINT - 170141183460469231731687303715884105726": "BIGINT",
    "'<script>🐦\u202e'": "VARCHAR",
    "NULL::DOUBLE": "DOUBLE",
    "TIMESTAMP '2026-01-02 03:04:05.123456'": "TIMESTAMP",
    "TIMESTAMPTZ '2026-01-02 03:04:05+00'": "TIMESTAMP WITH TIME ZONE",
    "DATE '2026-01-02'": "DATE",
    "[1, NULL]::BIGINT[]": "BIGINT[]",
    "[['a'], NULL]": "VARCHAR[][]",
    "map(['b', 'a'], [1.5, NULL]::DOUBLE[])": "MAP(VARCHAR, DOUBLE)",
    "'ab'::BLOB": "BLOB",
}


def read(content: bytes, path: Path) -> tuple[list[str], list[tuple[object, ...]]]:
    path.write_bytes(content)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        found = connection.execute("SELECT * FROM read_parquet($1)", [str(path)])
        return [str(column[1]) for column in found.description or ()], found.fetchall()


def test_an_answer_comes_back_with_types_and_values(disk_store: Store, tmp_path: Path) -> None:
    listed = ", ".join(f"{sql} AS c{at}" for at, sql in enumerate(EXPRESSIONS))
    result = Warehouse(disk_store).query(f"SELECT {listed}")
    types, rows = read(to_parquet(result), tmp_path / "a.parquet")
    assert types == list(EXPRESSIONS.values())
    assert repr(rows) == repr(result.rows).replace("datetime.timezone.utc", repr(rows[0][10].tzinfo))  # type: ignore[attr-defined]


def test_no_rows_have_types_too_and_equal_names_are_numbered(disk_store: Store, tmp_path: Path) -> None:
    result = Warehouse(disk_store).query("SELECT started_at, run_id AS a, image_count AS a FROM runs")
    types, rows = read(to_parquet(result), tmp_path / "a.parquet")
    assert (types, rows) == (["TIMESTAMP", "VARCHAR", "BIGINT"], [])


def test_what_parquet_has_no_type_for_is_text(disk_store: Store, tmp_path: Path) -> None:
    sql = "SELECT {'a': 1, 'b': 'x'} AS s, INTERVAL 2 HOURS AS i, 2::HUGEINT ** 100 AS h, uuid() AS u, [{'a': 1}] AS l"
    types, rows = read(to_parquet(Warehouse(disk_store).query(sql)), tmp_path / "a.parquet")
    assert types == ["VARCHAR", "VARCHAR", "DOUBLE", "VARCHAR", "VARCHAR[]"]
    assert rows[0][0] == '{"a": 1, "b": "x"}'
    assert rows[0][4] == ['{"a": 1}']


@pytest.mark.parametrize("kind", ["", "MAP(", "[]" * 10_000, "DECIMAL(99,1)", "BIGINT", "MAP(VARCHAR, BIGINT)", "x'y"])
def test_a_type_that_is_a_lie_becomes_text(kind: str, tmp_path: Path) -> None:
    """The process that answers is not trusted."""
    _, rows = read(to_parquet(QueryResult(["a"], [("x",), (None,)], (kind,))), tmp_path / "a.parquet")
    assert rows == [("x",), (None,)]
