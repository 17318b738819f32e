"""One Ctrl-C ends a command: within five seconds everything is stopped, and one line says what is kept.

The exception that ends the command in order may come late: a batch takes long, a thread waits for a server. So a clock
runs beside it, and what has not ended when the time is up is ended hard: the store takes a kill -9 at any time. A
second Ctrl-C does not wait. SIGTERM and a closed terminal are treated alike.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from coder_core.stop_signals import StopSignal, heeded_signals, stop_signals_raise
from flows.cli_logging import note_line

GRACE_SECONDS = 3.5
"""From the signal to the hard end; the rest of the five seconds is for a busy machine."""

_NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "the closed terminal"}


def exit_status(number: int) -> int:
    """The exit status of a process that a signal has ended, as shells count: 130 for Ctrl-C, 143 for SIGTERM."""
    return 128 + number


@contextmanager
def stoppable(farewell: Callable[[str], str]) -> Iterator[None]:
    """Let a command be stopped by a signal; ends the process with the signal's status.

    Args:
        farewell: Gives the one line that is printed, of the signal's name.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    stop = _Stop(farewell)
    with stop_signals_raise(stop.hear):
        try:
            yield
        except StopSignal as signalled:
            stop.wait(signalled.number)
        except BaseException:
            if stop.number is None:
                raise
    if stop.number is not None:
        stop.say()
        stop.end_hard_at_the_next_signal()
        sys.exit(exit_status(stop.number))


class _Stop:
    """What is known about the stop, and the clock that runs since it was asked for."""

    def __init__(self, farewell: Callable[[str], str]) -> None:
        self.number: int | None = None
        self._farewell = farewell
        self._is_heard = threading.Event()
        self._lock = threading.Lock()
        self._is_said = False

    def hear(self, number: int) -> None:
        """A signal has come; the second Ctrl-C ends at once (Prefect sends a SIGTERM again to itself)."""
        if self.number is None:
            self.number = number
            self._is_heard.set()
            clock = threading.Timer(GRACE_SECONDS, self._end_hard)
            clock.daemon = True
            clock.start()
        elif number != signal.SIGTERM:
            self._end_hard()

    def wait(self, number: int) -> None:
        """The exception is here; the thread that hears of signals may be a moment behind it."""
        self._is_heard.wait(1.0)
        self.number = self.number or number

    def say(self) -> None:
        """Print the line, once."""
        with self._lock:
            if self._is_said or self.number is None:
                return
            self._is_said = True
            line = self._farewell(_NAMES[signal.Signals(self.number)])
            # Not through a stream: the thread that holds its lock may be the one that does not end.
            os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, f"{note_line(line)}\n".encode())

    def end_hard_at_the_next_signal(self) -> None:
        """What is left is the end of the process, where an exception would be told and not heeded."""
        for number in heeded_signals():
            signal.signal(number, lambda *_: self._end_hard())

    def _end_hard(self) -> None:
        self.say()
        _end_children()
        os._exit(exit_status(self.number or signal.SIGTERM))


def _end_children() -> None:
    import psutil

    for child in psutil.Process().children(recursive=True):
        try:
            child.kill()
        except psutil.Error:  # it has ended by itself
            continue


def describe_stop(name: str, store: str | None) -> str:
    """The line for a command that works on a store: what is kept, and how to go on.

    Args:
        name: Of the signal.
        store: Where the command writes; None for one that only reads.
    """
    from coder_core.progress import describe_progress

    stopped, where = f"Stopped by {name}.", "; ".join(describe_progress())
    if store is None:
        return f"{stopped} {where}." if where else stopped
    kept = f"What was finished is kept in {click.format_filename(store)}{f' ({where})' if where else ''}."
    return f"{stopped} {kept} The same command goes on from there."
