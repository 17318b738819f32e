"""Prefect as a user runs it: a server, the deployment of `prefect.yaml` and a worker, each a process of its own."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import httpx
import psutil
import pytest

from .fixtures_prefect import QUIET, copy_database

PROJECT = Path(__file__).parents[1]
PATIENCE_SECONDS = 400.0
"""For a server's first start, or a run, on a machine of two slow cores that is busy with other things."""
RUN_END_SECONDS = 120.0
"""For the process of a run, from its end in the server to its own: twice what it waits for its last messages."""
LAST_LINES = 40
"""Of each log, told where a test waits in vain."""
END_SECONDS = 10.0
"""For a process whose parent has ended, to see that."""


class Deployed(NamedTuple):
    """A server with the deployment, and the store that its worker writes to."""

    environment: dict[str, str]
    api_url: str
    store: Path

    def prefect(self, *arguments: str, check: bool = True) -> str:
        """Type a `prefect` command in the project's folder; gives what it prints."""
        command = [sys.executable, "-m", "prefect", *arguments]
        done = subprocess.run(
            command, cwd=PROJECT, env=self.environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS
        )
        assert done.returncode == 0 or not check, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    @contextmanager
    def client(self) -> Iterator[Any]:
        """Prefect's client for this server."""
        from prefect.client.orchestration import SyncPrefectClient

        with SyncPrefectClient(self.api_url) as client:
            yield client

    def wait_for_run(self, accepts: Callable[[Any], bool]) -> Any:
        """Wait until there is a flow run that is accepted and has ended."""
        with self.client() as client:

            def ended_run() -> Any:
                runs = [run for run in client.read_flow_runs() if accepts(run)]
                return next((run for run in runs if run.state and run.state.is_final()), None)

            return self.wait_until(ended_run)

    def wait_for_end(self, flow_run_id: UUID) -> Any:
        """The flow run, once it has ended."""
        return self.wait_for_run(lambda run: run.id == flow_run_id)

    def wait_until(self, found: Callable[[], Any]) -> Any:
        """Ask again until there is something; where there is nothing in time, say what there is instead."""
        try:
            return wait_until(found)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.account()}") from error

    def read_run(self, flow_run_id: UUID) -> Any:
        """One flow run as the server knows it."""
        with self.client() as client:
            return client.read_flow_run(flow_run_id)

    def pause_schedules(self) -> None:
        """Let nothing start by the clock: every five minutes it would, beside what a test has started."""
        with self.client() as client:
            for deployment in client.read_deployments():
                for schedule in deployment.schedules:
                    client.update_deployment_schedule(deployment.id, schedule.id, active=False)

    def schedule_soon(self, deployment: str, parameters: dict[str, Any]) -> None:
        """Let one run of a deployment start by the clock, in seconds."""
        from prefect.client.schemas.actions import DeploymentScheduleCreate
        from prefect.client.schemas.schedules import IntervalSchedule

        soon = IntervalSchedule(interval=timedelta(hours=2), anchor_date=datetime.now(UTC) + timedelta(seconds=5))
        schedule = DeploymentScheduleCreate(schedule=soon, parameters=parameters, max_scheduled_runs=1)
        with self.client() as client:
            client.create_deployment_schedules(client.read_deployment_by_name(deployment).id, [schedule])

    def account(self) -> str:
        """Flow runs, living processes and the ends of all logs: why a test waits in vain."""
        home = Path(self.environment["PREFECT_HOME"])
        logs = sorted(chain(home.glob("*.log"), home.glob("logs/*.log")))
        ends = (line for log in logs for line in (f"--- {log.name}", *log.read_text().splitlines()[-LAST_LINES:]))
        return "\n".join(["--- flow runs", *self._told_runs(), "--- processes", *told_processes(home), *ends])

    def _told_runs(self) -> list[str]:
        try:
            with self.client() as client:
                runs = client.read_flow_runs()
        except (httpx.HTTPError, RuntimeError) as error:
            return [f"the server does not say: {error!r}"]
        return [told_run(run) for run in runs if not (run.auto_scheduled and run.state and run.state.is_scheduled())]


def wait_until(found: Callable[[], Any]) -> Any:
    """Ask again until there is something."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if (answer := found()) is not None:
            return answer
        time.sleep(0.2)
    raise TimeoutError(f"nothing after {PATIENCE_SECONDS} s")


def told_run(run: Any) -> str:
    """A flow run in one line."""
    by = run.created_by.type if run.created_by else "nobody"
    state = f"{run.state.name} at {run.state.timestamp:%H:%M:%S} ({run.state.message})" if run.state else "no state"
    return f"{run.created:%H:%M:%S} {run.name} by {by}, {run.parameters}: {state}"


def told_processes(home: Path) -> list[str]:
    """The living processes of a home, each in one line."""
    told = []
    for pid in processes_of(home):
        try:
            process = psutil.Process(pid)
            age = time.time() - process.create_time()
            told.append(f"{pid} {process.status()} {age:.0f} s {' '.join(process.cmdline())[:200]}")
        except psutil.Error:  # it has ended meanwhile
            continue
    return told


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory, new_database: Path) -> Iterator[Deployed]:
    """Start everything on an empty database, deploy, and end everything by process id."""
    home = tmp_path_factory.mktemp("prefect-home")
    copy_database(new_database, home / "prefect.db")
    port = free_port()
    place = Deployed(user_environment(home, port), f"http://127.0.0.1:{port}/api", home / "store")
    processes = [start_prefect(place, home, "server", "start", "--host", "127.0.0.1", "--port", port, "--no-ui")]
    try:
        place.wait_until(lambda: answers(place.api_url, processes[0]))
        place.prefect("work-pool", "create", "coder", "--type", "process")
        place.prefect("--no-prompt", "deploy", "--all")
        place.pause_schedules()
        processes.append(start_prefect(place, home, "worker", "start", "--pool", "coder"))
        yield place
    finally:
        let_runs_end(home)
        for process in reversed(processes):
            stop_process(process)
        left = left_behind(home)
        kill_all(home)
    assert not left, f"left behind: {left}"


def let_runs_end(home: Path) -> None:
    """Wait for the processes of runs that have told the server their end: their last words need it, too."""
    deadline = time.monotonic() + RUN_END_SECONDS
    while time.monotonic() < deadline:
        running = [process for process in psutil.process_iter() if process.pid in processes_of(home)]
        if not any(is_run(process) for process in running):
            return
        time.sleep(0.2)


def is_run(process: psutil.Process) -> bool:
    try:
        return "prefect.engine" in process.cmdline()
    except psutil.Error:  # it has ended meanwhile
        return False


def left_behind(home: Path) -> list[str]:
    """The processes that do not end within seconds, though what started them has, each in one line."""
    deadline = time.monotonic() + END_SECONDS
    while processes_of(home) and time.monotonic() < deadline:
        time.sleep(0.1)
    return told_processes(home)


def kill_all(home: Path) -> None:
    """End every process of a home."""
    for pid in processes_of(home):
        with suppress(ProcessLookupError):  # it has ended meanwhile
            os.kill(pid, signal.SIGKILL)


def free_port() -> str:
    """A port on loopback that nothing listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def user_environment(home: Path, port: str) -> dict[str, str]:
    """The environment of a user who keeps server, worker and store below a folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "CODER_"))}
    return {
        **kept,
        **QUIET,
        "NO_COLOR": "1",
        "COLUMNS": "500",
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "2",
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        # A run that comes before the slot of the last one is free again asks so often; 30 s is for real runs.
        "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "2",
        "CODER_STORE": str(home / "store"),
        "CODER_ALLOWED_ROOTS": os.pathsep.join([str(PROJECT), tempfile.gettempdir()]),
    }


def start_prefect(place: Deployed, home: Path, *arguments: str) -> "subprocess.Popen[bytes]":
    """Start `prefect ...`; its output is added to `server.log` or `worker.log`."""
    with (home / f"{arguments[0]}.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "prefect", *arguments],
            cwd=PROJECT,
            env=place.environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def answers(api_url: str, server: "subprocess.Popen[bytes]") -> bool | None:
    """Whether the server takes requests; None if not yet."""
    assert server.poll() is None, f"the server ended with {server.returncode}"
    try:
        return httpx.get(f"{api_url}/health", timeout=5).is_success or None
    except httpx.TransportError:
        return None


def stop_process(process: "subprocess.Popen[bytes]") -> None:
    """Ask it to end, and end it."""
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(30)


def processes_of(home: Path) -> list[int]:
    """Every living process that was started with this home; Linux only, elsewhere none is found."""
    mark = f"PREFECT_HOME={home}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except OSError:  # it has ended meanwhile, or belongs to somebody else
            continue
    return found
