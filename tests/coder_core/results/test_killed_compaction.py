"""Compaction of results that is killed, or has company: every published run is visible exactly once."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

import pytest

from coder_core.results.result_tables import ResultTables
from coder_core.results.run_compaction import compact_results
from coder_core.results.warehouse import Warehouse
from coder_core.storage.store import PROBE_PREFIX, Store
from tests.coder_core.results.killing_filesystem import Death, dying, restore, snapshot
from tests.coder_core.results.result_rows import old_run, publish, publish_many
from tests.coder_core.results.store_state import ROWS, counts_of, plain_rows, wanted_files

pytestmark = pytest.mark.slow

NOW = timedelta(0)


@contextmanager
def killing_store(*, generations: int) -> Iterator[tuple[Store, dict[str, bytes]]]:
    """A store in memory on which processes die: runs that were compacted so many times, and three that were not."""
    restore({})
    store = Store("killing://disk/store")
    for number in range(generations):
        publish_many(store, 2, name=f"set-{number}")
        compact_results(store, grace=NOW if number == 0 else timedelta(hours=1))
    publish_many(store, 3)
    old_run(store, "old")
    yield store, snapshot()
    restore({})


@pytest.mark.parametrize("is_after", [pytest.param(False, marks=pytest.mark.slow), True], ids=["before", "after"])
@pytest.mark.parametrize("generations", [0, pytest.param(2, marks=pytest.mark.thorough)])
def test_killed_at_any_operation_nothing_is_lost_and_nothing_is_seen_twice(generations: int, is_after: bool) -> None:
    with killing_store(generations=generations) as (store, files):
        runs = ResultTables(store).published()
        rows, plain = Warehouse(store).query(ROWS).rows, dict.fromkeys(runs, 2) | {"old": 1}
        counts = ResultTables(store).row_counts()
        for at in range(1, 200):
            restore(files)
            with dying(Death(at, is_after=is_after)) as death:
                compact_results(store, grace=NOW)
            assert ResultTables(store).published() == runs
            assert ResultTables(store).row_counts() == counts
            assert Warehouse(store).query(ROWS).rows == rows
            assert ResultTables(store).read_manifest("flags-001") == b'{"run": "flags-001"}'
            assert counts_of(plain_rows(store)).keys() == plain.keys()
            for _ in range(3):
                compact_results(store, grace=NOW)
            assert counts_of(plain_rows(store)) == plain
            left = set(store.list()) - wanted_files(store)
            assert not [path for path in left if not path.startswith(PROBE_PREFIX)]
            if death.operations < at:
                return
        raise AssertionError("the compaction never ended")


COMPACT_FOR_EVER = """
import sys
from datetime import timedelta
from coder_core.results.run_compaction import compact_results
from coder_core.storage.store import Store
print("ready", flush=True)
while True:
    compact_results(Store(sys.argv[1]), grace=timedelta(milliseconds=300))
"""


def test_kill_9_while_runs_are_published_loses_no_run(disk_store: Store) -> None:
    expected: list[str] = []
    for number in range(4):
        command = [sys.executable, "-c", COMPACT_FOR_EVER, disk_store.root]
        with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
            assert process.stdout is not None
            process.stdout.readline()
            for at in range(6):
                expected.append(f"run-{number}-{at}")
                publish(disk_store, expected[-1])
                assert ResultTables(disk_store).is_published(expected[0])
            time.sleep(0.05 * number)
            os.kill(process.pid, signal.SIGKILL)
        assert ResultTables(disk_store).published() == sorted(expected)
    expected += publish_many(disk_store, 2)
    for _ in range(3):
        compact_results(disk_store, grace=NOW)
    assert counts_of(plain_rows(disk_store)) == dict.fromkeys(expected, 2)
    assert set(disk_store.list()) == wanted_files(disk_store)


def test_readers_writers_and_compactions_do_not_disturb_each_other(disk_store: Store) -> None:
    first = publish_many(disk_store, 6)
    is_over = time.monotonic() + 2

    def write(name: str) -> int:
        number = 0
        while time.monotonic() < is_over:
            publish(disk_store, f"{name}-{number}")
            number += 1
        return number

    def read(_name: str) -> int:
        asked = 0
        while time.monotonic() < is_over:
            seen = Counter(row[0] for row in Warehouse(disk_store).query(ROWS).rows)
            assert set(seen.values()) == {2}
            assert set(first) <= seen.keys()
            assert ResultTables(disk_store).read("metrics", first[0]).num_rows == 2
            asked += 1
        return asked

    def compact(_name: str) -> int:
        merged = 0
        while time.monotonic() < is_over:
            merged += compact_results(disk_store, grace=timedelta(seconds=1)).merged
        return merged

    with ThreadPoolExecutor(6) as threads:
        jobs = [threads.submit(job, name) for job in (write, read, compact) for name in ("a", "b")]
        done = [job.result() for job in jobs]
    assert min(done[:4]) > 0
    assert sum(done[4:]) >= 6
    for _ in range(3):
        compact_results(disk_store, grace=NOW)
    assert len(ResultTables(disk_store).published()) == 6 + done[0] + done[1]
    assert set(counts_of(plain_rows(disk_store)).values()) == {2}
