"""A ledger of many small parts: what it costs to verify it, to read its keys, and to merge it.

    python bench/many_parts.py [--parts 20000 --rows 32 --dim 64]

Every part holds random vectors, as an append of a small run leaves them. `coder-eval store verify` and `compact` are
processes of their own; their memory is the most that each took. Keys are read by a ledger that has looked at no part
yet. Seconds are from start to end, and of the processor.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from coder_core.storage.embedding_ledger import EmbeddingLedger
from coder_core.storage.store import Store

ROOT = Path(__file__).parent.parent


def main() -> None:
    """Print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", type=int, default=20_000)
    parser.add_argument("--rows", type=int, default=32, help="of each part")
    parser.add_argument("--dim", type=int, default=64)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = Store(str(Path(folder, "store")))
        build(store, options.parts, options.rows, options.dim)
        show_size(store)
        run(store, "store", "verify")
        read_keys(store, options.dim)
        run(store, "store", "compact")
        show_size(store)
        read_keys(store, options.dim)


def build(store: Store, parts: int, rows: int, dim: int) -> None:
    """Append so many times."""
    ledger, rng = ledger_of(store, dim), np.random.default_rng(0)
    for part in range(parts):
        keys = [hashlib.sha256(f"{part} {row}".encode()).hexdigest() for row in range(rows)]
        ledger.append(keys, rng.standard_normal((rows, dim), dtype=np.float32), is_missing=True)


def ledger_of(store: Store, dim: int) -> EmbeddingLedger:
    """A ledger that knows nothing of its parts."""
    return EmbeddingLedger(store, "text_embeddings", "0" * 64, dim)


def show_size(store: Store) -> None:
    """Files and bytes."""
    sizes = [path.stat().st_size for path in Path(store.root).rglob("*") if path.is_file()]
    print(f"{len(sizes)} files, {sum(sizes) / 1e6:.0f} MB", flush=True)


def read_keys(store: Store, dim: int) -> None:
    """Read all keys, in this process."""
    started, worked = time.perf_counter(), time.process_time()
    count = len(ledger_of(store, dim).keys())
    seconds, worked = time.perf_counter() - started, time.process_time() - worked
    print(f"{count} keys read: {seconds:.1f} s ({worked:.1f} s of the processor)", flush=True)


def run(store: Store, *typed: str) -> None:
    """Run a command in a process of its own, which must end well."""
    program = [sys.executable, "-c", "from flows.cli import main; main()", *typed, "--store", store.root]
    started = time.perf_counter()
    process = subprocess.Popen(program, cwd=ROOT, stdout=subprocess.DEVNULL)  # noqa: S603 (our own program)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, typed
    seconds = time.perf_counter() - started
    spent = f"{seconds:.1f} s ({usage.ru_utime + usage.ru_stime:.1f} s of the processor)"
    print(f"coder-eval {' '.join(typed)}: {spent}, {usage.ru_maxrss / 1024:.0f} MB", flush=True)


if __name__ == "__main__":
    main()
