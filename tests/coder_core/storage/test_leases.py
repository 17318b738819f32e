"""Of two that want to do the same work, one does it and the other waits; nothing depends on it but effort."""

import logging
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from coder_core.errors import StoreError
from coder_core.interruption import InterruptedWorkError, interruptible
from coder_core.llm.completion_ledger import CompletionLedger
from coder_core.llm.direct_completions import DirectCompletions
from coder_core.llm.llm_runtime import LlmRuntime
from coder_core.storage import claims, leases, object_writes
from coder_core.storage.leases import has_conditional_writes, leased
from coder_core.storage.store import Store
from tests.coder_core.atg.llm_fixtures import make_runtime  # noqa: F401 - a fixture
from tests.coder_core.atg.llm_server import LlmServer, serving
from tests.coder_core.llm.test_completion_ledger import ask

pytestmark = pytest.mark.slow


def test_those_who_want_the_same_work_one_after_the_other(store: Store) -> None:
    assert has_conditional_writes(store)
    inside, most, lock = 0, 0, threading.Lock()

    def work(number: int) -> None:
        nonlocal inside, most
        things = [["x", 1], ["x", 2]] if number % 2 else [["x", 2], ["x", 1]]  # in any order: nobody waits for ever
        with leased(store, things, "working"):
            with lock:
                inside, most = inside + 1, max(most, inside + 1)
            time.sleep(0.01)
            with lock:
                inside -= 1

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(4)))
    assert (inside, most) == (0, 1)
    assert store.list("leases") == []


def test_other_work_waits_for_nobody(disk_store: Store) -> None:
    with leased(disk_store, ["a"], "a"), leased(disk_store, ["b"], "b"):
        assert len(disk_store.list("leases")) == 2


def test_the_work_of_the_dead_is_taken_over_at_once(tmp_path: Path) -> None:
    code = """
        import os, signal, sys
        from coder_core.storage.leases import leased
        from coder_core.storage.store import Store
        with leased(Store(sys.argv[1]), ["x"], "x"):
            os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code), str(tmp_path)], check=False)
    assert done.returncode == -9
    store = Store(str(tmp_path))
    assert len(store.list("leases")) == 1
    with leased(store, ["x"], "x"):
        assert len(store.list("leases")) == 2
    assert store.list("leases") == []


def test_one_on_another_machine_that_falls_silent_is_waited_for_and_then_taken_over(
    disk_store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(leases, "LEASE_SECONDS", 0.3)
    monkeypatch.setattr(claims, "_machine", lambda: "elsewhere")
    other = claims.Claim(disk_store, leases.key_of("x"), folder=leases.FOLDER)
    started = time.monotonic()
    assert other.acquire()
    monkeypatch.setattr(claims, "_machine", lambda: "here")
    with leased(disk_store, ["x"], "embedding"):
        assert time.monotonic() - started > 0.25
    assert "another run is embedding: waiting for it" in caplog.text


def test_one_that_is_heard_of_is_never_taken_over(disk_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "LEASE_SECONDS", 0.3)
    ended = threading.Event()

    def hold() -> None:
        with leased(disk_store, ["x"], "x"):
            held.set()
            time.sleep(1.0)  # more than three times as long as silence may last
            ended.set()

    held = threading.Event()
    with ThreadPoolExecutor(1) as thread:
        future = thread.submit(hold)
        held.wait(20)
        with leased(disk_store, ["x"], "x"):
            assert ended.is_set()
        future.result()


def test_a_wait_ends_with_the_run(disk_store: Store) -> None:
    other = claims.Claim(disk_store, leases.key_of("x"), folder=leases.FOLDER)
    assert other.acquire()
    with interruptible() as stop:
        stop.set()
        with pytest.raises(InterruptedWorkError), leased(disk_store, ["x"], "x"):
            pytest.fail("it was held by another one")


def test_a_store_without_conditional_writes_is_worked_on_without_leases_and_told_of_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store("memory://no-conditions/store")
    monkeypatch.setattr("coder_core.storage.store.create_object", object_writes.put_object)
    with leased(store, ["x"], "x"), leased(store, ["x"], "x"):
        assert store.list() == []
    assert caplog.text.count("has no conditional writes") == 1


def test_a_store_that_refuses_is_worked_on_without_leases(
    disk_store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> bool:
        raise StoreError("No.")

    monkeypatch.setattr(Store, "create_bytes", refuse)
    with leased(disk_store, ["x"], "embedding"):
        assert "no lease, so another run may be embedding, too" in caplog.text


def test_two_who_ask_the_same_pay_once(tmp_path: Path, make_runtime: Callable[..., LlmRuntime]) -> None:  # noqa: F811
    questions = [ask(number) for number in range(6)]
    with serving(LlmServer(late_seconds=0.2)) as server:
        runtime = make_runtime(server.url)

        def buy(_: int) -> tuple[int, int]:
            bought = DirectCompletions(CompletionLedger(Store(str(tmp_path))), runtime).complete(questions)
            return len(bought.generated), len(bought.reused)

        with ThreadPoolExecutor(2) as threads:
            assert sorted(threads.map(buy, range(2))) == [(0, 6), (6, 0)]
        assert len(server.calls) == 6
