"""The slot is real: within a process, and between processes that know of each other only through the server."""

import json
import os
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest
from prefect import flow, task

from coder_core.interruption import InterruptedWorkError
from coder_core.specs import Runtime
from tasks import gpu
from tasks.gpu import GPU_LIMIT, ServerAccelerator, has_server_limit, report_missing_limit
from tasks.prefect_runner import prefect_runner
from tests.coder_core.stopped_work import ended_run

ACCELERATOR = "cuda"
"""Nothing is computed on it: the slot is taken for the name."""

PROJECT = Path(__file__).parents[2]
RUN = """
import json, sys, time
from pathlib import Path
from prefect import flow, task
from coder_core.specs import Runtime
from tasks.gpu import ServerAccelerator

folder, name = Path(sys.argv[1]), sys.argv[2]

@task
def embed():
    with ServerAccelerator(Runtime(device="cuda")).hold():
        begun = time.monotonic()
        time.sleep(0.7)
        return begun, time.monotonic()

@flow
def work(lap):
    (folder / f"{lap}-{name}-ready").touch()
    while not (folder / f"{lap}-go").exists():
        time.sleep(0.02)
    return [embed() for _ in range(2)]

for lap in ("free", "limited"):
    (folder / f"{lap}-{name}.part").write_text(json.dumps(work(lap)))
    (folder / f"{lap}-{name}.part").rename(folder / f"{lap}-{name}.json")
"""


def wait_for(*paths: Path) -> None:
    deadline = time.monotonic() + 120
    while not all(path.exists() for path in paths):
        assert time.monotonic() < deadline, f"none of {paths} within two minutes"
        time.sleep(0.05)


def run_lap(folder: Path, lap: str) -> list[tuple[float, float]]:
    """Let both processes begin together; gives when each of them held the slot."""
    wait_for(folder / f"{lap}-a-ready", folder / f"{lap}-b-ready")
    (folder / f"{lap}-go").touch()
    told = [folder / f"{lap}-{name}.json" for name in "ab"]
    wait_for(*told)
    return sorted((begun, ended) for path in told for begun, ended in json.loads(path.read_text()))


def count_overlaps(held: list[tuple[float, float]]) -> int:
    return sum(later[0] < earlier[1] for earlier, later in pairwise(held))


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("prefect_server")
def test_two_runs_never_hold_one_slot_together(tmp_path: Path) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
    from prefect.settings.context import get_current_settings

    environment = get_current_settings().to_environment_variables(exclude_unset=True)
    processes = [
        subprocess.Popen([sys.executable, "-c", RUN, str(tmp_path), name], cwd=PROJECT, env={**_plain(), **environment})
        for name in "ab"
    ]
    try:
        free = run_lap(tmp_path, "free")
        with get_client(sync_client=True) as client:
            client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=GPU_LIMIT, limit=1))
            try:
                limited = run_lap(tmp_path, "limited")
                slots_left = client.read_global_concurrency_limit_by_name(GPU_LIMIT).active_slots
            finally:
                client.delete_global_concurrency_limit_by_name(GPU_LIMIT)
        assert [process.wait(60) for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert count_overlaps(free) > 0, "without a limit nothing keeps them apart: the test would see no overlap at all"
    assert len(limited) == 4
    assert count_overlaps(limited) == 0, limited
    assert slots_left == 0


def _plain() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize("slots", [1, 2])
def test_tasks_of_one_process_are_kept_apart_without_a_limit_on_the_server(slots: int) -> None:
    now = most = 0
    lock = threading.Lock()

    @task
    def embed(runtime: Runtime) -> None:
        nonlocal now, most
        with ServerAccelerator(runtime).hold():
            with lock:
                now += 1
                most = max(most, now)
            time.sleep(0.1)
            with lock:
                now -= 1

    @flow
    def work(runtime: Runtime) -> None:
        with prefect_runner(runtime):
            embed.map([runtime] * 6).result()

    assert not has_server_limit()
    work(Runtime(device=ACCELERATOR, gpu_slots=slots, workers=4))
    assert (now, most) == (0, slots)


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_a_run_says_once_that_nothing_keeps_other_runs_off(caplog: pytest.LogCaptureFixture) -> None:
    @flow
    def work(device: str) -> None:
        with prefect_runner(Runtime(device=device)):
            pass

    work("cpu")
    assert GPU_LIMIT not in caplog.text
    work(ACCELERATOR)
    assert caplog.text.count(f"prefect gcl create {GPU_LIMIT} --limit 1") == 1


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_a_run_on_a_cluster_says_that_nothing_keeps_its_own_tasks_apart(caplog: pytest.LogCaptureFixture) -> None:
    @flow
    def work() -> None:
        report_missing_limit(Runtime(device=ACCELERATOR, task_runner="dask"))

    work()
    assert "task_runner 'dask' works in several processes, and nothing keeps them apart" in caplog.text
    assert "only the tasks of this run are kept apart" not in caplog.text


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_waiting_for_the_slot_ends_with_the_run() -> None:
    """A task that waits must not keep a cancelled run alive until its turn comes."""
    runtime = Runtime(device=ACCELERATOR)
    stopped = ended_run()

    def wait() -> None:
        with ServerAccelerator(runtime).hold():
            pass

    with ServerAccelerator(runtime).hold(), pytest.raises(InterruptedWorkError):
        stopped.run(wait)


def test_on_the_cpu_no_server_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(gpu, "has_server_limit", lambda: asked.append(True))
    with ServerAccelerator(Runtime(device="cpu")).hold():
        pass
    assert asked == []
    monkeypatch.setattr(gpu, "is_cpu", lambda _runtime: False)
    with ServerAccelerator(Runtime(device="cpu")).hold():
        assert asked == [True], "an accelerator's limit is looked up"
