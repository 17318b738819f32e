"""Work that can be told to stop: between two batches, where nothing is lost.

A run that is cancelled waits for the threads that still work for it. Prefect grants 30 seconds before it kills; a shard
of images may take an hour. So whoever starts threads opens `interruptible()`, and the loops that take long (`loops`)
ask `check_interruption()` before each batch. A context variable carries the answer: it belongs to one run, follows its
tasks into their threads, and leaves other runs of the same process alone. What is in the ledgers stays; the next run
goes on from there. The same question ends work that has taken too long: nothing else can end a thread.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from coder_core.errors import CoderError


class _Deadline:
    """A moment that time spent waiting for others moves on."""

    def __init__(self, at: float) -> None:
        self.at = at


_STOP: ContextVar[threading.Event | None] = ContextVar("coder_stop", default=None)
_DEADLINE: ContextVar[_Deadline | None] = ContextVar("coder_deadline", default=None)


class InterruptedWorkError(CoderError):
    """The run that this work belongs to has ended; what is in the store stays."""


class TimeLimitError(CoderError):
    """A piece of work took longer than its policy allows; what is in the store stays."""


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Let the work that is started in the block stop at its next batch when the block ends by any exception.

    Yields:
        The event that stops it; whoever sets it ends the work, too.
    """
    stop = threading.Event()
    token = _STOP.set(stop)
    try:
        yield stop
    except BaseException:  # cancellation and Ctrl-C are no `Exception`
        stop.set()
        raise
    finally:
        _STOP.reset(token)


def stop_event() -> threading.Event | None:
    """The event that stops the work of this context; None where nothing can stop it."""
    return _STOP.get()


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Let the work of the block stop at its next batch once it has taken so long; an outer limit goes on to count."""
    outer = _DEADLINE.get()
    at = time.monotonic() + seconds
    token = _DEADLINE.set(_Deadline(at if outer is None else min(at, outer.at)))
    try:
        yield
    finally:
        _DEADLINE.reset(token)


@contextmanager
def not_counted() -> Iterator[None]:
    """Let the time of the block, spent waiting for others, not count against the limit."""
    started = time.monotonic()
    try:
        yield
    finally:
        deadline = _DEADLINE.get()
        if deadline is not None:
            deadline.at += time.monotonic() - started


def check_interruption() -> None:
    """Stop here if the run has ended or the time is up; costs nothing otherwise.

    Raises:
        InterruptedWorkError: The run has ended.
        TimeLimitError: The time is up.
    """
    stop = _STOP.get()
    if stop is not None and stop.is_set():
        problem = "stopped between two batches, because the run was cancelled or another task of it failed."
        raise InterruptedWorkError(problem, remedy="Run again: it goes on from here.")
    deadline = _DEADLINE.get()
    if deadline is not None and time.monotonic() > deadline.at:
        raise TimeLimitError(
            "stopped between two batches: its time is up.", remedy="See coder_core/pipeline/traits.py."
        )
