"""Work stops at its next batch when the block that started it ends by an exception, and only that block's work."""

import contextvars
import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from coder_core.interruption import (
    InterruptedWorkError,
    TimeLimitError,
    check_interruption,
    interruptible,
    time_limit,
)
from coder_core.pipeline.traits import is_worth_retrying

from .stopped_work import ended_run


def test_nothing_stops_outside_and_after_a_block_that_ended_well() -> None:
    check_interruption()
    with interruptible():
        check_interruption()
    check_interruption()


@pytest.mark.parametrize("reason", [KeyboardInterrupt, SystemExit, ValueError])
def test_threads_of_a_block_stop_when_it_ends_by_any_exception(reason: type[BaseException]) -> None:
    batches, working = 0, threading.Event()

    def work() -> None:
        nonlocal batches
        while batches < 1_000:
            check_interruption()
            batches += 1
            working.set()
            threading.Event().wait(0.01)

    def run(pool: ThreadPoolExecutor) -> None:
        with interruptible():
            started.append(pool.submit(contextvars.copy_context().run, work))
            assert working.wait(10)
            raise reason

    started: list[Future[None]] = []
    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(reason):
            run(pool)
        with pytest.raises(InterruptedWorkError, match="Run again"):
            started[0].result(timeout=10)
    assert batches < 1_000
    check_interruption()


def test_another_run_in_the_same_process_goes_on() -> None:
    with interruptible():
        outer = contextvars.copy_context()
        inner = ended_run()
        outer.run(check_interruption)
        with pytest.raises(InterruptedWorkError):
            inner.run(check_interruption)


def test_work_ends_at_its_next_batch_once_its_time_is_up() -> None:
    with time_limit(60.0):
        check_interruption()
    with time_limit(0.01):
        threading.Event().wait(0.02)
        with pytest.raises(TimeLimitError, match="time is up"):
            check_interruption()
    check_interruption()


def test_work_that_ran_out_of_time_is_tried_again() -> None:
    assert is_worth_retrying(TimeLimitError("its time is up."))
    assert not is_worth_retrying(InterruptedWorkError("stopped."))
