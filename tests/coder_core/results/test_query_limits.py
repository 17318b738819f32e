"""What a question may take, and the process that answers it: limits, kills, and nothing that lingers."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from coder_core.errors import QueryError
from coder_core.results import query_process
from coder_core.results.query_limits import QueryLimits
from coder_core.results.query_process import SPARE
from coder_core.results.warehouse import Warehouse
from coder_core.storage.store import Store
from tests.coder_core.results.result_rows import publish_many

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """Two published runs; for tests that change nothing."""
    store = Store(str(tmp_path_factory.mktemp("limits")))
    publish_many(store, 2)
    return Warehouse(store)


ENDLESS = {
    "recursive": "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t",
    "levenshtein": "SELECT levenshtein(repeat('ab', 400000), repeat('ba', 400000))",
    "one long list": "SELECT list_sort(range(90000000))[1], list_sort(range(90000000))[2]",
    "rows for ever": "SELECT lpad('x', 9, 'y') FROM range(1000000000000) WHERE range < 0",
}


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "sql", [pytest.param(sql, id=name, marks=[] if name == "recursive" else SLOW) for name, sql in ENDLESS.items()]
)
def test_a_query_that_takes_too_long_is_ended(disk_store: Store, sql: str) -> None:
    warehouse = Warehouse(disk_store)
    warehouse.query("SELECT 1")  # a process is ready: on a busy machine its start would take the time
    start = time.monotonic()
    with pytest.raises(QueryError, match=r"takes longer than 0\.7 s\..*--seconds"):
        Warehouse(disk_store, QueryLimits(seconds=0.7)).query(sql)
    assert time.monotonic() - start < 20
    assert Warehouse(disk_store).query("SELECT 1").rows == [(1,)]


@pytest.mark.parametrize(
    "sql",
    [
        pytest.param("SELECT list_sort(range(100000000))", marks=SLOW),
        pytest.param("SELECT lpad('x', 2000000000, 'y')", marks=SLOW),
        "SELECT string_agg(repeat('x', 100000), '') FROM range(100000)",
        pytest.param("SELECT count(*) FROM (SELECT DISTINCT range FROM range(400000000))", marks=SLOW),
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
        "import signal, sys; from coder_core.storage.store import Store; "
        "from coder_core.results.warehouse import Warehouse; "
        "signal.signal(signal.SIGINT, signal.default_int_handler); "  # what a shell starts with & inherits none
        "warehouse = Warehouse(Store(sys.argv[1])); warehouse.query('SELECT 1'); "
        "from coder_core.results.query_process import SPARE; print(SPARE._process._process.pid, flush=True); "
        "warehouse.query(sys.argv[2])"
    )
    command = [sys.executable, "-c", code, str(tmp_path), ENDLESS["levenshtein"]]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        engine = int(process.stdout.readline())
        wait_for_work(engine)
        start = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
        assert time.monotonic() - start < 10  # the query itself would take minutes
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
        wait_for_work(engine)
        process.kill()
    assert_gone(engine)


def wait_for_work(pid: int) -> None:
    """Until the engine has computed for a while: its question is under way."""
    engine = psutil.Process(pid)
    before = sum(engine.cpu_times()[:2])
    while sum(engine.cpu_times()[:2]) < before + 0.1:
        time.sleep(0.01)


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
        wait_for_work(engine)
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
