"""What a question needs: what is left out must not change an answer."""

import random
from datetime import timedelta

import duckdb
import pytest

from coder_core.errors import QueryError
from coder_core.results.query_needs import Needs, query_needs
from coder_core.results.result_tables import ResultTables
from coder_core.results.run_compaction import compact_results
from coder_core.results.schema import RUN_ID, TABLES, VIEWS
from coder_core.results.warehouse import Warehouse
from coder_core.storage.sql_guard import read_only_tree
from coder_core.storage.store import Store
from tests.coder_core.results.result_rows import START, old_run, publish, publish_many
from tests.coder_core.results.sql_cases import hostile, sensible


def needs_of(sql: str) -> Needs:
    with duckdb.connect() as connection:
        return query_needs(read_only_tree(connection, sql))


X, XY = frozenset({"x"}), frozenset({"x", "y"})


@pytest.mark.parametrize(
    ("sql", "runs_of"),
    [
        ("SELECT value FROM metrics", {"metrics": None}),
        ("SELECT value FROM metrics WHERE run_id = 'x'", {"metrics": X}),
        ("SELECT value FROM Metrics WHERE 'x' = RUN_ID AND value > 1", {"metrics": X}),
        ("SELECT value FROM metrics AS m WHERE m.run_id IN ('x', 'y')", {"metrics": XY}),
        ("SELECT value FROM metrics WHERE run_id = 'x' OR value > 1", {"metrics": None}),
        ("SELECT value FROM metrics WHERE NOT run_id = 'x'", {"metrics": None}),
        ("SELECT value FROM metrics WHERE run_id = name", {"metrics": None}),
        ("SELECT * FROM metrics JOIN runs USING (run_id) WHERE run_id = 'x'", {"metrics": X, "runs": X}),
        (
            "SELECT * FROM metrics m LEFT JOIN runs r ON m.run_id = r.run_id WHERE m.run_id = 'x'",
            {"metrics": X, "runs": X},
        ),
        ("SELECT * FROM metrics m, runs r WHERE m.run_id = r.run_id AND r.run_id = 'x'", {"metrics": X, "runs": X}),
        ("SELECT * FROM metrics m, runs r WHERE r.run_id = 'x'", {"metrics": None, "runs": X}),
        ("SELECT * FROM metrics RIGHT JOIN runs USING (run_id) WHERE run_id = 'x'", {"metrics": None, "runs": None}),
        ("SELECT * FROM metrics POSITIONAL JOIN runs WHERE metrics.run_id = 'x'", {"metrics": None, "runs": None}),
        ("SELECT * FROM metrics TABLESAMPLE 10% WHERE run_id = 'x'", {"metrics": None}),
        ("SELECT method AS run_id FROM metrics WHERE run_id = 'x'", {"metrics": None}),
        ("SELECT * FROM (SELECT * FROM metrics) WHERE run_id = 'x'", {"metrics": None}),
        ("SELECT * FROM metrics WHERE run_id = 'x' UNION SELECT * FROM metrics WHERE run_id = 'y'", {"metrics": XY}),
        ("SELECT (SELECT max(value) FROM metrics WHERE run_id = 'x') FROM runs", {"metrics": X, "runs": None}),
        ("DESCRIBE metrics", {}),
        ("SUMMARIZE metrics", {"metrics": None}),
        ("SELECT * FROM costs WHERE run_id = 'x'", {"runs": X, "generation": X}),
        ("SELECT 1", {}),
    ],
)
def test_a_table_is_cut_to_runs_where_no_other_row_can_be_kept(
    sql: str, runs_of: dict[str, frozenset[str] | None]
) -> None:
    assert needs_of(sql).runs_of == runs_of


def test_views_of_the_latest_runs_need_those_and_all_rows_of_runs() -> None:
    needs = needs_of("SELECT * FROM latest_predictions JOIN metrics USING (run_id) WHERE metrics.run_id = 'x'")
    assert needs.latest_of == {"predictions"}
    assert needs.runs_of["runs"] is None


@pytest.mark.parametrize(
    ("sql", "is_cut"),
    [
        ("FROM class_gains WHERE is_latest", True),
        ("FROM class_gains AS g WHERE g.is_latest AND g.lost > 1", True),
        ("SELECT g.n FROM class_gains AS g JOIN metrics AS m USING (run_id) WHERE g.is_latest", True),
        ("SELECT true AS is_latest FROM class_gains WHERE is_latest", False),
        ("FROM class_gains WHERE NOT is_latest", False),
        ("FROM class_gains WHERE is_latest OR lost > 1", False),
        ("FROM class_gains AS a, class_gains AS b WHERE is_latest", False),
        ("FROM (FROM class_gains) WHERE is_latest", False),
        ("FROM class_gains TABLESAMPLE 10% WHERE is_latest", False),
        ("FROM class_gains", False),
    ],
)
def test_a_view_is_cut_to_the_latest_runs_where_no_other_row_can_be_kept(sql: str, is_cut: bool) -> None:
    needs = needs_of(sql)
    assert needs.runs_of["runs"] is None, "all of them say which run is the latest"
    assert ("class_comparisons" in needs.latest_of, "class_comparisons" in needs.runs_of) == (is_cut, not is_cut)


def test_of_a_view_the_columns_that_its_sql_names_are_read() -> None:
    found = needs_of("FROM latest_metrics").columns
    assert found is not None
    assert {column.name for column in TABLES["metrics"].columns} | {"name", "dataset"} <= found
    assert "spec_json" not in found
    found = needs_of("FROM latest_runs").columns
    assert found is not None
    assert {"started_at", "finished_at", "best_top1", "text_count"} <= found
    assert "spec_json" not in found
    both = needs_of("SELECT l.run_id, spec_json FROM latest_runs AS l JOIN runs USING (run_id)").columns
    assert both is not None
    assert {"text_count", "spec_json"} <= both


def test_a_view_that_looks_at_the_previous_run_needs_its_rows() -> None:
    needs = needs_of("FROM added_classes WHERE run_id = 'x'")
    assert needs.runs_of == {"runs": None, "predictions": X, "class_metrics": X}
    assert needs.previous_of >= {"predictions", "class_metrics"}
    assert needs_of("FROM run_drift WHERE run_id = 'x'").runs_of == {"runs": None, "metrics": None}


@pytest.mark.parametrize(
    ("sql", "columns"),
    [
        ("SELECT value FROM metrics", {"value"}),
        ("SELECT avg(m.value) AS mean FROM metrics m GROUP BY method ORDER BY mean", {"value", "method", "m", "mean"}),
        ("SELECT count(*) FROM metrics", set()),
        ("SELECT n AS runs FROM metrics GROUP BY ALL ORDER BY ALL", {"n"}),
        ("SELECT n FROM metrics ORDER BY COLUMNS(*)", None),
        ("SELECT n FROM metrics JOIN texts USING (class_id)", {"n", "class_id"}),
        ("SELECT * FROM metrics", None),
        ("SELECT m FROM metrics m", None),
        ("SELECT metrics FROM metrics", None),
        ("SELECT COLUMNS('v.*') FROM metrics", None),
        ("SELECT value FROM metrics NATURAL JOIN runs", None),
        ("FROM metrics PIVOT (avg(value) FOR metric IN ('top1'))", None),
        ("SELECT * FROM class_gains JOIN runs USING (run_id)", None),
    ],
)
def test_columns_are_cut_where_every_one_is_named(sql: str, columns: set[str] | None) -> None:
    assert needs_of(sql).columns == (None if columns is None else columns | {RUN_ID})


@pytest.mark.parametrize("count", [15, pytest.param(80, marks=pytest.mark.slow)])
def test_answers_are_those_of_all_rows_in_plain_tables(disk_store: Store, count: int) -> None:
    """Random questions over old, merged and single runs, against DuckDB with every row of every run in a table."""
    old_run(disk_store, "old-1")
    publish_many(disk_store, 3)
    compact_results(disk_store)
    publish(disk_store, "young", (0.9, 0.1), name="young", started_at=START + timedelta(days=9))
    reference = duckdb.connect()
    results = ResultTables(disk_store)
    for name in TABLES:
        for at, run_id in enumerate(results.published()):
            rows = results.read(name, run_id)
            reference.register("given", rows)
            verb = f"CREATE TABLE {name} AS" if at == 0 else f"INSERT INTO {name}"
            reference.execute(f"{verb} SELECT '{run_id}' AS run_id, * FROM given")
    for view in VIEWS.values():
        reference.execute(f"CREATE VIEW {view.name} AS {view.sql}")
    chance, warehouse, answered = random.Random(7), Warehouse(disk_store), 0
    for _ in range(count):
        sql = sensible(chance)
        try:
            expected = reference.execute(sql).fetchall()
        except duckdb.Error:
            with pytest.raises(QueryError):
                warehouse.query(sql)
            continue
        answered += 1
        assert sorted(map(rounded, warehouse.query(sql).rows)) == sorted(map(rounded, expected)), sql
    assert answered > count / 2


def rounded(row: tuple[object, ...]) -> str:
    """Sums of floats depend on the order of rows in their last digits."""
    return repr([round(value, 9) if isinstance(value, float) else value for value in row])


@pytest.mark.parametrize("count", [50, pytest.param(1_000, marks=pytest.mark.slow)])
def test_whatever_is_asked_is_understood_or_refused(count: int) -> None:
    """Very many questions against the guard: syntax trees, or one error of DuckDB's or ours."""
    understood = 0
    with duckdb.connect() as connection:
        for sql in hostile(seed=1, count=count):
            try:
                understood += bool(query_needs(read_only_tree(connection, sql)))
            except (QueryError, duckdb.Error):
                continue
    assert understood > count / 10


@pytest.mark.parametrize("count", [15, pytest.param(150, marks=pytest.mark.slow)])
def test_whatever_is_asked_is_answered_or_refused_in_one_line(disk_store: Store, count: int) -> None:
    publish_many(disk_store, 3)
    refusals = [refusal(Warehouse(disk_store), sql) for sql in hostile(seed=2, count=count)]
    assert refusals.count("") > count / 8
    for told in refusals:
        assert told.isprintable()
        assert len(told) < 1_500
        assert "ended on this one" not in told
        assert "cannot be answered" not in told


def refusal(warehouse: Warehouse, sql: str) -> str:
    """What is said instead of an answer; nothing where there is one."""
    try:
        warehouse.query(sql)
    except QueryError as error:
        return str(error)
    return ""
