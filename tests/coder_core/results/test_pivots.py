"""PIVOT without its values: answered as DuckDB does, and never more than reading."""

from collections.abc import Iterator

import duckdb
import pytest

from coder_core.errors import QueryError
from coder_core.results.pivots import name_pivot_values
from coder_core.results.warehouse import Warehouse
from coder_core.storage.store import Store
from tests.coder_core.results.result_rows import publish_many

ROWS = """
    ('r1', 'clip', 'top1', 0.5, 1, true),
    ('r1', 'clip', 'é "p''5', 0.7, 10, false), ('r2', 'coder', 'top1', 0.6, 2, NULL),
    ('r2', 'coder', NULL, 0.1, 2, true), ('r2', 'clip', 'top5, and)', 0.9, 1, NULL)
"""
FORMS = (
    "PIVOT metrics ON metric USING first(value) GROUP BY method",
    "pivot metrics on metric using max(value)",
    "PIVOT metrics ON metric",
    "PIVOT (SELECT method, metric, value FROM metrics WHERE value > 0.1) ON metric, method USING max(value) -- done",
    "PIVOT_WIDER metrics ON lower(metric) || '/' || seed USING max(value) AS m, min(value) GROUP BY method ORDER BY 1",
    "SELECT * FROM (PIVOT metrics ON metric USING max(value) GROUP BY method) WHERE method = 'clip'",
    "WITH a AS (SELECT method, metric, value FROM metrics) PIVOT a ON metric USING max(value) ORDER BY method LIMIT 1",
    "WITH a AS (FROM metrics), p AS (PIVOT a ON metric USING max(value) GROUP BY method) SELECT 1, * FROM p",
    "WITH a AS (FROM metrics) SELECT upper(method), * FROM (PIVOT a ON metric USING max(value) GROUP BY method);",
    "FROM (PIVOT (PIVOT metrics ON metric USING max(value) GROUP BY method, seed) ON seed USING max(top1))",
    "PIVOT metrics ON metric IN ('top1'), method /* ) ON */ USING max(value) GROUP BY run_id",
    "PIVOT metrics ON seed USING sum(value) GROUP BY method",
    "PIVOT metrics ON flag USING sum(value) GROUP BY method",
    "PIVOT metrics ON metric -- of the table\n USING max(value) -- the value\n GROUP BY method",
    "PIVOT (metrics JOIN (SELECT 'clip' AS method) AS one USING (method)) ON metric USING max(value)",
)


@pytest.fixture
def plain() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        names = "run_id, method, metric, value, seed, flag"
        connection.execute(f"CREATE TABLE metrics AS SELECT * FROM (VALUES {ROWS}) AS t({names})")
        yield connection


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """Two published runs; for tests that change nothing."""
    store = Store(str(tmp_path_factory.mktemp("pivots")))
    publish_many(store, 2)
    return Warehouse(store)


@pytest.mark.parametrize("sql", FORMS)
def test_a_pivot_answers_as_duckdb_does(plain: duckdb.DuckDBPyConnection, sql: str) -> None:
    named = name_pivot_values(sql, lambda values: [value for (value,) in plain.execute(values).fetchall()])
    assert [statement.type.name for statement in plain.extract_statements(named)] == ["SELECT"]
    assert answer(plain, named) == answer(plain, sql)


def answer(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[list[str], list[str]]:
    result = connection.execute(sql)
    return [column[0] for column in result.description], sorted(map(repr, result.fetchall()))


@pytest.mark.parametrize(
    "sql", ["SELECT 'PIVOT x ON y'", "FROM metrics PIVOT (avg(value) FOR metric IN ('top1'))", "PIVOT", "(PIVOT ON", ""]
)
def test_what_is_no_such_pivot_stays_as_it_is(sql: str) -> None:
    assert name_pivot_values(sql, lambda values: pytest.fail(values)) == sql


def test_a_pivot_of_result_tables_is_answered_and_one_that_reads_more_is_not(warehouse: Warehouse) -> None:
    answer = warehouse.query("PIVOT metrics ON metric USING first(value) GROUP BY run_id, method")
    metrics = warehouse.query("SELECT DISTINCT metric FROM metrics ORDER BY metric").rows
    assert answer.columns == ["run_id", "method", *(metric for (metric,) in metrics)]
    for attack in (
        "PIVOT '/etc/passwd' ON x",
        "PIVOT read_csv('/etc/passwd') ON column0",
        "PIVOT metrics ON metric USING first(value); DROP TABLE runs",
        "PIVOT metrics ON (SELECT content FROM read_text('/etc/passwd'))",
        "PIVOT metrics ON metric) TO 'x'; COPY (SELECT 1",
        "COPY (PIVOT metrics ON metric) TO 'x.csv'",
        "CREATE TABLE x AS PIVOT metrics ON metric",
        "WITH x AS (INSERT INTO metrics FROM metrics RETURNING *) PIVOT x ON metric",
    ):
        with pytest.raises(QueryError):
            warehouse.query(attack)


@pytest.mark.parametrize(
    ("sql", "match"),
    [
        ("PIVOT (FROM metrics WHERE false) ON metric", "finds no value of metric"),
        ("PIVOT (FROM range(5000)) ON range", "more than 1,000 columns"),
        ("PIVOT metrics ON metrik", "metrik"),
    ],
)
def test_a_pivot_without_an_answer_says_why(warehouse: Warehouse, sql: str, match: str) -> None:
    with pytest.raises(QueryError, match=match):
        warehouse.query(sql)
