"""The warehouse: every question is answered or refused in one line, and nothing but published results is ever read."""

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from coder_core.errors import QueryError, StoreError
from coder_core.results.query_files import GivenFiles
from coder_core.results.query_messages import GivenFile
from coder_core.results.run_compaction import compact_results
from coder_core.results.schema import TABLES, VIEWS, PredictionRow
from coder_core.results.warehouse import Warehouse
from coder_core.results.writing import RunWriter
from coder_core.storage.store import Store
from tests.coder_core.results.result_rows import (
    START,
    paths,
    publish,
    run_row,
)

HOSTILE = 'O\'Brien "the" ;--\n\x1b[31m\u202e'


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """Two published runs and one that is not; for tests that change nothing."""
    store = Store(str(tmp_path_factory.mktemp("warehouse")))
    publish_runs(store)
    return Warehouse(store)


def publish_runs(store: Store) -> None:
    publish(store, "2024", (0.5, 0.25))
    publish(store, "2025-01-01", (0.75, 0.25), name=HOSTILE)
    hidden(store)


def hidden(store: Store) -> str:
    """Leave a file of a run that was never published; returns where."""
    publish(store, "hidden", (1.0, 0.25))
    store.delete("tables/runs/hidden.parquet")
    return paths(store, "metrics/hidden")[0]


@pytest.mark.slow
def test_an_empty_store_has_empty_tables_of_the_documented_types(disk_store: Store) -> None:
    warehouse = Warehouse(disk_store)
    for name, table in TABLES.items():
        described = warehouse.query(f"DESCRIBE {name}").rows
        assert [row[:2] for row in described] == [(column.name, column.type) for column in table.columns]


def test_an_empty_store_of_any_kind_has_no_rows(store: Store) -> None:
    names = [*TABLES, *VIEWS]
    counts = " UNION ALL ".join(f"SELECT count(*) FROM {name}" for name in names)
    assert Warehouse(store).query(counts).rows == [(0,)] * len(names)


def test_published_runs_are_seen_and_others_are_not(store: Store) -> None:
    publish_runs(store)
    result = Warehouse(store).query("SELECT run_id, method, value FROM metrics ORDER BY ALL")
    assert result.columns == ["run_id", "method", "value"]
    assert result.rows == [
        ("2024", "method 0", 0.5),
        ("2024", "method 1", 0.25),
        ("2025-01-01", "method 0", 0.75),
        ("2025-01-01", "method 1", 0.25),
    ]


def test_tables_join_and_hostile_words_come_back_as_they_were(warehouse: Warehouse) -> None:
    sql = "SELECT name, max(value), first(started_at) FROM metrics JOIN runs USING (run_id) GROUP BY name ORDER BY 2"
    rows = warehouse.query(sql).rows
    assert [row[:2] for row in rows] == [("word", 0.5), (HOSTILE, 0.75)]
    assert rows[0][2].isoformat() == "2026-01-02T03:04:05"


def test_lists_and_nulls_come_back_as_python_values(disk_store: Store) -> None:
    base = {"method": "clip", "protocol": "honest"}
    rows = [
        PredictionRow(**base, image_id="a", label=0, predicted=0, predicted_name="cat", top5=[0, 1]),
        PredictionRow(**base, image_id=HOSTILE, predicted=1, predicted_name="dog", top5=[1]),
    ]
    with RunWriter(disk_store, "run") as writer:
        writer.append(PredictionRow, rows)
        writer.publish(run_row(), b"{}")
    result = Warehouse(disk_store).query("SELECT image_id, label, top5 FROM predictions ORDER BY predicted")
    assert result.rows == [("a", 0, [0, 1]), (HOSTILE, None, [1])]


def test_a_foreign_file_in_the_folder_is_no_run(disk_store: Store) -> None:
    publish_runs(disk_store)
    disk_store.write_bytes("tables/metrics/notes.txt", b"hello")
    disk_store.write_bytes("tables/metrics/2024.parquet", b"hello")
    disk_store.write_bytes("tables/metrics/run_id=it's/part.parquet", b"hello")
    disk_store.write_bytes(f"tables/metrics/2024.{'0' * 64}.parquet", b"an attempt that was interrupted")
    assert Warehouse(disk_store).query("SELECT count(*) FROM metrics").rows == [(4,)]


@pytest.mark.parametrize(
    "sql",
    [
        "SHOW TABLES",
        "DESCRIBE metrics",
        "SUMMARIZE metrics",
        "FROM metrics",
        'SELECT * FROM main."Metrics" AS m;',
        "WITH best AS (SELECT max(value) AS v FROM metrics) SELECT * FROM metrics, best WHERE value = v -- done",
        "SELECT * FROM range(3) UNION ALL VALUES (4)",
        "FROM metrics PIVOT (avg(value) FOR metric IN ('top1'))",
        "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 5) SELECT * FROM t",
        "SELECT table_name FROM information_schema.tables",
        "SELECT list_transform([1, 2], lambda x: x + 1), unnest([1, 2])",
    ],
)
def test_reading_in_any_form_is_answered(warehouse: Warehouse, sql: str) -> None:
    assert len(warehouse.query(sql).rows) > 0


ATTACKS = [
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM '/etc/passwd'",
    'SELECT * FROM "/etc/passwd.csv"',
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM 'https://example.com/x.parquet'",
    "SELECT * FROM read_parquet('store://tables/metrics/HIDDEN')",
    "SELECT * FROM 'store://tables/metrics/HIDDEN'",
    "SELECT * FROM 'store://tables/metrics/2024.parquet'",
    "SELECT (SELECT count(*) FROM read_blob('/etc/passwd'))",
    "DESCRIBE SELECT * FROM read_csv('/etc/passwd')",
    "SUMMARIZE '/etc/passwd.csv'",
    "SELECT * FROM arrow_scan(1, 2, 3)",
    "SELECT * FROM query('SELECT 1')",
    "SELECT * FROM query_table('met' || 'rics')",
    "SELECT * FROM enable_logging('QueryLog')",
    "SELECT * FROM duckdb_settings()",
    "SELECT getenv('AWS_SECRET_ACCESS_KEY')",
    "COPY (SELECT 1) TO 'evil.csv'",
    "COPY metrics TO 'store://tables/evil.parquet'",
    "WITH x AS (COPY (SELECT 1) TO 'store://tables/evil.parquet') SELECT * FROM x",
    "SELECT (WITH x AS (COPY (SELECT 1) TO 'evil.parquet') SELECT count(*) FROM x)",
    "WITH x AS (INSERT INTO metrics VALUES (1) RETURNING *) SELECT * FROM x",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO 'evil.csv'",
    "ATTACH 'evil.db'",
    "CREATE TABLE evil AS SELECT 1",
    "DROP VIEW metrics",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET enable_external_access = true",
    "RESET lock_configuration",
    "PRAGMA database_list",
    "CALL checkpoint()",
    "EXPORT DATABASE 'evil'",
    "SELECT 1; SELECT 2",
    "SELECT 1; COPY (SELECT 1) TO 'evil.csv'",
    "SELECT * FROM secret",
]


@pytest.mark.parametrize("sql", ATTACKS)
def test_anything_but_reading_results_is_refused(
    warehouse: Warehouse, sql: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    secret = pa.table({"a": [1]})  # DuckDB would find it by its Python name
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(QueryError):
        warehouse.query(sql.replace("HIDDEN", Path(paths(warehouse.store, "metrics/hidden")[0]).name))
    assert sorted(tmp_path.rglob("*")) == before
    assert secret.num_rows == 1


BROKEN = [
    "",
    "-- nothing",
    "SELEC",
    "SELECT 'half",
    "SELECT '\ud800'",
    "SELECT 'a\0b'",
    "\0",
    "SELECT " + "NOT " * 900 + "true",
    "SELECT " + "(" * 5_000 + "1" + ")" * 5_000,
    "SELECT * FROM " + "(SELECT * FROM " * 400 + "metrics" + ")" * 400,
    "SELECT '" + "x" * 10_000_000 + "'",
    "SELECT " + ", ".join(map(str, range(150_000))),
    "LOAD 'x'",
    "UPDATE EXTENSIONS",
    "MERGE INTO metrics USING runs ON true WHEN MATCHED THEN DELETE",
    "VACUUM",
    "BEGIN TRANSACTION",
    "PREPARE x AS SELECT 1",
    "EXECUTE x",
    "USE memory",
    "ANALYZE",
    "CHECKPOINT",
    "SELECT $1",
]


@pytest.mark.parametrize("sql", BROKEN, ids=[sql[:12].encode("ascii", "replace") for sql in BROKEN])
def test_broken_sql_is_one_clear_error(warehouse: Warehouse, sql: str) -> None:
    with pytest.raises(QueryError) as error:
        warehouse.query(sql)
    assert error.value.place.startswith("SQL")
    assert error.value.remedy
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 1_000


def test_an_error_points_at_the_place_and_offers_the_near_name(warehouse: Warehouse) -> None:
    cases = {
        "SELECT * FROM metrcs": ("SQL, line 1, character 15", "Did you mean 'metrics'?"),
        "SELECT method,\n  valeu\nFROM metrics": ("SQL, line 2, character 3", "Did you mean 'value'?"),
        "SELECT '日本\u202e', valeu FROM metrics": ("SQL, line 1, character 15", "Did you mean 'value'?"),
        "SELECT clas_name FROM worst_classes": ("SQL, line 1, character 8", "Did you mean 'class_name'?"),
        "SELECT m.protcol FROM metrics AS m": ("SQL, line 1, character 8", "Did you mean 'protocol'?"),
        "SELECT * FROM latest_metric": ("SQL, line 1, character 15", "Did you mean 'latest_metrics'?"),
        "SELECT best_topp FROM runs": ("SQL, line 1, character 8", "Did you mean 'best_top1'?"),
        "SELECT rond(value) FROM metrics": ("SQL, line 1, character 8", 'Did you mean "round"?'),
        f"SELECT {'1 + ' * 100}valeu FROM metrics": ("SQL, line 1, character 408", "Did you mean 'value'?"),
        "SELECT FROM": ("SQL, line 1", ""),
    }
    for sql, (place, remedy) in cases.items():
        with pytest.raises(QueryError) as error:
            warehouse.query(sql)
        assert error.value.place.startswith(place), sql
        assert remedy in error.value.remedy
        assert "\n" not in str(error.value)


def test_a_wrong_name_is_answered_with_what_there_is(warehouse: Warehouse) -> None:
    with pytest.raises(QueryError, match=r"accuracies does not exist.*runs, metrics, comparisons"):
        warehouse.query("SELECT * FROM accuracies")
    with pytest.raises(QueryError, match=r'"acuracy" not found.*run_id, method, metric, value'):
        warehouse.query("SELECT acuracy FROM metrics")


def test_an_error_does_not_command_the_terminal(warehouse: Warehouse) -> None:
    for sql in (
        f'SELECT "{HOSTILE[-6:]}" FROM metrics',
        f'SELECT * FROM "{HOSTILE[-6:]}"',
        "SELECT error('\x1b[31m\u202e')",
    ):
        with pytest.raises(QueryError) as error:
            warehouse.query(sql)
        assert str(error.value).isprintable()
        assert "x1b" in str(error.value)


def test_even_behind_the_guard_files_can_only_be_read(disk_store: Store) -> None:
    publish_runs(disk_store)
    path, other = paths(disk_store, "metrics/2024")[0], paths(disk_store, "metrics/2025")[0]
    content = disk_store.read_bytes(path)
    connection = duckdb.connect()
    connection.register_filesystem(
        GivenFiles({path: GivenFile("metrics", path, None, len(content), content)}, read_nothing)
    )
    with pytest.raises(duckdb.Error, match="read-only"):
        connection.execute(f"COPY (SELECT 1) TO 'store://{path}'")
    with pytest.raises(duckdb.Error):
        connection.execute(f"SELECT * FROM 'store://{other}'")
    assert connection.execute(f"SELECT count(*) FROM 'store://{path}'").fetchall() == [(2,)]
    assert disk_store.read_bytes(path) == content


def read_nothing(path: str, _position: int, _size: int) -> bytes:
    raise AssertionError(path)


@pytest.mark.usefixtures("s3_environment")
def test_a_missing_bucket_is_not_an_empty_warehouse() -> None:
    with pytest.raises(StoreError, match="bucket does not exist"):
        Warehouse(Store("s3://there-is-no-such-bucket")).query("SELECT * FROM metrics")


@pytest.mark.slow
def test_a_query_imports_nothing_that_is_slow() -> None:
    code = (
        "import sys; from coder_core.storage.store import Store; from coder_core.results.warehouse import Warehouse; "
        "from coder_core.results.render import to_table; to_table(Warehouse(Store('memory://x')).query('SELECT 1')); "
        "slow = ('torch', 'prefect', 'pyarrow', 'duckdb', 's3fs', 'pandas', 'numpy'); "
        "print([name for name in slow if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---- views


def test_views_show_the_latest_run_of_each_evaluation(store: Store) -> None:
    publish(store, "a-1", (0.1,), name="a", started_at=START)
    publish(store, "a-2", (0.2,), name="a", started_at=START + timedelta(days=1))
    publish(store, "b-1", (0.3,), name="b", started_at=START + timedelta(days=9))
    warehouse, sql = Warehouse(store), "SELECT run_id, name, method, value FROM latest_metrics ORDER BY run_id"
    expected = [("a-2", "a", "method 0", 0.2), ("b-1", "b", "method 0", 0.3)]
    assert warehouse.query(sql).rows == expected
    compact_results(store)
    assert warehouse.query(sql).rows == expected
    publish(store, "a-3", (0.4,), name="a", started_at=START + timedelta(days=2))
    assert warehouse.query(sql).rows == [("a-3", "a", "method 0", 0.4), expected[1]]
    assert warehouse.query(
        "SELECT count(*), count(DISTINCT metrics.run_id) FROM latest_metrics JOIN metrics USING (method)"
    ).rows == [(8, 4)]


def test_costs_say_what_is_known(disk_store: Store) -> None:
    from coder_core.results.schema import GenerationRow

    bought = {"asked": 10, "reused": 2, "prompt_tokens": 100, "completion_tokens": 50}
    with RunWriter(disk_store, "bought") as writer:
        writer.append(GenerationRow, [GenerationRow(kind="attribute", generated=7, failed=1, cost_usd=0.5, **bought)])
        writer.append(GenerationRow, [GenerationRow(kind="synonym", generated=8, failed=0, cost_usd=0.25, **bought)])
        writer.publish(run_row(finished_at=START + timedelta(seconds=90)), b"{}")
    with RunWriter(disk_store, "unknown") as writer:
        writer.append(GenerationRow, [GenerationRow(kind="attribute", generated=7, failed=1, cost_usd=0.5, **bought)])
        writer.append(GenerationRow, [GenerationRow(kind="synonym", generated=8, failed=0, **bought)])
        writer.publish(run_row(), b"{}")
    publish(disk_store, "without")
    sql = (
        "SELECT run_id, seconds, texts_embedded, kind, calls, prompt_tokens, cost_usd FROM costs ORDER BY run_id, kind"
    )
    assert Warehouse(disk_store).query(sql).rows == [
        ("bought", 90.0, 1, "attribute", 8, 100, 0.5),
        ("bought", 90.0, 1, "synonym", 8, 100, 0.25),
        ("unknown", 0.0, 1, "attribute", 8, 100, 0.5),
        ("unknown", 0.0, 1, "synonym", 8, 100, None),
        ("without", 0.0, 1, None, None, None, None),
    ]
