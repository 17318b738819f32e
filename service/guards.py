"""What `serve` needs of the machine before it starts: a free port, a folder of its own, and to be told when to stop."""

import fcntl
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TextIO

from coder_core.errors import ServiceError
from coder_core.stop_signals import heeded_signals


def check_free(host: str, port: int) -> None:
    """Refuse a port that something else listens on; a port that was just given up counts as free.

    Raises:
        ServiceError: It is taken.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            remedy = f"Take another: PREFECT_SERVER_API_PORT={port + 1} make serve"
            problem = f"the port is taken by something that is no Prefect server ({error.strerror})."
            raise ServiceError(problem, f"{host}:{port}", remedy) from error


@contextmanager
def only_one(home: Path) -> Iterator[TextIO]:
    """Hold the folder; the lock is gone with this process, however it ends.

    Raises:
        ServiceError: Another process holds it.
    """
    with (home / "serve.lock").open("w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            remedy = "Stop the other one (Ctrl-C there), or give this one its own PREFECT_HOME and port."
            raise ServiceError("serve runs here already.", str(home), remedy) from error
        yield lock


@contextmanager
def stop_signals(request_stop: Callable[[int], None]) -> Iterator[None]:
    """Call a function with the signal's number on Ctrl-C, SIGTERM and a closed terminal, within a block."""

    def ask(number: int, _frame: FrameType | None) -> None:
        request_stop(number)

    kept = {number: signal.signal(number, ask) for number in heeded_signals()}
    try:
        yield
    finally:
        for number, former in kept.items():
            signal.signal(number, former)
