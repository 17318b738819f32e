"""Whatever ends a run, every answer that has arrived is in the store; and a run that is to end ends within seconds."""

import contextvars
import logging
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from coder_core.interruption import InterruptedWorkError, TimeLimitError, interruptible, time_limit
from coder_core.llm.batch_completions import BatchCompletions
from coder_core.llm.completion_ledger import CompletionLedger
from coder_core.llm.completions import CompletionSource
from coder_core.llm.direct_completions import DirectCompletions
from coder_core.llm.llm_runtime import LlmRuntime
from coder_core.storage.store import Store
from tests.coder_core.atg.llm_server import LlmServer, Raw, completion, error, serving
from tests.coder_core.llm.test_completion_ledger import ask

pytestmark = pytest.mark.slow

Make = Callable[..., LlmRuntime]
CONCURRENCY = 8

PROGRAM = """
    import signal
    import sys
    from coder_core.llm.completion_ledger import CompletionLedger
    from coder_core.llm.direct_completions import DirectCompletions
    from coder_core.llm.llm_runtime import LlmRuntime
    from coder_core.storage.store import Store
    from tests.coder_core.llm.test_completion_ledger import ask

    # A process that a shell script started in the background ignores Ctrl-C, and passes that on to its children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    runtime = LlmRuntime(base_url=sys.argv[2], concurrency=8, max_bad_answers=2, grace_seconds=float(sys.argv[3]))
    source = DirectCompletions(CompletionLedger(Store(sys.argv[1])), runtime)
    source.complete([ask(number) for number in range(5000)])
"""


def run_until(answers: int, server: LlmServer, store: Path, signal_number: int, grace_seconds: float = 5.0) -> bytes:
    """Start the program, send it a signal when so many answers were sent, and wait for its end."""
    program = [sys.executable, "-c", textwrap.dedent(PROGRAM), str(store), server.url, str(grace_seconds)]
    running = subprocess.Popen(program, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while len(server.calls) < answers and time.monotonic() < deadline:
        time.sleep(0.002)
    running.send_signal(signal_number)
    started = time.monotonic()
    _, told = running.communicate(timeout=30)
    assert time.monotonic() - started < 10
    assert running.returncode == -signal_number
    return told


def paid_rows(store: Path) -> int:
    ledger = CompletionLedger(Store(str(store)))
    return ledger.table().num_rows + ledger.failure_table().num_rows


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_a_termination_lose_no_answer(signal_number: int, tmp_path: Path) -> None:
    """Good and bad ones; also those that were on their way when the signal came."""
    script = lambda call: "refusal" if call.number % 3 == 0 else None  # noqa: E731
    with serving(LlmServer(delay_seconds=0.05, script=script)) as server:
        told = run_until(40, server, tmp_path, signal_number)
        assert (b"KeyboardInterrupt" in told) == (signal_number == signal.SIGINT)
        assert paid_rows(tmp_path) == len(server.calls) >= 40


def test_answers_that_take_too_long_are_not_waited_for(tmp_path: Path) -> None:
    late = completion("x")._replace(delay_seconds=60)
    with serving(LlmServer(script=lambda call: None if call.number < 20 else late)) as server:
        run_until(20 + CONCURRENCY, server, tmp_path, signal.SIGTERM, grace_seconds=0.5)
        assert paid_rows(tmp_path) == 20


def test_a_kill_costs_no_more_than_the_calls_under_way(tmp_path: Path) -> None:
    with serving(LlmServer(delay_seconds=0.02)) as server:
        run_until(40, server, tmp_path, signal.SIGKILL)
        time.sleep(0.1)
        assert len(server.calls) - paid_rows(tmp_path) <= CONCURRENCY


def end_while_waiting(source: CompletionSource, error_type: type[Exception], *, is_cancelled: bool) -> None:
    """Ask for answers, and take the run's permission away while it waits."""
    started = time.monotonic()
    with pytest.raises(error_type):  # noqa: PT012
        if is_cancelled:
            cancel_after(0.3, source)
        else:
            with time_limit(0.3):
                source.complete([ask(number) for number in range(50)])
    assert time.monotonic() - started < 3


def cancel_after(seconds: float, source: CompletionSource) -> None:
    """What Prefect does: the block of the run ends by an exception while a thread still works for it."""
    ends: list[BaseException] = []
    with pytest.raises(KeyError), interruptible():  # noqa: PT012

        def work() -> None:
            try:
                source.complete([ask(number) for number in range(50)])
            except BaseException as end:  # noqa: BLE001
                ends.append(end)

        thread = threading.Thread(target=contextvars.copy_context().run, args=(work,))
        thread.start()
        time.sleep(seconds)
        raise KeyError
    thread.join(10)
    raise ends[0]


@pytest.mark.parametrize("is_cancelled", [True, False])
@pytest.mark.parametrize(
    "what", ["a slow answer", "a rate limit", "a Retry-After", "a loading server", "the own limit"]
)
def test_a_run_that_is_to_end_does_so_wherever_it_waits(
    what: str, is_cancelled: bool, ledger: CompletionLedger, make_runtime: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    options: dict[str, object] = {"grace_seconds": 0.2, "max_start_seconds": 60}
    server = LlmServer()
    if what == "a slow answer":
        server.delay_seconds = 30
    elif what == "a rate limit":
        stated = {"limit": "60", "remaining": "0", "reset": "100s"}
        server.headers = {f"x-ratelimit-{part}-requests": value for part, value in stated.items()}
    elif what == "a Retry-After":
        server.script = lambda _call: error(429, "slow down", retry_after="60")
    elif what == "a loading server":
        server.script = lambda _call: error(503, "Loading model")
    else:
        options["requests_per_minute"] = 1
    with serving(server):
        source = DirectCompletions(ledger, make_runtime(server.url, timeout_seconds=60, **options))
        end_while_waiting(source, InterruptedWorkError if is_cancelled else TimeLimitError, is_cancelled=is_cancelled)


@pytest.mark.parametrize("is_cancelled", [True, False])
def test_a_run_that_is_to_end_does_not_wait_for_a_batch(
    is_cancelled: bool, ledger: CompletionLedger, make_runtime: Make
) -> None:
    with serving(LlmServer()) as server:
        server.batch_api.is_stuck = True
        source = BatchCompletions(ledger, make_runtime(server.url), poll_seconds=60)
        end_while_waiting(source, InterruptedWorkError if is_cancelled else TimeLimitError, is_cancelled=is_cancelled)
        server.batch_api.is_stuck = False
        later = BatchCompletions(ledger, make_runtime(server.url), poll_seconds=0.01)
        assert len(later.complete([ask(number) for number in range(50)]).generated) == 50
        assert len(server.batch_api.batches) == 1


def test_what_has_arrived_when_a_run_ends_is_kept(ledger: CompletionLedger, make_runtime: Make) -> None:
    script = lambda call: None if call.number < 10 else Raw(200, b"", delay_seconds=30)  # noqa: E731
    with serving(LlmServer(script=script)) as server:
        source = DirectCompletions(ledger, make_runtime(server.url, timeout_seconds=60, grace_seconds=0.1))
        with pytest.raises(TimeLimitError), time_limit(0.5):
            source.complete([ask(number) for number in range(50)])
    assert ledger.table().num_rows == 10
