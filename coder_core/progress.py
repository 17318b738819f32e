"""Progress of long steps: a bar on a terminal, elsewhere a line every 15 seconds or so, with rate and time left.

What is counted is done and on its way to the store; who ends a command asks how far it was (`describe_progress`).
"""

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context

from tqdm import tqdm

__all__ = ["LOG_EVERY_SECONDS", "Progress", "describe_progress", "track"]

LOG_EVERY_SECONDS = 12.0
"""With the seconds between two looks, a log is silent for 15 seconds at most, whatever the work is."""

_TICK_SECONDS = 3.0

logger = logging.getLogger(__name__)

_open: list["Progress"] = []
_broken_off: list[str] = []
_lock = threading.Lock()
_ticker: list[threading.Thread] = []


def _nothing() -> str:
    return ""


class Progress:
    """Counts what is done of a total and shows it. Safe to advance from any thread.

    Args:
        label: What is done, e.g. `classifying`.
        total: Units in all; None where nobody knows before the end.
        unit: What is counted, e.g. `images`.
        note: Says more about the work when it is shown, e.g. how busy a device is; empty for nothing.
    """

    def __init__(self, label: str, total: int | None, unit: str, note: Callable[[], str] = _nothing) -> None:
        self.label, self.total, self.unit, self._note = label, total, unit, note
        self.done = 0
        self._context = copy_context()
        self._started = self._shown = time.monotonic()
        self._bar = tqdm(total=total, desc=label, unit=f" {unit}", leave=False) if sys.stderr.isatty() else None

    def __str__(self) -> str:
        of = "" if self.total is None else f" of {self.total:,}"
        return f"{self.label}: {self.done:,}{of} {self.unit}"

    def advance(self, count: int) -> None:
        """Add to what is done."""
        self.done += count
        if self._bar is not None:
            self._bar.set_postfix_str(self._note(), refresh=False)
            self._bar.update(count)
        else:
            self.show_when_due()

    def show_when_due(self) -> None:
        """Write a line where the last one is too old."""
        now = time.monotonic()
        with _lock:
            is_due = self._bar is None and now - self._shown >= LOG_EVERY_SECONDS
            self._shown = now if is_due else self._shown
        if is_due:
            note = self._note()
            more = f" ({note})" if note else ""
            logger.info("%s%s%s", str(self), self._pace(now - self._started), more)

    def tick(self) -> None:
        """The same from another thread, in the log of the run that the work belongs to."""
        self._context.run(self.show_when_due)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()

    def _pace(self, seconds: float) -> str:
        if not self.done or seconds <= 0:
            return ""
        rate = self.done / seconds
        told = f", {rate:,.{0 if rate >= 10 else 1}f} a second"
        if self.total is None:
            return told
        return f"{told}, {_duration(max(0, self.total - self.done) / rate)} left"


@contextmanager
def track(label: str, *, total: int | None, unit: str, note: Callable[[], str] = _nothing) -> Iterator[Progress]:
    """Show the progress of a block, see `Progress`; silent when there is nothing to do."""
    progress = Progress(label, total, unit, note)
    with _lock:
        _open.append(progress)
    _start_ticker()
    try:
        yield progress
    except BaseException:
        with _lock:
            _broken_off.extend([str(progress)] if progress.done or progress.total is not None else [])
        raise
    finally:
        with _lock:
            _open.remove(progress)
        progress.close()


def describe_progress() -> list[str]:
    """How far the work of this process is, or was when it was broken off: a line for each kind of work."""
    with _lock:
        return list(dict.fromkeys([*_broken_off, *map(str, _open)]))


def _start_ticker() -> None:
    """Have somebody look at the clock while a unit of work takes long; nobody is needed on a terminal."""
    with _lock:
        if sys.stderr.isatty() or (_ticker and _ticker[0].is_alive()):
            return
        _ticker[:] = [threading.Thread(target=_tick, daemon=True, name="progress")]
        _ticker[0].start()


def _tick() -> None:
    while True:
        time.sleep(_TICK_SECONDS)
        with _lock:
            found = list(_open)
            if not found:
                _ticker.clear()
                return
        for progress in found:
            progress.tick()


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"
