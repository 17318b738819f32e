"""Environments of other tools, one each: they are no dependencies of ours, and do not agree with each other.

`--shared` puts a folder of site-packages at the end of each environment's path, so that torch, which has 5 GB, is not
installed once per peer: what a peer needs in another version it gets in its own environment. Who uses one of these
tools alone installs it as its documentation says.
"""

import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

PACKAGES: Mapping[str, tuple[str, ...]] = {
    "clip_benchmark": ("clip-benchmark>=1.6", "numpy<2.4", "requests"),
    "clip_retrieval": ("clip-retrieval>=2.45", "setuptools<81"),
    "daft": ("daft>=0.7",),
    "ray": ("ray[data]>=2.50",),
    "mteb": ("mteb>=2",),
}
"""What each needs besides: CLIP_benchmark 1.6.2 makes a number of an array of one, which numpy 2.4 refuses,
and imports requests without asking for it;
clip-retrieval's clip-anytorch imports pkg_resources, which setuptools 81 lacks."""
SHOWN = 2_000
"""Characters of a failed command's last words."""


class Environment(NamedTuple):
    """A peer's Python, or why there is none."""

    name: str
    python: Path
    problem: str | None = None

    def script(self, name: str) -> str:
        """A console script of the environment."""
        return str(self.python.parent / name)


def make_environment(root: Path, name: str, shared: Path | None) -> Environment:
    """Install a peer, unless it was installed into this folder before."""
    folder = root / name
    python = folder / "bin" / "python"
    installed = folder / "installed.txt"
    wanted = "\n".join(PACKAGES[name])
    if installed.is_file() and installed.read_text() == wanted:
        return Environment(name, python)
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)  # noqa: S603 (our own words)
    if shared is not None:
        site = next((folder / "lib").glob("python*/site-packages"))
        (site / "zz_shared.pth").write_text(f"{shared.absolute()}\n")
    command = [str(python), "-m", "pip", "install", "--quiet", *PACKAGES[name]]
    found = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (our own words)
    if found.returncode:
        return Environment(name, python, f"pip: {found.stderr[-SHOWN:].strip()}")
    installed.write_text(wanted)
    return Environment(name, python)


class Took(NamedTuple):
    """What a command took, with the processes that it started and waited for."""

    seconds: float
    cpu_seconds: float


def run_timed(command: Sequence[str], *, cwd: Path, environment: Mapping[str, str]) -> Took:
    """Run a whole command.

    Raises:
        RuntimeError: It failed; with its last words.
    """
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    found = subprocess.run(  # noqa: S603 (our own words)
        list(command), cwd=cwd, env=dict(environment), capture_output=True, text=True, check=False
    )
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if found.returncode:
        raise RuntimeError(f"{command[0]} ended with {found.returncode}: {(found.stdout + found.stderr)[-SHOWN:]}")
    return Took(seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def middle(takes: Sequence[Took]) -> Took:
    """Medians of some rounds."""
    return Took(median(took.seconds for took in takes), median(took.cpu_seconds for took in takes))
