import io
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from coder_core.errors import QueryError, StoreError
from coder_core.storage.columns import TABLES
from coder_core.storage.published_files import PublishedFiles
from coder_core.storage.results import ResultTables
from coder_core.storage.store import Store
from coder_core.storage.store_files import SharedFile, StoreFiles
from coder_core.storage.tables import write_parquet
from coder_core.results.warehouse import Warehouse
from tests.coder_core.storage.test_results import metrics, run_row

HOSTILE = 'O\'Brien "the" ;--\n\x1b[31m\u202e'


@pytest.fixture
def warehouse(disk_store: Store) -> Warehouse:
    """Two published runs and one that is not."""
    publish_runs(disk_store)
    return Warehouse(disk_store)


def publish_runs(store: Store) -> None:
    results = ResultTables(store)
    for number, run_id in enumerate(["2024", "2025-01-01", "hidden"]):
        results.write("metrics", run_id, metrics(0.5 + number / 4, 0.25))
    results.publish(run_row("2024"))
    results.publish(run_row("2025-01-01", name=HOSTILE))


def test_an_empty_store_has_empty_tables_of_the_documented_types(store: Store) -> None:
    warehouse = Warehouse(store)
    for table, columns in TABLES.items():
        assert warehouse.query(f"SELECT * FROM {table}").rows == []
        described = warehouse.query(f"DESCRIBE {table}").rows
        assert [row[:2] for row in described] == [(column.name, column.type) for column in columns]


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
    predictions = pa.table(
        {
            "method": ["clip", "clip"],
            "image_id": ["a", HOSTILE],
            "label": [0, None],
            "predicted": [0, 1],
            "predicted_name": ["cat", "dog"],
            "top5": [[0, 1], [1]],
            "protocol": ["honest", "honest"],
        }
    )
    results = ResultTables(disk_store)
    results.write("predictions", "run", predictions)
    results.publish(run_row("run"))
    result = Warehouse(disk_store).query("SELECT image_id, label, top5 FROM predictions ORDER BY predicted")
    assert result.rows == [("a", 0, [0, 1]), (HOSTILE, None, [1])]


def test_a_run_of_an_older_version_lacks_a_column_and_is_still_seen(disk_store: Store) -> None:
    results = ResultTables(disk_store)
    results.write("metrics", "new", metrics(0.5))
    old = results.read("metrics", "new").drop_columns(["ci_low", "protocol"]).append_column("gone", pa.array([1]))
    write_parquet(disk_store, "tables/metrics/run_id=old/part.parquet", old)
    for run_id in ("new", "old"):
        results.publish(run_row(run_id))
    result = Warehouse(disk_store).query("SELECT * FROM metrics ORDER BY run_id")
    assert result.columns == [column.name for column in TABLES["metrics"]]
    assert [row[-1] for row in result.rows] == ["honest", None]


def test_a_foreign_file_in_the_folder_is_no_run(disk_store: Store) -> None:
    publish_runs(disk_store)
    disk_store.write_bytes("tables/metrics/run_id=2024/notes.txt", b"hello")
    disk_store.write_bytes("tables/metrics/run_id=it's/part.parquet", b"hello")
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
    "SELECT * FROM read_parquet('store://tables/metrics/run_id=hidden/part.parquet')",
    "SELECT * FROM 'store://tables/metrics/run_id=hidden/part.parquet'",
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
        warehouse.query(sql)
    assert sorted(tmp_path.rglob("*")) == before
    assert secret.num_rows == 1


@pytest.mark.parametrize(
    "sql",
    [
        "",
        "-- nothing",
        "SELEC",
        "SELECT 'half",
        "SELECT '\ud800'",
        "SELECT " + "NOT " * 900 + "true",
        "SELECT " + "(" * 5_000 + "1" + ")" * 5_000,
        "SELECT * FROM " + "(SELECT * FROM " * 400 + "metrics" + ")" * 400,
    ],
)
def test_broken_sql_is_one_clear_error(warehouse: Warehouse, sql: str) -> None:
    with pytest.raises(QueryError) as error:
        warehouse.query(sql)
    assert error.value.place == "SQL"
    assert error.value.remedy


def test_a_wrong_name_is_answered_with_the_tables(warehouse: Warehouse) -> None:
    with pytest.raises(QueryError, match=r"accuracies does not exist[\s\S]*runs, metrics, comparisons"):
        warehouse.query("SELECT * FROM accuracies")
    with pytest.raises(QueryError, match=r'"acuracy" not found'):
        warehouse.query("SELECT acuracy FROM metrics")


def test_even_behind_the_guard_files_can_only_be_read(disk_store: Store) -> None:
    publish_runs(disk_store)
    path = "tables/metrics/run_id=2024/part.parquet"
    connection = duckdb.connect()
    connection.register_filesystem(StoreFiles(PublishedFiles(disk_store), frozenset({path})))
    before = disk_store.read_bytes(path)
    with pytest.raises(duckdb.Error, match="read-only"):
        connection.execute(f"COPY (SELECT 1) TO 'store://{path}'")
    with pytest.raises(duckdb.Error):
        connection.execute("SELECT * FROM 'store://tables/metrics/run_id=hidden/part.parquet'")
    assert connection.execute(f"SELECT count(*) FROM 'store://{path}'").fetchall() == [(2,)]
    assert disk_store.read_bytes(path) == before


class SlowFile(io.FileIO):
    """A disk on which another thread always gets in between a seek and its read."""

    def seek(self, offset: int, whence: int = 0) -> int:
        position = super().seek(offset, whence)
        time.sleep(0.001)
        return position


def test_a_large_table_is_read_right_by_several_threads_at_once(
    disk_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = 200_000  # four row groups: DuckDB reads them in parallel through one file handle
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
    results = ResultTables(disk_store)
    results.write("predictions", "run", table)
    results.publish(run_row("run"))
    sql = "SELECT sum(predicted), sum(top5[2]), count(*) FILTER (predicted_name = 'class ' || top5[1]) FROM predictions"
    monkeypatch.setattr(Store, "open_input", lambda self, path: SlowFile(self.url(path)))
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


def test_a_damaged_result_is_the_stores_fault(warehouse: Warehouse) -> None:
    warehouse.store.write_bytes("tables/metrics/run_id=2024/part.parquet", b"PAR1 and nothing else")
    with pytest.raises(StoreError, match="not what was published"):
        warehouse.query("SELECT * FROM metrics")
    assert len(warehouse.query("SELECT * FROM runs").rows) == 2


@pytest.mark.usefixtures("s3_environment")
def test_a_missing_bucket_is_not_an_empty_warehouse() -> None:
    with pytest.raises(StoreError, match="bucket does not exist"):
        Warehouse(Store("s3://there-is-no-such-bucket")).query("SELECT * FROM metrics")


def test_a_query_imports_nothing_that_is_slow() -> None:
    code = (
        "import sys; from coder_core.storage.store import Store; from coder_core.results.warehouse import Warehouse; "
        "from coder_core.results.render import to_table; to_table(Warehouse(Store('memory://x')).query('SELECT 1')); "
        "print([name for name in ('torch', 'prefect', 'pyarrow', 's3fs', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
