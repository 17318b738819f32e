"""Ctrl-C, SIGTERM and a closed terminal end a command: what works is told by an exception, in the main thread.

That thread may be inside a matrix product, a download or an event loop, where an exception comes late or in the wrong
place. So somebody else may listen, too, and hears of the signal at once (`listener`); and an event loop takes the
signals over while it runs (`cancelled_by_signals`), ends its work in order, and lets them raise afterwards.
"""

import asyncio
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["SIGNALS", "StopSignal", "cancelled_by_signals", "heeded_signals", "stop_signals_raise"]

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Listener = Callable[[int], None]

_listeners: list[Listener] = []
_is_raised = threading.Event()


class StopSignal(KeyboardInterrupt):
    """The command is to end: no error, and like Ctrl-C nothing may take it for one.

    Args:
        number: Of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def stop_signals_raise(listener: Listener) -> Iterator[None]:
    """Let the first of the signals raise `StopSignal` in the main thread within a block, which is the main thread's.

    A second one would meet what cleans up after the first, and be told as an error of that: it is the listener's alone.

    Args:
        listener: Called with the number of every such signal as soon as it comes, by a thread of its own; the last one
            may call it after the block.
    """
    _is_raised.clear()
    heard, wakes = socket.socketpair()
    wakes.setblocking(False)
    threading.Thread(target=_listen, args=(heard, listener), daemon=True, name="stop signals").start()
    former = {number: signal.signal(number, _raise) for number in heeded_signals()}
    former_wakes = signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)
        signal.set_wakeup_fd(former_wakes)
        for number, handler in former.items():
            signal.signal(number, handler)
        wakes.close()


def heeded_signals() -> list[signal.Signals]:
    """The signals that are to end this process: all of them, but a closed terminal where `nohup` says otherwise."""
    return [number for number in SIGNALS if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN]


@contextmanager
def cancelled_by_signals(cancel: Callable[[], object]) -> Iterator[list[int]]:
    """Within a block of an event loop, let signals that would raise in its middle call a function instead.

    Args:
        cancel: Called at the first one.

    Yields:
        The signals that came; who runs the loop raises the first one when the loop has ended: `signal.raise_signal`.
    """
    told: list[int] = []
    taken = {number: handler for number in SIGNALS if _would_raise(number, handler := signal.getsignal(number))}
    if threading.current_thread() is not threading.main_thread() or not taken:
        yield told
        return

    def take(number: int) -> None:
        told.append(number)
        for listener in _listeners:
            listener(number)
        cancel()

    loop, wakes = asyncio.get_running_loop(), signal.set_wakeup_fd(-1)
    for number in taken:
        loop.add_signal_handler(number, take, number)
    try:
        yield told
    finally:
        for number, handler in taken.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)
        signal.set_wakeup_fd(wakes)


def _raise(number: int, _frame: FrameType | None) -> None:
    if not _is_raised.is_set():
        _is_raised.set()
        raise StopSignal(number)


def _would_raise(number: int, handler: object) -> bool:
    """Whether the signal is ours, or nobody's: asyncio takes care of Python's own Ctrl-C itself."""
    return handler is _raise or (handler is signal.SIG_DFL and number == signal.SIGTERM)


def _listen(heard: socket.socket, listener: Listener) -> None:
    with heard:
        while numbers := heard.recv(16):
            for number in numbers:
                if number in SIGNALS:
                    listener(number)
