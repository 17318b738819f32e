"""Processes that `serve` starts, and the certainty that none of them is left.

Prefect starts each flow run in a session of its own, so neither a process group nor a parent leads from `serve` to all
that it caused: a run whose worker was killed belongs to nobody. What every descendant keeps is its environment. So each
part of the service is marked there, and whoever carries the mark is found and ended, whatever became of its parents.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

MARK = "CODER_SERVE_PART"
"""Environment variable that names the part of the service a process belongs to."""

KEPT_LOG_BYTES = 10_000_000
"""A log that has grown beyond this is put aside as `.1` when its part is started again."""

LAST_CHARACTERS = 20_000
"""Of a log that is looked at for the reason of an end: a traceback, and what is said after it."""

_EXCEPTION = re.compile(r"(?:[a-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Warning|Exit)(?:: |$)")
"""The last line of a traceback."""

SWEEP_SECONDS = 0.5
"""For a marked process that is left over, between being asked to end and being killed."""


class Part:
    """One process of the service, in a session of its own: Ctrl-C reaches `serve` alone, which ends the rest in order.

    Args:
        name: For people and for the log's name.
        mark: Carried by all of its descendants.
        log: Where its output goes.
    """

    def __init__(self, name: str, mark: str, log: Path) -> None:
        self.name, self.mark, self.log = name, mark, log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start `python -m <arguments>`."""
        if self.log.exists() and self.log.stat().st_size > KEPT_LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own words
                [sys.executable, "-m", *arguments],
                env={**environment, MARK: self.mark},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def status(self) -> int | None:
        """Its exit status, None while it runs and before it is started."""
        return self._process.poll() if self._process else None

    @property
    def last_words(self) -> str:
        """The line of its log that says why it has ended."""
        if not self.log.exists():
            return ""
        return last_words(self.log.read_text(encoding="utf-8", errors="replace")[-LAST_CHARACTERS:])

    def kill(self) -> None:
        """End it at once; `stop` then ends what it leaves behind."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()

    def stop(self, seconds: float) -> None:
        """Ask it to end, wait, kill it; then whatever carries its mark."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        end_marked(self.mark, SWEEP_SECONDS if seconds > 0 else 0.0)


def last_words(log: str) -> str:
    """The line of a log that says why a program has ended: that of its last exception, else the last one at all.

    Args:
        log: All of it, or its end.
    """
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if _EXCEPTION.match(line)]
    return next(reversed(errors or lines), "")


def end_processes(processes: Sequence[psutil.Process], seconds: float) -> None:
    """Ask processes to end, and kill those that have not after so long."""
    for process in processes:
        _end(process, is_killed=False)
    _, left = psutil.wait_procs(processes, timeout=seconds)
    for process in left:
        _end(process, is_killed=True)


def find_marked(mark: str) -> list[psutil.Process]:
    """Every living process that carries a mark, except this one."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(MARK) == mark and _lives(process):
                found.append(process)
        except (psutil.Error, OSError):  # it has ended meanwhile, or belongs to somebody else
            continue
    return found


def end_marked(mark: str, seconds: float) -> None:
    """Ask every process that carries a mark to end, and kill those that do not; repeat until there is none."""
    deadline = time.monotonic() + seconds
    while left := find_marked(mark):
        is_late = time.monotonic() >= deadline
        for process in left:
            _end(process, is_killed=is_late)
        psutil.wait_procs(left, timeout=max(0.2, deadline - time.monotonic()))


def _lives(process: psutil.Process) -> bool:
    return process.status() != psutil.STATUS_ZOMBIE


def _end(process: psutil.Process, *, is_killed: bool) -> None:
    try:
        process.kill() if is_killed else process.terminate()
    except psutil.NoSuchProcess:
        return
