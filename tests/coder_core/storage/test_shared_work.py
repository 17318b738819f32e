"""Of runs whose work overlaps, each piece is done by one, and nobody waits for what he does not need."""

import hashlib
import logging
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from coder_core.errors import StoreError
from coder_core.fingerprint import key_of
from coder_core.interruption import InterruptedWorkError, interruptible
from coder_core.llm.completion_ledger import CompletionLedger
from coder_core.llm.direct_completions import DirectCompletions
from coder_core.llm.llm_runtime import LlmRuntime
from coder_core.storage import claims, leases, object_writes
from coder_core.storage.shared_work import Work, share_work
from coder_core.storage.store import Store
from tests.coder_core.atg.llm_fixtures import api_key, make_runtime  # noqa: F401 - fixtures
from tests.coder_core.atg.llm_server import LlmServer, serving
from tests.coder_core.llm.test_completion_ledger import ask

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]


class Made:
    """What is in the store, and how often each piece was made."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.lock = threading.Lock()

    def lacking(self, names: list[str]) -> list[str]:
        with self.lock:
            return [name for name in names if not self.counts[name]]

    def add(self, names: Iterable[str]) -> None:
        with self.lock:
            self.counts.update(names)

    def work(self, names: str, make: Callable[[list[str]], object] | None = None) -> Work:
        return Work("making letters", {name: (name,) for name in names}, self.lacking, make or self.add)


def test_each_piece_of_lists_that_overlap_in_a_circle_is_made_once(store: Store) -> None:
    made, start = Made(), threading.Barrier(3)

    def run(letters: str) -> None:
        def make(names: list[str]) -> None:
            time.sleep(0.05)
            made.add(names)

        start.wait()
        share_work(store, ["letters"], made.work(letters, make))
        assert not made.lacking(list(letters))

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(run, ["abcdef", "efghij", "ijabxy"]))
    assert made.counts == Counter("abcdefghijxy")
    assert store.list("leases") == []


def test_who_shares_nothing_waits_for_nobody_and_who_shares_does_his_own_first(
    disk_store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    made, is_making, end = Made(), threading.Event(), threading.Event()

    def make_slowly(names: list[str]) -> None:
        is_making.set()
        assert end.wait(20)
        made.add(names)

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(share_work, disk_store, ["letters"], made.work("abc", make_slowly))
        assert is_making.wait(20)
        share_work(disk_store, ["letters"], made.work("xyz"))
        share_work(disk_store, ["digits"], made.work("abc", lambda _names: made.add("0")))  # other work of equal names
        assert made.counts == Counter("xyz0")
        second = threads.submit(share_work, disk_store, ["letters"], made.work("bcde"))
        while "waiting for it" not in caplog.text:
            time.sleep(0.01)
        assert made.counts == Counter("xyz0de")
        end.set()
        first.result(), second.result()
    assert made.counts == Counter("xyz0deabc")
    assert "another run is making letters, 2 of which are wanted here, too: waiting for it" in caplog.text


def test_who_waits_goes_on_as_soon_as_what_it_needs_is_there(disk_store: Store) -> None:
    made, half, end = Made(), threading.Event(), threading.Event()

    def make_halves(names: list[str]) -> None:
        made.add(names[:2])
        half.set()
        assert end.wait(20)
        made.add(names[2:])

    with ThreadPoolExecutor(1) as thread:
        first = thread.submit(share_work, disk_store, ["letters"], made.work("abcd", make_halves))
        assert half.wait(20)
        share_work(disk_store, ["letters"], made.work("ab"))  # has to end although the other one has not
        assert not first.done()
        end.set()
        first.result()
    assert made.counts == Counter("abcd")


def test_what_one_fails_to_make_is_made_by_who_waited_for_it(disk_store: Store) -> None:
    made, is_making, end = Made(), threading.Event(), threading.Event()

    def fail(_names: list[str]) -> None:
        is_making.set()
        assert end.wait(20)
        raise MemoryError

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(share_work, disk_store, ["letters"], made.work("ab", fail))
        assert is_making.wait(20)
        second = threads.submit(share_work, disk_store, ["letters"], made.work("bc"))
        end.set()
        with pytest.raises(MemoryError):
            first.result()
        second.result()
    assert made.counts == Counter("bc")


def test_what_nobody_can_make_is_tried_once(disk_store: Store) -> None:
    tried: list[list[str]] = []
    share_work(disk_store, ["letters"], Made().work("ab", tried.append))
    assert tried == [["a", "b"]]


def test_false_ends_everything(disk_store: Store) -> None:
    made = Made()
    folder = f"leases/{key_of(['shared', 'letters'])}"
    note = claims.Claim(disk_store, "0", folder=folder)
    assert note.acquire()
    disk_store.write_bytes(f"{folder}/0/keys-{note.holder}", hashlib.blake2b(b"a", digest_size=8).digest())
    share_work(disk_store, ["letters"], made.work("ab", lambda _names: False))  # and `a` is not waited for
    assert not made.counts


def test_the_notes_of_the_dead_bind_nobody(tmp_path: Path) -> None:
    code = """
        import os, signal, sys
        from coder_core.storage.shared_work import Work, share_work
        from coder_core.storage.store import Store
        def make(names):
            os.kill(os.getpid(), signal.SIGKILL)
        share_work(Store(sys.argv[1]), ["letters"], Work("x", {name: [name] for name in "abc"}, list, make))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code), str(tmp_path)], check=False, cwd=ROOT)
    assert done.returncode == -9
    store, made = Store(str(tmp_path)), Made()
    assert len(store.list("leases")) == 2
    share_work(store, ["letters"], made.work("abc"))
    assert made.counts == Counter("abc")
    assert store.list("leases") == []


def test_a_note_of_another_machine_that_falls_silent_binds_until_then(
    disk_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "LEASE_SECONDS", 0.3)
    monkeypatch.setattr(leases, "RENEWALS", 0.1)  # never
    made, is_making, end = Made(), threading.Event(), threading.Event()
    monkeypatch.setattr(claims, "_machine", lambda: "elsewhere")

    def make(_names: list[str]) -> None:
        is_making.set()
        assert end.wait(20)

    with ThreadPoolExecutor(1) as thread:
        started = time.monotonic()
        other = thread.submit(share_work, disk_store, ["letters"], made.work("ab", make))
        assert is_making.wait(20)
        monkeypatch.setattr(claims, "_machine", lambda: "here")
        share_work(disk_store, ["letters"], made.work("bc"))
        assert time.monotonic() - started > 0.25
        end.set()
        other.result()
    assert made.counts == Counter("bc")
    assert disk_store.list("leases") == []


def test_a_wait_ends_with_the_run(disk_store: Store) -> None:
    made, is_making, end = Made(), threading.Event(), threading.Event()

    def make(names: list[str]) -> None:
        is_making.set()
        assert end.wait(20)
        made.add(names)

    with ThreadPoolExecutor(1) as thread:
        other = thread.submit(share_work, disk_store, ["letters"], made.work("a", make))
        assert is_making.wait(20)
        with interruptible() as stop:
            threading.Timer(0.1, stop.set).start()
            with pytest.raises(InterruptedWorkError):
                share_work(disk_store, ["letters"], made.work("a"))
        end.set()
        other.result()


def test_without_conditional_writes_everybody_makes_everything_and_it_is_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store, made = Store("memory://no-conditions/shared"), Made()
    monkeypatch.setattr("coder_core.storage.store.create_object", object_writes.put_object)
    share_work(
        store, ["letters"], made.work("ab", lambda names: share_work(store, ["letters"], made.work("".join(names))))
    )
    assert made.counts == Counter("ab")
    assert store.list() == []
    assert caplog.text.count("has no conditional writes") == 1


@pytest.mark.parametrize("refused", ["create_bytes", "write_bytes", "list"])
def test_a_store_that_refuses_notes_is_worked_on_without(
    refused: str, disk_store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> bool:
        raise StoreError("No.")

    made = Made()
    monkeypatch.setattr(Store, refused, refuse)
    share_work(disk_store, ["letters"], made.work("ab"))
    assert made.counts == Counter("ab")
    assert "another run may be making letters, too" in caplog.text


BUY = """
    import sys
    from coder_core.llm.completion_ledger import CompletionLedger
    from coder_core.llm.direct_completions import DirectCompletions
    from coder_core.llm.llm_runtime import LlmRuntime
    from coder_core.storage.store import Store
    from tests.coder_core.llm.test_completion_ledger import ask
    store, url, first, last = sys.argv[1:]
    print("ready", flush=True)
    sys.stdin.readline()
    source = DirectCompletions(CompletionLedger(Store(store)), LlmRuntime(base_url=url, concurrency=4))
    bought = source.complete([ask(number) for number in range(int(first), int(last))])
    print(len(bought.generated), len(bought.reused))
"""


def test_two_processes_pay_for_what_both_ask_once(tmp_path: Path) -> None:
    with serving(LlmServer(delay_seconds=0.2)) as server:
        asked = [["0", "12"], ["6", "18"]]
        command = [sys.executable, "-c", textwrap.dedent(BUY), str(tmp_path), server.url]
        runs = [
            subprocess.Popen([*command, *span], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for span in asked
        ]
        for run in runs:
            assert run.stdout is not None
            assert run.stdout.readline() == "ready\n"
        told = [run.communicate("\n", timeout=60)[0] for run in runs]
        assert all(run.returncode == 0 for run in runs)
        assert sorted(told) == sorted(["12 0\n", "6 6\n"])
        assert len(server.calls) == 18
    assert not CompletionLedger(Store(str(tmp_path))).missing([ask(number) for number in range(18)])


def test_what_the_first_could_not_pay_for_is_bought_by_the_second(
    tmp_path: Path,
    make_runtime: Callable[..., LlmRuntime],  # noqa: F811
) -> None:
    prices = {"m": {"input_usd_per_million": 0, "output_usd_per_million": 1000, "batch_factor": 1}}
    ledger = CompletionLedger(Store(str(tmp_path)))
    with serving(LlmServer(delay_seconds=0.1)) as server:
        poor = make_runtime(server.url, prices=prices, max_cost_usd=1.2, max_tokens=512, concurrency=1)
        rich = make_runtime(server.url, concurrency=1)
        with ThreadPoolExecutor(1) as thread:
            first = thread.submit(DirectCompletions(ledger, poor).complete, [ask(number) for number in range(30)])
            while not server.calls:
                time.sleep(0.01)
            second = DirectCompletions(ledger, rich).complete([ask(number) for number in range(30)])
            stopped = first.result()
        assert stopped.stop is not None
        assert stopped.generated | second.generated == {ask(number).key for number in range(30)}
        assert not stopped.generated & second.generated
        assert len(server.calls) == 30
    assert second.reused == stopped.generated
