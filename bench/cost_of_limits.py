"""What the limits cost: time and memory of commands here, and in an older checkout, one after the other.

    python bench/cost_of_limits.py OLDER_CHECKOUT [--repeats 5]

`git worktree add OLDER_CHECKOUT COMMIT` makes one; it runs in this environment, as far as it still does. Each command
is a process of its own in that folder; its seconds of processor and its memory are those of the largest of its
processes and of all it waited for, as the kernel counts them. Medians of the repeats, the two checkouts in turn; the
first run, in an empty store, once less.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parents[1]
DEMO = "configs/flags.yaml"
QUESTION = "SELECT method, value FROM metrics WHERE metric = 'top1' ORDER BY ALL"


class Cost(NamedTuple):
    """What a command took."""

    seconds: float
    cpu_seconds: float
    megabytes: float


class Command(NamedTuple):
    """What is measured."""

    name: str
    arguments: tuple[str, ...]
    is_first_run: bool = False


def commands(store: str) -> list[Command]:
    """The commands, in an order in which each finds what it needs."""
    return [
        Command("`--help`", ("--help",)),
        Command("first run of the demonstration", ("run", DEMO, "--engine", "inline", "--store", store), True),
        Command("the same again", ("run", DEMO, "--engine", "inline", "--store", store)),
        Command("`check`", ("check", DEMO, "--store", store)),
        Command("`query`", ("query", QUESTION, "--store", store)),
    ]


def measure(checkout: Path, arguments: tuple[str, ...]) -> Cost | None:
    """Run a command; None where it fails, because that checkout does not know it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "CODER_"))}
    own = {**kept, "PYTHONPATH": str(checkout), "CODER_DEVICE": "cpu"}
    command = [sys.executable, "-m", "flows.cli", *arguments]
    with tempfile.TemporaryFile() as told:
        process = subprocess.Popen(command, cwd=checkout, env=own, stdout=told, stderr=told)  # noqa: S603
        start = os.times().elapsed
        _, status, usage = os.wait4(process.pid, 0)
        seconds = os.times().elapsed - start
        process.returncode = os.waitstatus_to_exitcode(status)
    return None if process.returncode else Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def median(costs: list[Cost | None]) -> str:
    """Medians of what succeeded, as cells of a table."""
    found = [cost for cost in costs if cost is not None]
    if not found:
        return "- | - | -"
    seconds, cpu, memory = (statistics.median(column) for column in zip(*found, strict=True))
    return f"{seconds:.2f} | {cpu:.2f} | {memory:,.0f}"


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("older", type=Path, help="a checkout of an older commit")
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    checkouts = [asked.older.resolve(), HERE]
    print("| | s before | CPU s | MB | s now | CPU s | MB |\n|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="cost-") as folder:
        stores = [str(Path(folder, name)) for name in ("before", "now")]
        for before, now in zip(*map(commands, stores), strict=True):
            costs: list[list[Cost | None]] = [[], []]
            for _ in range(2 if before.is_first_run else asked.repeats):
                for own, checkout, store, command in zip(costs, checkouts, stores, (before, now), strict=True):
                    if command.is_first_run:
                        shutil.rmtree(store, ignore_errors=True)
                    own.append(measure(checkout, command.arguments))
            print(f"| {before.name} | {median(costs[0])} | {median(costs[1])} |", flush=True)


if __name__ == "__main__":
    main()
