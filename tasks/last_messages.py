"""The end of a process waits for Prefect's last messages, and not for ever.

Prefect sends logs and events in the background. At exit it waits, without a limit, until each of these services says
that it is done; where one never does (seen with Prefect 3.8, the server there), the process of a run whose end the
server knows long ago stays, and with it its place among the runs of a worker. Here all services together get a minute,
and a moment each.
"""

import sys
import time
from collections.abc import Awaitable
from concurrent.futures import TimeoutError as NotDoneError
from typing import Any, TypeVar

from prefect._internal.concurrency.event_loop import get_running_loop
from prefect._internal.concurrency.services import _QueueServiceBase

PATIENCE_SECONDS = 60.0
"""A server that is busy takes its last messages within seconds. One that is restarting is waited for while a run works;
what is left at its end is lines of the log that the worker's log holds, too."""

LEAST_SECONDS = 5.0
"""For a service whose turn comes when that is over: it had all the time before, and has only to say so."""

Item = TypeVar("Item")


class _Exit:
    """When the waiting ends; from the first service on."""

    deadline: float | None = None

    @classmethod
    def remaining_seconds(cls) -> float:
        if cls.deadline is None:
            cls.deadline = time.monotonic() + PATIENCE_SECONDS
        return max(LEAST_SECONDS, cls.deadline - time.monotonic())


def bound_last_messages() -> None:
    """Let this process end although one of Prefect's services does not; may be called again."""
    if _QueueServiceBase.drain is not _drain:
        _QueueServiceBase.drain = _drain  # type: ignore[assignment, method-assign]


_drain_unbounded = _QueueServiceBase.drain


def _drain(service: _QueueServiceBase[Item], at_exit: bool = False) -> bool | Awaitable[bool]:
    """Stop a service and wait until it is done: at exit for so long, else as Prefect does."""
    if not at_exit or get_running_loop() is not None:
        return _drain_unbounded(service, at_exit)
    try:
        return service._drain(at_exit=True).result(_Exit.remaining_seconds())
    except NotDoneError:
        _tell(service)
        return False


def _tell(service: _QueueServiceBase[Any]) -> None:
    """Say on standard error what is left: no logger works any more."""
    if sys.stderr is None:
        return
    waiting = sum(item is not None for item in tuple(service._queue.queue))
    unsent = f"{waiting} more messages wait" if waiting else "no more messages wait"
    late = f"Prefect's {type(service).__name__} has not sent its last message within {PATIENCE_SECONDS:g} s"
    sys.stderr.write(f"{late} ({unsent}): the process ends without it.\n")
    sys.stderr.flush()
