"""The warehouse: every question is answered or refused in one line, and nothing but published results is ever read."""

import io
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from coder_core.errors import QueryError, StoreError
from coder_core.results import published_files, query_process
from coder_core.results.compaction import compact_results
from coder_core.results.query_files import GivenFiles, SharedFile
from coder_core.results.query_limits import QueryLimits
from coder_core.results.query_messages import GivenFile
from coder_core.results.query_process import SPARE
from coder_core.results.schema import TABLES, VIEWS, MetricRow, PredictionRow
from coder_core.results.warehouse import Warehouse
from coder_core.results.writing import RunWriter
from coder_core.storage.refusals import UnexpectedContentError
from coder_core.storage.store import Store
from tests.coder_core.results.result_rows import (
    START,
    flip,
    metric_rows,
    old_run,
    paths,
    publish,
    publish_many,
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


def test_an_empty_store_has_empty_tables_of_the_documented_types(store: Store) -> None:
    warehouse = Warehouse(store)
    for name, table in TABLES.items():
        assert warehouse.query(f"SELECT * FROM {name}").rows == []
        described = warehouse.query(f"DESCRIBE {name}").rows
        assert [row[:2] for row in described] == [(column.name, column.type) for column in table.columns]
    for name in VIEWS:
        assert warehouse.query(f"SELECT * FROM {name}").rows == []


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
        assert [(row[0], row[-1]) for row in result.rows] == [("old", None), ("run", "honest"), ("run", "honest")]
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


@pytest.mark.usefixtures("s3_environment")
def test_a_missing_bucket_is_not_an_empty_warehouse() -> None:
    with pytest.raises(StoreError, match="bucket does not exist"):
        Warehouse(Store("s3://there-is-no-such-bucket")).query("SELECT * FROM metrics")


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
    sql = "SELECT run_id, seconds, texts_embedded, calls, prompt_tokens, cost_usd FROM costs ORDER BY run_id"
    assert Warehouse(disk_store).query(sql).rows == [
        ("bought", 90.0, 1, 16, 200, 0.75),
        ("unknown", 0.0, 1, 16, 200, None),
        ("without", 0.0, 1, None, None, None),
    ]


# ---- limits


ENDLESS = {
    "recursive": "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t",
    "levenshtein": "SELECT levenshtein(repeat('ab', 400000), repeat('ba', 400000))",
    "one long list": "SELECT list_sort(range(90000000))[1], list_sort(range(90000000))[2]",
    "rows for ever": "SELECT lpad('x', 9, 'y') FROM range(1000000000000) WHERE range < 0",
}


@pytest.mark.parametrize("sql", ENDLESS.values(), ids=ENDLESS)
def test_a_query_that_takes_too_long_is_ended(disk_store: Store, sql: str) -> None:
    warehouse = Warehouse(disk_store, QueryLimits(seconds=0.7))
    warehouse.query("SELECT 1")
    start = time.monotonic()
    with pytest.raises(QueryError, match=r"takes longer than 0\.7 s\..*--seconds"):
        warehouse.query(sql)
    assert time.monotonic() - start < 3
    assert warehouse.query("SELECT 1").rows == [(1,)]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT list_sort(range(100000000))",
        "SELECT lpad('x', 2000000000, 'y')",
        "SELECT string_agg(repeat('x', 100000), '') FROM range(100000)",
        "SELECT count(*) FROM (SELECT DISTINCT range FROM range(400000000))",
    ],
)
def test_a_query_that_takes_too_much_memory_is_ended(disk_store: Store, sql: str) -> None:
    with pytest.raises(
        QueryError, match=r"needs more than 0\.3 GB of memory\..*--memory|is larger than|nded on this one"
    ) as error:
        Warehouse(disk_store, QueryLimits(memory_bytes=300_000_000, seconds=60)).query(sql)
    assert len(str(error.value)) < 300


def test_an_answer_with_too_many_rows_or_bytes_is_refused(warehouse: Warehouse) -> None:
    few = Warehouse(warehouse.store, QueryLimits(rows=3))
    assert len(few.query("SELECT * FROM metrics LIMIT 3").rows) == 3
    with pytest.raises(QueryError, match=r"more than 3 rows\. Add a LIMIT, or allow more with --rows"):
        few.query("SELECT * FROM metrics")
    with pytest.raises(QueryError, match="more than 3 rows"):
        few.query("SELECT * FROM range(100000000)")
    small = Warehouse(warehouse.store, QueryLimits(answer_bytes=1_000_000))
    for sql in ("SELECT repeat('x', 2000000)", "SELECT range(300000)", "SELECT repeat('x', 100) FROM range(90000)"):
        with pytest.raises(QueryError, match="larger than 1 MB"):
            small.query(sql)


def test_ctrl_c_ends_a_query_at_once_and_its_process_with_it(tmp_path: Path) -> None:
    code = (
        "import sys; from coder_core.storage.store import Store; from coder_core.results.warehouse import Warehouse; "
        "warehouse = Warehouse(Store(sys.argv[1])); warehouse.query('SELECT 1'); "
        "from coder_core.results.query_process import SPARE; print(SPARE._process._process.pid, flush=True); "
        "warehouse.query(sys.argv[2])"
    )
    command = [sys.executable, "-c", code, str(tmp_path), ENDLESS["levenshtein"]]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        engine = int(process.stdout.readline())
        time.sleep(0.5)
        start = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
        assert time.monotonic() - start < 1.5
    assert "KeyboardInterrupt" in errors
    assert_gone(engine)


def test_the_engine_ends_with_the_process_that_asked(tmp_path: Path) -> None:
    code = (
        "import os, sys, threading; from coder_core.storage.store import Store; "
        "from coder_core.results.warehouse import Warehouse; from coder_core.results.query_process import SPARE; "
        "warehouse = Warehouse(Store(sys.argv[1])); warehouse.query('SELECT 1'); "
        "print(SPARE._process._process.pid, flush=True); warehouse.query(sys.argv[2])"
    )
    command = [sys.executable, "-c", code, str(tmp_path), ENDLESS["recursive"]]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        engine = int(process.stdout.readline())
        time.sleep(0.3)
        process.kill()
    assert_gone(engine)


def assert_gone(pid: int) -> None:
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        if (
            Path(f"/proc/{pid}/stat").exists()
            and Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        ):
            return  # (nobody waits for orphans in a container)
        time.sleep(0.1)
    raise AssertionError(f"{pid} is still there")


def test_the_engine_has_no_credentials_and_cannot_write(disk_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a secret")
    monkeypatch.setenv("OPENAI_API_KEY", "a secret")
    SPARE.clear()
    Warehouse(disk_store).query("SELECT 1")
    assert SPARE._process is not None
    status = Path(f"/proc/{SPARE._process._process.pid}")
    if not status.exists():
        pytest.skip("there is no /proc here")
    assert b"a secret" not in (status / "environ").read_bytes()
    limits = {line[:25].strip(): line[25:].split() for line in (status / "limits").read_text().splitlines()}
    assert limits["Max file size"][:2] == ["0", "0"]
    assert limits["Max core file size"][:2] == ["0", "0"]


def test_an_engine_that_dies_is_one_error_and_the_next_question_is_answered(warehouse: Warehouse) -> None:
    def kill() -> None:
        time.sleep(0.4)
        os.kill(engine, signal.SIGKILL)

    warehouse.query("SELECT 1")
    assert SPARE._process is not None
    engine = SPARE._process._process.pid
    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(QueryError, match="ended on this one"):
        warehouse.query(ENDLESS["recursive"])
    killer.join()
    assert warehouse.query("SELECT count(*) FROM runs").rows == [(2,)]


def test_questions_are_asked_from_several_threads(warehouse: Warehouse) -> None:
    with ThreadPoolExecutor(4) as threads:
        answers = threads.map(lambda at: warehouse.query(f"SELECT {at}, count(*) FROM metrics").rows, range(12))
    assert list(answers) == [[(at, 4)] for at in range(12)]


def test_a_spare_engine_is_kept_for_a_while_only(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query_process._Spare, "KEPT_SECONDS", 0.1)
    warehouse.query("SELECT 1")
    assert SPARE._process is not None
    engine = SPARE._process._process.pid
    assert_gone(engine)
    assert warehouse.query("SELECT 1").rows == [(1,)]


def test_an_answer_holds_plain_values_only(warehouse: Warehouse) -> None:
    sql = (
        "SELECT 1.5::DECIMAL(4, 1), DATE '2026-01-02', TIME '03:04', INTERVAL 1 DAY, "
        "UUID '00000000-0000-0000-0000-000000000001', 'x'::BLOB, {'a': [1, NULL]}, MAP {'k': 1}, "
        "170141183460469231731687303715884105727::HUGEINT, TIMESTAMPTZ '2026-01-02 03:04:05+00', "
        "true, NULL, 'ä'::VARCHAR, [[1], []]"
    )
    (row,) = warehouse.query(sql).rows
    kinds = [type(value).__name__ for value in row]
    assert kinds[:7] == ["Decimal", "date", "time", "timedelta", "UUID", "bytes", "dict"]
    assert row[8] == 2**127 - 1
    assert row[-3:] == (None, "ä", [[1], []])


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
