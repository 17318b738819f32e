"""`coder-eval serve` as a user starts it: a process of its own, with a folder, a port and a store of its own."""

import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil

from tests.fixtures_deployment import PROJECT, Deployed, free_port, kill_all, processes_of, user_environment

SERVE = [sys.executable, "-m", "flows.cli", "serve"]
ENDING_SECONDS = 120.0
"""For runs, worker and server to end on a busy machine."""


class Served:
    """One folder in which `serve` is started, maybe several times.

    Args:
        home: PREFECT_HOME; the store lies in it, too.
        folder: Where the command is typed.
        packages: Where its code is, before the project's own; default: the project's own.
    """

    def __init__(self, home: Path, *, folder: Path = PROJECT, packages: Path | None = None) -> None:
        port = free_port()
        environment = user_environment(home, port)
        del environment["PREFECT_API_URL"]  # commands find the server of `serve` by themselves
        environment["PREFECT_SERVER_API_PORT"] = port
        if packages is not None:
            environment["PYTHONPATH"] = str(packages)
        self.home, self.log, self.folder = home, home / "serve.log", folder
        self.place = Deployed(environment, f"http://127.0.0.1:{port}/api", home / "store")

    def start(self) -> None:
        """Start it and wait until it is ready."""
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                SERVE, cwd=self.folder, env=self.place.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self.place.wait_until(lambda: self._is_ready() or None)
        self.place.pause_schedules()

    @property
    def told(self) -> str:
        """All that it has printed."""
        return self.log.read_text()

    def find_part(self, name: str) -> psutil.Process:
        """The process of the server or of the worker."""
        module = {"server": "service.guarded_server", "worker": "service.worker"}[name]
        for pid in processes_of(self.home):
            with suppress(psutil.NoSuchProcess):  # the process of a run that has ended meanwhile
                process = psutil.Process(pid)
                if process.cmdline()[1:3] == ["-m", module]:
                    return process
        raise AssertionError(f"there is no {name}: {self.place.account()}")

    def end(self, number: signal.Signals) -> int:
        """Send a signal and wait; gives the exit status."""
        self._process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Wait until it has ended; gives the exit status."""
        return self._process.wait(ENDING_SECONDS)

    def kill_all(self) -> None:
        """End whatever a failed test has left."""
        self._process.kill()
        kill_all(self.home)

    def _is_ready(self) -> bool:
        assert self._process.poll() is None, self.told
        return "Ready." in self.told
