"""`make serve`: a Prefect server, the deployments and a worker on this machine, until Ctrl-C or SIGTERM.

One process watches the others. The worker is started again when it dies, because a run may have taken it down (memory);
its runs are reported crashed at once. When the server dies everything is stopped and told in one line: its database may
be full or broken, and whoever supervises this program (systemd, a container) starts all of it anew. The order of
stopping is runs, worker, server: so the server still hears how each run ended.
"""

import os
import shlex
import shutil
import socket
import sys
import time
import tomllib
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit
from uuid import UUID

from coder_core.errors import ConfigError, ServiceError
from service.dead_runs import process_of, report_dead_runs, runs_under_way
from service.deployment_setup import POOL, deployment_file, prepare
from service.guarded_server import DEFAULT_PORT, HOST
from service.guards import check_free, only_one, stop_signals
from service.own_pages import own_pages_environment
from service.prefect_database import check_database, find_database, own_database
from service.prefect_home import check_prefect_home
from service.processes import Part, end_processes
from service.run_lines import RunLines
from service.served_api import check_api_url, remove_standing, served_home, write_standing
from tasks.json_logs import log_environment

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

START_SECONDS = 240.0
"""For a server's first start: 22 s for a fresh database on two cores, more on a busy machine."""

RUN_GRACE_SECONDS = 2.0
"""For runs to end that are asked to: they stop at their next batch, or are killed; either way they resume."""

PART_GRACE_SECONDS = 1.0
"""For worker and server after that. All together, one Ctrl-C ends everything within five seconds."""

STOP_SECONDS = 4.0
"""For all of that: on a busy machine the server answers late, and what waits after it waits less."""

LOOK_SECONDS = 1.0

ANSWER_SECONDS = 10.0
"""For a server to say that it is well; what is silent for longer is no server, or no help."""

RESTARTS, RESTART_WINDOW_SECONDS = 3, 600.0
"""A worker that dies more often than this has a lasting reason, and starting it again would hide that."""

EXAMPLE_QUERY = 'coder-eval query "SELECT run_id, method, metric, value FROM metrics"'

QUIET_ENVIRONMENT = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_PLUGINS_ENABLED": "false",
    # Held in memory, as Prefect does by default, leases are forgotten when the server restarts, and their slots never
    # come back: a deployment with a limit would wait for ever.
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    "PREFECT_WORKER_QUERY_SECONDS": "5",
}
"""Defaults of server, worker and runs; what the user has set wins."""


class StopRequestedError(BaseException):
    """Ctrl-C, SIGTERM or a closed terminal: no error, and nothing may take it for one.

    Args:
        number: Of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class ServeSettings(NamedTuple):
    """What can be chosen.

    Attributes:
        home: Folder of the server's database and all logs.
        api_url: Where the server is, or shall be.
        runs: Flow runs at a time.
        gpu_slots: Tasks on the accelerator at a time, where the server has no limit yet.
        environment: Of everything that is started.
    """

    home: Path
    api_url: str
    runs: int
    gpu_slots: int
    environment: dict[str, str]


def load_settings(environment: Mapping[str, str], *, runs: int, gpu_slots: int) -> ServeSettings:
    """Read what the environment says; PREFECT_API_URL names a server, else one on this machine is meant.

    Raises:
        ConfigError: A port that is none, or a server's address that cannot be one.
    """
    home = served_home()
    port = environment.get("PREFECT_SERVER_API_PORT") or str(DEFAULT_PORT)
    if not port.isdecimal() or not 0 < int(port) < 65_536:
        raise ConfigError(f"{port!r} is no port.", "PREFECT_SERVER_API_PORT", "Give a number from 1 to 65535.")
    api_url = environment.get("PREFECT_API_URL") or f"http://{HOST}:{port}/api"
    check_api_url(api_url)
    own = {"PREFECT_HOME": str(home), "PREFECT_API_URL": api_url}
    if password := environment.get("PREFECT_SERVER_API_AUTH_STRING"):
        own["PREFECT_API_AUTH_STRING"] = password
    store = {"CODER_STORE": str(Path("store").absolute())}
    defaults = {**QUIET_ENVIRONMENT, **own_pages_environment(port), **log_environment(environment), **store}
    return ServeSettings(home, api_url, runs, gpu_slots, {**defaults, **environment, **own})


class Service:
    """The parts and their order.

    Args:
        settings: What to run, and where.
        say: Prints one line for the person who started it.
    """

    def __init__(self, settings: ServeSettings, say: Callable[[str], None]) -> None:
        self.settings, self._say = settings, say
        logs, token = settings.home / "logs", uuid.uuid4().hex
        self.server = Part("server", f"server-{token}", logs / "server.log")
        self.worker = Part("worker", f"worker-{token}", logs / "worker.log")
        self._is_own_server = False
        self._deaths: list[float] = []
        self._is_patient = True
        self._runs = RunLines()
        self._is_stopping = False
        self._stop_by = float("inf")

    def run(self) -> int:
        """Start everything, watch it, and stop everything, whatever happens; gives the signal that ended it.

        Raises:
            ConfigError: Something here is not as it must be.
            ServiceError: A part does not start, or ended and cannot be started again.
        """
        check_prefect_home(self.settings.home)
        self.settings.home.joinpath("logs").mkdir(exist_ok=True)
        with only_one(self.settings.home), stop_signals(self._request_stop):
            try:
                self._start()
                while True:
                    time.sleep(LOOK_SECONDS)
                    self._look()
                    self._tell_of_runs()
            except StopRequestedError as asked:
                self._say("Stopping: runs are cancelled first; what they have done stays in the store.")
                return asked.number
            finally:
                self._stop()
                self._say("Stopped. Start this again, and runs that are asked for again go on from what is stored.")

    def _start(self) -> None:
        settings = self.settings
        self._start_server()
        with self._client() as client:
            file = deployment_file()
            self._say(f"Deploying what {file.name if file.parent == Path.cwd() else file} names.")
            prepare(client, settings.environment, pool_type="process", gpu_slots=settings.gpu_slots)
            if self._is_own_server:
                self._report(report_dead_runs(client))
            self._start_worker()
            self._wait("worker", self.worker, lambda: self._is_worker_online(client))
        self._say(self._welcome())

    def _start_server(self) -> None:
        address = urlsplit(self.settings.api_url)
        if self._answers():
            self._say(f"A Prefect server answers at {self.settings.api_url}: it is used, and left running at the end.")
            return
        if address.hostname not in (HOST, "localhost"):
            remedy = "Start it there, or unset PREFECT_API_URL: a server is then started here."
            raise ServiceError("no Prefect server answers there.", f"PREFECT_API_URL: {self.settings.api_url}", remedy)
        port = address.port or DEFAULT_PORT
        check_free(HOST, port)
        check_database(find_database(self.settings.environment) or own_database(self.settings.home))
        self._say(f"Starting a Prefect server at http://{HOST}:{port} (its files: {self.settings.home}).")
        self._is_own_server = True
        arguments = ("service.guarded_server", "--host", HOST, "--port", str(port))
        self.server.start(arguments, self.settings.environment)
        self._wait("server", self.server, self._answers)
        write_standing(self.settings.home, self.settings.api_url)

    def _start_worker(self) -> None:
        options = ("--pool", POOL, "--name", self._worker_name, "--limit", str(self.settings.runs))
        self.worker.start(("service.worker", "start", *options), self.settings.environment)

    def _look(self) -> None:
        """Notice a part that has ended."""
        if self.server.status is not None:
            raise _has_ended(self.server, "Free what it lacks (disk, memory) and start this again; runs resume.")
        if self.worker.status is None:
            return
        now = time.monotonic()
        self._deaths = [death for death in self._deaths if now - death < RESTART_WINDOW_SECONDS] + [now]
        if len(self._deaths) > RESTARTS:
            raise _has_ended(self.worker, f"It did so {len(self._deaths)} times in ten minutes: mend that first.")
        self._say(f"The worker has ended (status {self.worker.status}): it is started again.")
        self.worker.stop(0.0)  # what it left behind: nobody would hear how those runs end
        if self._is_own_server:
            with self._client() as client:
                self._report(report_dead_runs(client))
        self._start_worker()

    def _stop(self) -> None:
        """Runs, worker, server; a second Ctrl-C takes the patience away."""
        self._is_stopping = True
        self._stop_by = time.monotonic() + STOP_SECONDS
        remove_standing(self.settings.home, self.settings.api_url)
        is_told = self.server.status is None and self._answers()
        cancelled = self._cancel_runs() if is_told and self.worker.status is None else frozenset()
        self.worker.stop(self._patience(PART_GRACE_SECONDS))
        if is_told:
            with self._client() as client:
                report_dead_runs(client, None if self._is_own_server else cancelled)
        self.server.stop(self._patience(PART_GRACE_SECONDS))

    def _cancel_runs(self) -> frozenset[UUID]:
        """Have the runs end that are worked on here: their processes are asked, and waited for a moment."""
        from prefect.states import Cancelling

        with self._client() as client:
            found = [(run, process_of(run)) for run in runs_under_way(client)]
            runs = [run for run, process in found if process is not None or self._is_own_server]
            for run in runs:
                client.set_flow_run_state(run.id, Cancelling(message="The service was stopped."), force=True)
        if runs:
            names = ", ".join(run.name for run in runs)
            patience = f"Waiting {RUN_GRACE_SECONDS:g} s for {names}; what has not ended then is killed."
            self._say(f"{patience} A second Ctrl-C does not wait.")
            end_processes([process for _, process in found if process], self._patience(RUN_GRACE_SECONDS))
        return frozenset(run.id for run in runs)

    def _patience(self, seconds: float) -> float:
        return max(0.0, min(seconds, self._stop_by - time.monotonic())) if self._is_patient else 0.0

    def _request_stop(self, number: int) -> None:
        """Called by signals: the first one stops in order, the second one at once."""
        if not self._is_stopping:
            self._is_stopping = True
            raise StopRequestedError(number)
        self._is_patient = False
        self.worker.kill()
        self.server.kill()

    def _tell_of_runs(self) -> None:
        """Print a line for every run that has started or ended; a server that is busy is asked again."""
        import httpx

        try:
            with self._client() as client:
                lines = self._runs.look(client)
        except httpx.HTTPError:
            return
        for line in lines:
            self._say(line)

    def _wait(self, name: str, part: Part, is_ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not is_ready():
            if part.status is not None:
                raise _has_ended(part, f"The whole story: {part.log}")
            if time.monotonic() > deadline:
                raise ServiceError(f"the {name} is not ready after {START_SECONDS:.0f} s.", str(part.log), "Read it.")
            time.sleep(0.3)

    def _answers(self) -> bool:
        """Asked plainly: Prefect's client would try for minutes where something else holds the port in silence."""
        import httpx

        try:
            return httpx.get(f"{self.settings.api_url}/health", timeout=ANSWER_SECONDS).is_success
        except httpx.HTTPError:
            return False

    @contextmanager
    def _client(self) -> Iterator["SyncPrefectClient"]:
        from prefect.client.orchestration import SyncPrefectClient

        password = self.settings.environment.get("PREFECT_API_AUTH_STRING")
        with SyncPrefectClient(self.settings.api_url, auth_string=password) as client:
            yield client

    @property
    def _worker_name(self) -> str:
        return f"serve-{socket.gethostname()}-{os.getpid()}"

    def _is_worker_online(self, client: "SyncPrefectClient") -> bool:
        return any(worker.name == self._worker_name for worker in client.read_workers_for_work_pool(POOL))

    def _report(self, names: list[str]) -> None:
        if names:
            self._say(f"Reported as ended, because nobody works on them any more: {', '.join(names)}.")

    def _welcome(self) -> str:
        """What another terminal needs, whatever its folder, its environment and its Prefect profile."""
        settings = self.settings
        store = shlex.quote(settings.environment["CODER_STORE"])
        lines = [
            f"Ready. Logs: {settings.home / 'logs'}. Ctrl-C stops everything. In another terminal, in any folder:",
            *_activation(settings.environment),
            f"  export PREFECT_API_URL={settings.api_url} PREFECT_PLUGINS_ENABLED=true",
            "  prefect deployment run coder-eval",
            f"  open {settings.api_url.removesuffix('/api')}",
            f"  {EXAMPLE_QUERY} --store {store}",
        ]
        if _loads_plugin(Path.cwd()):
            lines.append("(Here the line with export is needed only where PREFECT_API_URL names another server.)")
        if "PREFECT_API_AUTH_STRING" in settings.environment:
            lines.append("(The server asks for its password: export PREFECT_API_AUTH_STRING there, too.)")
        return "\n".join(lines)


def _loads_plugin(folder: Path) -> bool:
    """Whether `prefect`, typed in a folder, loads our plug-in without being told to."""
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))
        return project["tool"]["prefect"]["plugins"]["enabled"] is True
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _activation(environment: Mapping[str, str]) -> list[str]:
    """The command that makes a shell find `prefect`; none where it does."""
    folder = Path(sys.executable).parent
    found = shutil.which("prefect", path=environment.get("PATH", ""))
    if found is not None and Path(found).parent == folder:
        return []
    script = folder / "activate"
    return [
        f"  source {shlex.quote(str(script))}" if script.exists() else f"  export PATH={shlex.quote(str(folder))}:$PATH"
    ]


def _has_ended(part: Part, remedy: str) -> ServiceError:
    said = f" ({part.last_words:.200})" if part.last_words else ""
    return ServiceError(f"the {part.name} has ended with status {part.status}{said}.", str(part.log), remedy)
