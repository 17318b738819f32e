"""What the limits cost: time and memory of commands here, and in an older checkout, one after the other.

    python bench/cost_of_limits.py OLDER_CHECKOUT [--repeats 5 --first-runs 1]

`git worktree add OLDER_CHECKOUT COMMIT` makes one; it runs in this environment, as far as it still does. Each command
is a process of its own in that folder, which finds an empty store; its seconds of processor are its own and those of
all processes that it waited for, its memory is that of the largest of them, as the kernel counts both. Medians of the
repeats, the two checkouts in turn. Seconds say something on an idle machine only.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parents[1]
DEMO = "configs/flags.yaml"
PREFECT = ("--engine", "prefect")
"""How the older command line ran everything, and had no option for."""


class Cost(NamedTuple):
    """What a command took."""

    seconds: float
    cpu_seconds: float
    megabytes: float


COMMANDS: dict[str, tuple[str, ...]] = {
    "`--help`": ("--help",),
    "`run --help`": ("run", "--help"),
    "`check`": ("check", DEMO),
    "`query`": ("query", "SELECT count(*) FROM metrics"),
}
FIRST_RUN = ("run", DEMO)


def measure(checkout: Path, arguments: Sequence[str]) -> Cost | None:
    """Run a command on an empty store; None where it fails, because that checkout does not know it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "CODER_"))}
    home = tempfile.mkdtemp(prefix="cost-")
    own = {**kept, "PYTHONPATH": str(checkout), "CODER_DEVICE": "cpu", "CODER_STORE": home, "PREFECT_HOME": home}
    command = [sys.executable, "-m", "flows.cli", *arguments]
    with tempfile.TemporaryFile() as told:
        process = subprocess.Popen(command, cwd=checkout, env=own, stdout=told, stderr=told)  # noqa: S603
        start = time.monotonic()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - start
        process.returncode = os.waitstatus_to_exitcode(status)
    shutil.rmtree(home)
    return None if process.returncode else Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def medians(costs: Sequence[Cost | None]) -> str:
    """Medians of what succeeded, as cells of a table."""
    found = [cost for cost in costs if cost is not None]
    if not found:
        return "- | - | -"
    seconds, cpu_seconds, megabytes = (statistics.median(column) for column in zip(*found, strict=True))
    return f"{seconds:.2f} | {cpu_seconds:.2f} | {megabytes:,.0f}"


def compare(name: str, older: Path, before: Sequence[str], now: Sequence[str], repeats: int) -> None:
    """Run a command in both checkouts in turn, and print a line."""
    pairs = [(measure(older, before), measure(HERE, now)) for _ in range(repeats)]
    print(f"| {name} | {medians([pair[0] for pair in pairs])} | {medians([pair[1] for pair in pairs])} |", flush=True)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("older", type=Path, help="a checkout of an older commit")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--first-runs", type=int, default=1, help="of the demonstration; 0 leaves them out")
    asked = parser.parse_args()
    older = asked.older.resolve()
    print("| | s before | CPU s | MB | s now | CPU s | MB |\n|---|---|---|---|---|---|---|")
    for name, arguments in COMMANDS.items():
        compare(name, older, arguments, arguments, asked.repeats)
    if asked.first_runs:
        compare("first run of the demonstration", older, FIRST_RUN, (*FIRST_RUN, *PREFECT), asked.first_runs)


if __name__ == "__main__":
    main()
