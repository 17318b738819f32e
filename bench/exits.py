"""Does a process end as it should, every time? `coder-eval texts generate` against a loopback server, many times.

    python -m bench.exits [--runs 200] [--classes 12]

A library that still gives a buffer back while the interpreter ends aborts the process ("terminate called without an
active exception", exit status 134): after the work is done, in some runs only. So the same command is started again and
again, each time as a process of its own: even runs buy all texts into a fresh store, odd ones find them there and read
Parquet. Prints how often each exit status was seen and ends with 1 where it was not always 0.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import yaml

from tests.coder_core.atg.llm_server import LlmServer, serving
from tests.fixtures_inputs import write_image_class, write_tiny_clip

TIMEOUT_SECONDS = 300.0
OUTPUT_CHARACTERS = 300
REPORT_EVERY = 20


def main() -> None:
    """Parse the sizes, run, print, judge."""
    parser = argparse.ArgumentParser(description="How often `texts generate` ends by another status than 0.")
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--classes", type=int, default=12)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="coder-exits-"))
    try:
        seen = run_all(folder, given.runs, given.classes)
    finally:
        shutil.rmtree(folder)
    for status, count in sorted(seen.items()):
        print(f"exit status {status}: {count} of {given.runs} runs")
    sys.exit(0 if set(seen) == {0} else 1)


def run_all(folder: Path, runs: int, classes: int) -> Counter[int]:
    """Run the command that often, one after the other; counts exit statuses (a signal counts as minus its number)."""
    config = write_config(folder, classes)
    seen: Counter[int] = Counter()
    started = time.monotonic()
    with serving(LlmServer()) as server:
        environment = {**os.environ, "CODER_LLM_BASE_URL": server.url, "DO_NOT_TRACK": "1"}
        for number in range(runs):
            store = folder / f"store-{number // 2}"
            ended = run_once(config, store, environment)
            seen[ended.returncode] += 1
            if ended.returncode != 0:
                print(f"run {number}: {ended.returncode}: {ended.stderr[-OUTPUT_CHARACTERS:]}", flush=True)
            if number % 2:
                shutil.rmtree(store, ignore_errors=True)
            if (number + 1) % REPORT_EVERY == 0:
                print(f"{number + 1} runs, {seen[0]} ended with 0", flush=True)
    print(f"{runs} runs of {classes} classes in {time.monotonic() - started:.0f} s")
    return seen


def run_once(config: Path, store: Path, environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """Start the command, and wait for its end."""
    command = [sys.executable, "-m", "flows.program", "texts", "generate", str(config), "--store", str(store)]
    return subprocess.run(  # noqa: S603 (our own program)
        command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
    )


def write_config(folder: Path, classes: int) -> Path:
    """An evaluation of a few classes whose texts a language model writes."""
    for number in range(classes):
        write_image_class(folder / "images", f"thing {number}", 1)
    checkpoint = folder / "clip"
    checkpoint.mkdir()
    settings = {
        "name": "exits",
        "dataset": {"kind": "folder", "path": str(folder / "images")},
        "encoder": {"kind": "open_clip", "checkpoint": str(write_tiny_clip(checkpoint))},
        "texts": {"generator": {"model": "test-model", "max_similarity": 1.0}},
    }
    config = folder / "exits.yaml"
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return config


if __name__ == "__main__":
    main()
