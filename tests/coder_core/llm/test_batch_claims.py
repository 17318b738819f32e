"""Of several runs over one store exactly one works on a batch, also when the one before it died."""

import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from coder_core.llm.batch_completions import BatchCompletions
from coder_core.llm.completion_ledger import CompletionLedger
from coder_core.llm.completions import Completions
from coder_core.llm.faults import Fault
from coder_core.llm.llm_runtime import LlmRuntime
from coder_core.storage import claims as claims_module
from coder_core.storage.claims import CLAIM_SECONDS, Claim
from coder_core.storage.store import Store
from tests.coder_core.atg.llm_server import LlmServer, serving
from tests.coder_core.llm.test_completion_ledger import ask

pytestmark = pytest.mark.slow

Make = Callable[..., LlmRuntime]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


def test_one_of_many_gets_a_claim_and_gives_it_back(store: Store) -> None:
    claims = [Claim(store, "x") for _ in range(16)]
    with ThreadPoolExecutor(16) as threads:
        assert sorted(threads.map(Claim.acquire, claims)) == [False] * 15 + [True]
    holder = next(claim for claim in claims if claim.renew() and claim._number)
    assert not Claim(store, "x").acquire()
    assert Claim(store, "y").acquire()
    holder.release()
    assert Claim(store, "x").acquire()


def test_a_holder_that_was_not_heard_of_is_taken_over_and_notices(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = Claim(store, "x"), Claim(store, "x")
    assert first.acquire()
    start = datetime.now(UTC)

    def at(seconds: float) -> None:
        monkeypatch.setattr(claims_module, "now", lambda: start + timedelta(seconds=seconds))

    at(CLAIM_SECONDS - 5)
    assert not second.acquire()
    assert first.renew()
    at(2 * CLAIM_SECONDS - 10)
    assert not second.acquire()  # it was heard of in between
    at(2 * CLAIM_SECONDS + 10)
    assert second.acquire()
    assert not first.renew()
    first.release()  # and does not free what is another's now
    assert not Claim(store, "x").acquire()


def test_a_process_of_this_machine_that_died_is_taken_over_at_once(store: Store) -> None:
    program = """
        import os, sys
        from coder_core.storage.claims import Claim
        from coder_core.storage.store import Store
        assert Claim(Store(sys.argv[1]), "x").acquire()
        os._exit(9)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program), store.root], check=False)
    assert Claim(store, "x").acquire()


def test_a_damaged_claim_binds_nobody(store: Store) -> None:
    store.write_bytes("batches/claims/x/000001.json", b"{")
    store.write_bytes("batches/claims/x/notes.txt", b"")
    assert Claim(store, "x").acquire()


def run_at_once(sources: list[BatchCompletions], asked: list[range]) -> list[Completions]:
    """Let several runs start at the same moment."""
    start = threading.Barrier(len(sources))

    def run(source: BatchCompletions, numbers: range) -> Completions:
        start.wait()
        return source.complete([ask(number) for number in numbers])

    with ThreadPoolExecutor(len(sources)) as threads:
        return list(threads.map(run, sources, asked))


@pytest.mark.parametrize("asked", [[range(20)] * 3, [range(20), range(10, 30), range(30, 40)]])
def test_runs_at_once_submit_no_question_twice(asked: list[range], store: Store, make_runtime: Make) -> None:
    with serving(LlmServer()) as server:
        runtime = make_runtime(server.url)
        sources = [BatchCompletions(CompletionLedger(store), runtime, poll_seconds=0.01) for _ in asked]
        accounts = run_at_once(sources, asked)
        numbers = set().union(*asked)
        assert len(server.calls) == len(numbers)
    assert all(account.stop is None and not account.problems for account in accounts)
    assert not CompletionLedger(store).missing([ask(number) for number in numbers])
    assert CompletionLedger(store).failure_table().num_rows == 0


@pytest.mark.parametrize("looks_at", ["answers", "batches"])
def test_what_another_run_ends_between_two_looks_is_not_asked_again(
    looks_at: str, store: Store, make_runtime: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other run collects and closes its batch right after this one has looked at the ledger, or at the batches."""
    with serving(LlmServer()) as server:
        server.batch_api.is_stuck = True
        first, second = (
            BatchCompletions(CompletionLedger(store), make_runtime(server.url), poll_seconds=0.01) for _ in range(2)
        )
        other = threading.Thread(target=first.complete, args=([ask(number) for number in range(5)],))
        other.start()
        while not server.batch_api.batches:
            other.join(0.01)

        def after(look: Callable[..., object], turn: int) -> Callable[..., object]:
            turns = iter(range(turn + 1))

            def looked(*given: object) -> object:
                seen = look(*given)
                if next(turns, None) == turn:
                    server.batch_api.is_stuck = False
                    while first.folder.open_documents("m"):
                        other.join(0.01)  # not for ever: it plans once more, which this run does now
                return seen

            return looked

        if looks_at == "answers":  # at the first turn it only counts what is held
            monkeypatch.setattr(second.ledger, "missing", after(second.ledger.missing, 1))
        else:
            monkeypatch.setattr(second.folder, "requests", after(second.folder.requests, 0))
        account = second.complete([ask(number) for number in range(5)])
        other.join()
        assert len(server.calls) == 5
        assert len(server.batch_api.batches) == 1
    assert account.stop is None
    assert account.spent == {}  # the first run has counted it


def test_a_batch_in_anothers_hands_is_waited_for_a_bounded_time(store: Store, make_runtime: Make) -> None:
    with serving(LlmServer()) as server:
        server.batch_api.is_stuck = True
        runtime = make_runtime(server.url)
        first = BatchCompletions(CompletionLedger(store), runtime, poll_seconds=0.01, max_wait_seconds=3)
        second = BatchCompletions(CompletionLedger(store), runtime, poll_seconds=0.01, max_wait_seconds=0.2)
        holding = threading.Thread(target=first.complete, args=([ask(1)],))
        holding.start()
        while not server.batch_api.batches:
            holding.join(0.01)
        account = second.complete([ask(1)])
        server.batch_api.is_stuck = False
        holding.join()
    assert account.stop is not None
    assert (account.stop.fault, "run again later" in account.stop.detail) == (Fault.STOPPED, True)
    assert len(server.batch_api.batches) == 1


def test_what_is_reserved_is_what_can_be_spent(store: Store, make_runtime: Make) -> None:
    """Answers that are cut off are asked again with more room: at the limit, and not eight times above it."""
    prices = {"m": {"input_usd_per_million": 0, "output_usd_per_million": 1000, "batch_factor": 1}}
    with serving(LlmServer(script=lambda _call: "cut_off")) as server:
        runtime = make_runtime(server.url, prices=prices, max_cost_usd=20.0, max_tokens=512)
        source = BatchCompletions(CompletionLedger(store), runtime, poll_seconds=0.001)
        account = source.complete([ask(number) for number in range(30)])
        for batch in server.batch_api.batches.values():
            lines = server.batch_api.files[batch["input_file_id"]].decode().splitlines()
            worst = sum(line.count('"messages"') * limit_of(line) for line in lines) / 1000
            assert worst <= 20.0
        assert max(call.body["max_tokens"] for call in server.calls) > 512
    assert account.cost_usd <= 20.0


def limit_of(line: str) -> int:
    return int(line.rpartition('"max_tokens":')[2].partition(",")[0])
