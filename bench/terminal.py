"""A command in a terminal of its own, in which keys can be pressed."""

import os
import pty
import select
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil

PROJECT = Path(__file__).parents[1]
CTRL_C = b"\x03"
PATIENCE_SECONDS = 240.0
"""For a command to come to what is waited for, or to its end."""


class Ended(NamedTuple):
    """How a command ended after a signal.

    Attributes:
        status: Exit status; minus the number of a signal that ended it.
        seconds: From the signal to the end.
        slowness: Seconds of life per second of processor until the signal: 1 on a machine that does nothing else.
        told: All that it has printed.
        left: Processes that it had started and that outlive it.
    """

    status: int
    seconds: float
    slowness: float
    told: str
    left: list[int]


class Terminal:
    """A command in a terminal of its own.

    Args:
        arguments: Of `coder-eval`.
        environment: Of the command.
    """

    def __init__(self, arguments: tuple[str, ...], environment: Mapping[str, str]) -> None:
        self.told = ""
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:  # this is the command's process now
            os.chdir(PROJECT)
            os.execve(sys.executable, [sys.executable, "-m", "flows.cli", *arguments], dict(environment))  # noqa: S606

    def wait_for(self, words: str) -> bool:
        """Wait until it has printed something; False when it ends before that."""
        return self.wait_until(lambda: words in self.told)

    def wait_until(self, has_come: Callable[[], bool]) -> bool:
        """Wait until something is so; False when the command ends before that.

        Raises:
            TimeoutError: It does neither.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not has_come():
            if time.monotonic() > deadline:
                raise TimeoutError(self.told)
            if not self._read():
                return has_come()
        return True

    def stop(self, *keys: bytes | signal.Signals) -> Ended:
        """Press keys or send signals, one after the other, and wait for the end.

        Raises:
            TimeoutError: It does not end.
        """
        command = psutil.Process(self.pid)
        children, times = command.children(recursive=True), command.cpu_times()
        slowness = (time.time() - command.create_time()) / (times.user + times.system)
        started = time.monotonic()
        for key in keys:
            if isinstance(key, bytes):
                os.write(self._terminal, key)
            else:
                os.kill(self.pid, key)
            self._read()
        status = self.end()
        seconds = time.monotonic() - started
        _, left = psutil.wait_procs(children, timeout=5)
        return Ended(status, seconds, slowness, self.told, [child.pid for child in left])

    def end(self) -> int:
        """Read to the end, and give the exit status."""
        self.wait_until(lambda: False)
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self._terminal)
        return status

    def _read(self) -> bool:
        """Read what there is, for a second at most; False at the end."""
        if not select.select([self._terminal], [], [], 1.0)[0]:
            return True
        with suppress(OSError):  # Linux: the terminal is gone with the last process that had it
            if part := os.read(self._terminal, 65_536):
                self.told += part.decode(errors="replace")
                return True
        return False
