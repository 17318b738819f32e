"""Runs of the whole flow in processes of their own, that can be killed at a chosen moment.

Every run is `coder-eval run` in a process group of its own, forked from a process that has imported torch and Prefect
already (multiprocessing's forkserver): a run then starts in a fraction of a second instead of seven, and a hundred of
them are affordable. All use one Prefect server. A run is killed from outside at a time, or kills itself at its n-th
write: an audit hook sees every file that is opened for writing, renamed, linked or removed in the store, and SIGKILL
comes right before that happens.
"""

import errno
import itertools
import multiprocessing
import os
import random
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

PRELOADED = [
    "flows.coder_eval",
    "flows.cli",
    "coder_core.encoders.open_clip_encoder",
    "coder_core.report.summary",
    "open_clip",
]
_PROCESSES = multiprocessing.get_context("forkserver")
_WRITING_FLAGS = os.O_WRONLY | os.O_RDWR
_CHANGES = frozenset({"os.rename", "os.link", "os.remove"})
"""Audit events beside `open`: see "Audit events table" in Python's library reference."""
QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}


class RunCommand(NamedTuple):
    """One run to be started.

    Attributes:
        config: The evaluation's file.
        store: Root of the store, a folder.
        log: Where its output goes.
        environment: Settings added to the environment.
        kill_at_write: The run kills itself right before this write to the store, counted from 1; None: never.
        failing: What goes wrong in it.
    """

    config: Path
    store: Path
    log: Path
    environment: Mapping[str, str]
    kill_at_write: int | None = None
    failing: "Failing | None" = None


class Failing(NamedTuple):
    """Files that cannot be read or written for a moment.

    Attributes:
        folder: Only below this one.
        share: Of all files opened, renamed, linked and removed, at random.
        seed: Decides which.
    """

    folder: Path
    share: float
    seed: int


class RunOutcome(NamedTuple):
    """How a run ended.

    Attributes:
        exit_code: 0, the command's exit status, or minus the signal's number.
        seconds: From the first line of the command to the end of the process.
        writes: Writes to the store; None for a killed run.
    """

    exit_code: int
    seconds: float
    writes: int | None

    @property
    def is_killed(self) -> bool:
        """Whether SIGKILL ended it."""
        return self.exit_code == -signal.SIGKILL


class WriteCounter:
    """An audit hook that counts writes below a folder, and kills its process group right before a chosen one."""

    def __init__(self, folder: Path, kill_at: int | None) -> None:
        self.count = 0
        self._folder = f"{folder}/"
        self._kill_at = kill_at
        self._numbers = itertools.count(1)  # one step of the interpreter: several threads write

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Look at one audit event."""
        is_write = event in _CHANGES or (event == "open" and arguments[2] & _WRITING_FLAGS)
        if not is_write or not str(arguments[0]).startswith(self._folder):
            return
        self.count = next(self._numbers)
        if self.count == self._kill_at:
            os.killpg(os.getpid(), signal.SIGKILL)


class FailingFiles:
    """An audit hook that makes a share of what is done with files fail, as a disk or a network at its end does."""

    def __init__(self, failing: Failing) -> None:
        self._folder = f"{failing.folder}/"
        self._share = failing.share
        self._random = random.Random(failing.seed)  # noqa: S311 - no secret

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Look at one audit event.

        Raises:
            OSError: This one fails: an audit hook that raises ends what it was asked about.
        """
        if event not in _CHANGES and event != "open":
            return
        if str(arguments[0]).startswith(self._folder) and self._random.random() < self._share:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(arguments[0]))


class StartedRun:
    """A run that is going, or has ended."""

    def __init__(self, command: RunCommand) -> None:
        self._receiver, sender = _PROCESSES.Pipe(duplex=False)
        self._process = _PROCESSES.Process(target=_run, args=(command, sender))
        self._process.start()
        sender.close()
        self._receiver.recv()
        self._started = time.monotonic()

    def wait(self, seconds: float | None = None) -> None:
        """Wait for its end, at most for some seconds."""
        self._process.join(seconds)

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to its process group, unless it has ended."""
        if self._process.is_alive() and self._process.pid is not None:
            os.killpg(self._process.pid, number)

    def outcome(self) -> RunOutcome:
        """Wait for the end and tell how it was."""
        try:
            writes: int | None = self._receiver.recv()
        except EOFError:  # killed before it could say
            writes = None
        self._process.join()
        exit_code = self._process.exitcode
        return RunOutcome(-1 if exit_code is None else exit_code, time.monotonic() - self._started, writes)


def run_whole(command: RunCommand) -> RunOutcome:
    """Run and wait for the end.

    Raises:
        RuntimeError: It does not end with success.
    """
    outcome = StartedRun(command).outcome()
    if outcome.exit_code != 0:
        raise RuntimeError(f"a run ended with {outcome.exit_code}:\n{command.log.read_text()[-4000:]}")
    return outcome


def prepare_processes(api_url: str | None, home: Path) -> None:
    """Start the process that runs are forked from; its environment is theirs, whatever the caller's is later.

    Args:
        api_url: The Prefect server of all runs; None where they need none.
        home: Prefect's folder for them.
    """
    settings = {**QUIET, "PREFECT_HOME": str(home)} | ({"PREFECT_API_URL": api_url} if api_url else {})
    with _environment(settings):
        _PROCESSES.set_forkserver_preload(PRELOADED)
        forkserver.ensure_running()


@contextmanager
def _environment(settings: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    for name in [name for name in before if name.startswith(("PREFECT_", "CODER_"))]:
        del os.environ[name]
    os.environ.update(settings)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _run(command: RunCommand, sender: "Connection[Any, Any]") -> None:
    """The child: `coder-eval run` in a process group of its own."""
    os.setsid()
    log = os.open(command.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.update(command.environment)
    counter = WriteCounter(command.store, command.kill_at_write)
    sys.addaudithook(counter)
    if command.failing is not None:
        sys.addaudithook(FailingFiles(command.failing))
    from flows.cli import main

    signal.signal(signal.SIGINT, signal.SIG_DFL)  # as the console script does: see flows/program.py
    sender.send(None)
    try:
        main(["run", str(command.config), "--store", str(command.store)], prog_name="coder-eval")
    finally:
        sender.send(counter.count)
