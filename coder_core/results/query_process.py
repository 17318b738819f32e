"""A process of its own for questions, which can be killed: by a limit of time, by Ctrl-C, by anything.

It is started while the store is being listed, and one that has answered is kept for the next question for a while. It
is given an environment without credentials, and reads no file of the store by itself (`query_messages`).
"""

import atexit
import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import Pipe
from pathlib import Path
from typing import Any

from coder_core.errors import QueryError
from coder_core.results.query_messages import decode_answer, encode

_PROGRAM = "import sys; from coder_core.results.query_child import main; main(int(sys.argv[1]))"
_PASSED_ON = ("LANG", "LC_ALL", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PATH", "PYTHONHOME", "SYSTEMROOT", "TZ")
"""All that the process sees of the environment."""
POLL_SECONDS = 0.5
"""How often it is looked whether the process is still alive."""
ANSWERED = frozenset({"done", "no database", "refused"})
"""Messages after which the process is ready for the next question."""


class QueryProcess:
    """A process that answers one question after another. For one thread at a time."""

    def __init__(self) -> None:
        self._connection, theirs = Pipe()
        with theirs:
            environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
            package_root = str(Path(__file__).parents[2])
            environment["PYTHONPATH"] = os.pathsep.join([package_root, *(entry for entry in sys.path if entry)])
            self._process = subprocess.Popen(  # noqa: S603 (our own program)
                [sys.executable, "-P", "-c", _PROGRAM, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=environment,
                start_new_session=True,  # Ctrl-C is for the process that asks: it kills this one
            )
        self.started_by = os.getpid()
        self.is_ready = True

    @property
    def is_alive(self) -> bool:
        """Whether it can be asked."""
        return self._process.poll() is None

    def say(self, *message: Any) -> None:
        """Send a message.

        Raises:
            QueryError: The process has ended.
        """
        self.is_ready = False
        try:
            self._connection.send_bytes(encode(*message))
        except OSError as error:
            raise _ended() from error

    def hear(self, deadline: float) -> tuple[Any, ...] | None:
        """Wait for a message; None when the time (of `time.monotonic`) is over.

        Raises:
            QueryError: The process has ended, or says what no answer holds.
        """
        while not self._connection.poll(max(0.0, min(POLL_SECONDS, deadline - time.monotonic()))):
            if time.monotonic() >= deadline:
                return None
            if not self.is_alive:
                raise _ended()
        try:
            message = decode_answer(self._connection.recv_bytes())
            self.is_ready = message[0] in ANSWERED
        except Exception as error:  # (a broken answer may raise anything when it is unpickled)
            raise _ended() from error
        return message

    def kill(self) -> None:
        """End it, whatever it does."""
        if self.started_by == os.getpid():
            self._process.kill()
            self._process.wait()
        self._connection.close()


def _ended() -> QueryError:
    problem = "The engine that answers queries ended on this one: it needs too much memory, or hits a fault in DuckDB."
    return QueryError(problem, "SQL", "Narrow it down, or write it in another way.")


class _Spare:
    """The process that has answered last, kept for the next question; after `KEPT_SECONDS` it is ended."""

    KEPT_SECONDS = 30.0

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: QueryProcess | None = None
        self._timer: threading.Timer | None = None

    def prepare(self) -> None:
        """Start a process already, so that it gets ready while what is needed to ask it is being loaded."""
        with self._lock:
            self._process = self._process or QueryProcess()

    @contextlib.contextmanager
    def lend(self) -> Iterator[QueryProcess]:
        """Lend the spare process, or a new one; one that has not answered by the end of the block is killed."""
        process: QueryProcess | None = None
        try:  # before it is taken: Ctrl-C may come at any moment
            process = self.take()
            yield process
        finally:
            if process is not None and process.is_ready:
                self.put(process)
            elif process is not None:
                process.kill()

    def take(self) -> QueryProcess:
        """Return the spare process, or a new one."""
        with self._lock:
            process, self._process = self._process, None
        if process is not None and process.started_by == os.getpid() and process.is_alive:
            return process
        return QueryProcess()

    def put(self, process: QueryProcess) -> None:
        """Keep a process that has answered."""
        with self._lock:
            before, self._process = self._process, process
            if self._timer is not None:
                self._timer.cancel()
            self._timer = threading.Timer(self.KEPT_SECONDS, self.clear)
            self._timer.daemon = True
            self._timer.start()
        if before is not None:
            before.kill()

    def clear(self) -> None:
        """End the spare process."""
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(OSError):
                process.kill()


SPARE = _Spare()
atexit.register(SPARE.clear)
