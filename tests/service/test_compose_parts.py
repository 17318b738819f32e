"""The services of compose.yaml without Docker: the same commands, environment and health checks, on ports of loopback.

Postgres is Debian's, the S3 store is moto's; names of hosts are replaced, nothing else is.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import psutil
import pytest

from tests.fixtures_deployment import (
    PATIENCE_SECONDS,
    PROJECT,
    free_port,
    is_run,
    left_behind,
    let_runs_end,
    processes_of,
    stop_process,
    wait_until,
)
from tests.test_containers import SERVICES

PROGRAMS = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)
PASSWORD = "pg4Test"
ACCOUNT = "postgres" if os.geteuid() == 0 else None
"""Postgres refuses to run as root; Debian's package brings this account."""

pytestmark = [
    pytest.mark.skipif(PROGRAMS is None, reason="PostgreSQL is not installed"),
    pytest.mark.slow,
    pytest.mark.thorough,
    pytest.mark.timeout(900),
]


class Parts(NamedTuple):
    """Where the services are in this test, and a folder for what they keep."""

    home: Path
    database: str
    objects: str
    server: str

    def environment(self, service: str) -> dict[str, str]:
        """What compose.yaml sets, beside what a container of the image would have."""
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "CODER_", "AWS_"))
        }
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        image = {"PREFECT_HOME": str(self.home), "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}
        # Of this test alone: soon is soon enough, and wide lines are not broken.
        ours = {"PREFECT_WORKER_QUERY_SECONDS": "2", "COLUMNS": "500", "NO_COLOR": "1", "CODER_DEVICE": "cpu"}
        asked = {name: self.here(value) for name, value in SERVICES[service].get("environment", {}).items()}
        return {**kept, "PATH": path, "PYTHONPATH": str(PROJECT), **image, **ours, **asked}

    def command(self, service: str) -> list[str]:
        return [self.here(word) for word in SERVICES[service]["command"]]

    def health(self, service: str) -> list[str]:
        return [self.here(word) for word in SERVICES[service]["healthcheck"]["test"][1:]]

    def here(self, text: str) -> str:
        """With this test's values of variables, hosts and ports."""
        values = {"POSTGRES_PASSWORD": PASSWORD, "MINIO_ROOT_USER": "testing", "MINIO_ROOT_PASSWORD": "a-secret"}
        text = re.sub(r"\$\{(\w+):\?[^}]*\}", lambda match: values[match[1]], text)
        text = text.replace("database:5432", self.database).replace("objects:9000", self.objects)
        text = re.sub(r"(server|127\.0\.0\.1):4200", self.server, text)
        return {"0.0.0.0": "127.0.0.1", "4200": self.server.rpartition(":")[2]}.get(text, text)  # noqa: S104 - replaced


def postgres(program: str, *words: str) -> list[str]:
    assert PROGRAMS is not None
    return [str(PROGRAMS / program), *words]


@pytest.fixture
def database() -> Iterator[str]:
    """A server of Postgres with a password and an empty database, as the image of compose.yaml makes it."""
    asked = {name: str(value) for name, value in SERVICES["database"]["environment"].items()}
    folder = Path(f"/tmp/coder-pg-{os.getpid()}")  # noqa: S108 - a path that another account may enter, for one test
    folder.mkdir()
    (folder / "password").write_text(PASSWORD)
    if ACCOUNT is not None:
        for path in (folder, folder / "password"):
            shutil.chown(path, ACCOUNT)
    data, port, user = folder / "data", free_port(), asked["POSTGRES_USER"]
    run = {"user": ACCOUNT, "check": True, "capture_output": True, "cwd": folder, "timeout": 120}
    try:
        made = ("--username", user, "--pwfile", str(folder / "password"), "--auth", "scram-sha-256")
        subprocess.run(postgres("initdb", "--pgdata", str(data), *made, "--no-sync"), **run)  # type: ignore[call-overload]
        listening = ("-D", str(data), "-h", "127.0.0.1", "-p", port, "-k", str(folder), "-c", "fsync=off")
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(
                postgres("postgres", *listening), user=ACCOUNT, cwd=folder, stdout=log, stderr=log
            )
        try:
            check = [*SERVICES["database"]["healthcheck"]["test"][1:], "--host", "127.0.0.1", "--port", port]
            wait_until(lambda: subprocess.run(postgres(*check), capture_output=True).returncode == 0 or None)
            there = ("--host", "127.0.0.1", "--port", port, "--username", user)
            environment = {**os.environ, "PGPASSWORD": PASSWORD}
            subprocess.run(postgres("createdb", *there, asked["POSTGRES_DB"]), env=environment, **run)  # type: ignore[call-overload]
            yield f"127.0.0.1:{port}"
        finally:
            stop_process(server)
    finally:
        shutil.rmtree(folder)


@contextmanager
def started(parts: Parts, service: str) -> "Iterator[subprocess.Popen[bytes]]":
    """A service that goes on until the block ends."""
    with (parts.home / f"{service}.log").open("wb") as log:
        process = subprocess.Popen(
            parts.command(service),
            cwd=PROJECT,
            env=parts.environment(service),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        if service == "worker":
            let_runs_end(parts.home)
        stop_process(process)
        if service == "worker":
            take_along(parts.home)


def take_along(home: Path) -> None:
    """End what the schedules have started meanwhile (every five minutes one), as a container that stops does."""
    for process in psutil.process_iter():
        if process.pid in processes_of(home) and is_run(process):
            process.kill()


def typed(parts: Parts, service: str, *words: str) -> str:
    """What `docker compose exec SERVICE ...` would print."""
    done = subprocess.run(
        words, cwd=PROJECT, env=parts.environment(service), capture_output=True, text=True, timeout=PATIENCE_SECONDS
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_run_goes_through_all_services(tmp_path: Path, database: str, s3_server: str) -> None:
    parts = Parts(tmp_path, database, urlsplit(s3_server).netloc, f"127.0.0.1:{free_port()}")
    with ExitStack() as stack:
        for _ in range(2):  # exist_ok: a second start finds the bucket
            typed(parts, "bucket", *parts.command("bucket"))
        server = stack.enter_context(started(parts, "server"))
        health, environment = parts.health("server"), parts.environment("server")

        def is_healthy() -> bool | None:
            assert server.poll() is None, (tmp_path / "server.log").read_text()
            return subprocess.run(health, env=environment, capture_output=True).returncode == 0 or None

        wait_until(is_healthy)
        worker = stack.enter_context(started(parts, "worker"))
        wait_until(lambda: "Worker" in (tmp_path / "worker.log").read_text() or worker.poll())
        assert worker.poll() is None, (tmp_path / "worker.log").read_text()
        asked = shlex.split(
            "prefect deployment run coder-eval --watch --param overrides='[\"dataset.images_per_class=1\"]'"
        )
        told = typed(parts, "worker", *asked)
        rows = json.loads(
            typed(
                parts, "worker", "coder-eval", "query", "SELECT method, metric, value FROM metrics", "--format", "json"
            )
        )
        host, _, port = database.partition(":")
        there = ("--host", host, "--port", port, "--username", SERVICES["database"]["environment"]["POSTGRES_USER"])
        sql = "SELECT state_type FROM flow_run"
        asked = postgres("psql", *there, "--tuples-only", "--no-align", "--command", sql)
        states = subprocess.run(asked, env={**os.environ, "PGPASSWORD": PASSWORD}, capture_output=True, text=True)
    assert "COMPLETED" in states.stdout.split(), states.stderr  # beside those of the schedules
    assert "Completed" in told
    assert {row["method"] for row in rows} >= {"clip", "coder"}
    assert left_behind(tmp_path) == []
