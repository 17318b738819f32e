"""A Prefect server for one command: started behind `own_pages`, and gone with the process that asked for it.

Prefect would start one itself, in the process group of the command: there Ctrl-C ends it first, and the run then tries
for minutes to tell it so. This one is in a session of its own, hears nothing of Ctrl-C, and ends when this process
does, however that ends: its standard input is a pipe that nobody else holds.
"""

import atexit
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import IO
from urllib.parse import urlsplit

from coder_core.errors import ServiceError
from service.own_pages import own_pages_environment
from service.processes import last_words

STOP_SECONDS = 3.0
"""For a server to end that is asked to; it is killed then."""

_LOOPBACK = "127.0.0.1"
_LOOK_SECONDS = 0.1


class TemporaryServer:
    """A server that lives as long as this process, at most."""

    def __init__(self) -> None:
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the server
        with socket.create_server((_LOOPBACK, 0)) as bound:
            self.api_url = f"http://{_LOOPBACK}:{bound.getsockname()[1]}/api"
            self._process = self._start(bound)

    def wait(self, seconds: float) -> None:
        """Wait until it answers, for so long at most.

        Raises:
            ServiceError: It does not.
        """
        deadline = time.monotonic() + seconds
        while not self._answers():
            if self._process.poll() is not None:
                raise self._failure(f"it ended with status {self._process.returncode}")
            if time.monotonic() > deadline:
                self.stop()
                raise self._failure(f"it does not answer after {seconds:.0f} s")
            time.sleep(_LOOK_SECONDS)

    def stop(self) -> None:
        """End it."""
        if self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _start(self, bound: socket.socket) -> "subprocess.Popen[bytes]":
        number = str(bound.fileno())
        return subprocess.Popen(  # noqa: S603 - our own words
            [sys.executable, "-P", "-m", "service.guarded_server", "--temporary", "--socket", number],
            env={**os.environ, **_environment(self.api_url)},
            pass_fds=[bound.fileno()],
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def _answers(self) -> bool:
        import httpx

        try:
            return httpx.get(f"{self.api_url}/health", timeout=5.0, trust_env=False).is_success
        except httpx.HTTPError:
            return False

    def _failure(self, why: str) -> ServiceError:
        self._log.seek(0)
        said = last_words(self._log.read().decode(errors="replace"))
        problem = f"Prefect's temporary server does not start: {why}{f' ({said:.200})' if said else ''}."
        return ServiceError(problem, "--engine prefect", "Run again, or use --engine inline.")


_running: list[TemporaryServer] = []


def start_temporary_server(seconds: float, meanwhile: Callable[[], object] | None = None) -> TemporaryServer:
    """The temporary server of this process: started now, unless it runs.

    It is stopped when the process ends, after Prefect's own farewells, which are registered later and called earlier.

    Args:
        seconds: For it to answer: a fresh database takes 9 s on two idle cores, more on busy ones.
        meanwhile: What this process can do until then.

    Raises:
        ServiceError: It does not start.
    """
    if not _running:
        server = TemporaryServer()
        atexit.register(server.stop)
        if meanwhile is not None:
            meanwhile()
        server.wait(seconds)
        _running.append(server)
    return _running[0]


def _environment(api_url: str) -> dict[str, str]:
    port = str(urlsplit(api_url).port)
    quiet = {"PREFECT_SERVER_UI_ENABLED": "false", "PREFECT_SERVER_LOGGING_LEVEL": "ERROR"}
    return {**own_pages_environment(port), **quiet}
