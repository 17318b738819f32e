"""A real Prefect server on loopback, started once and only when a test asks for it."""

import fcntl
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}


PROMPT = {"PREFECT_SERVER_SERVICES_EVENT_PERSISTER_FLUSH_INTERVAL": "0.2"}
"""The server of tests stores events soon (Prefect: within 5 s): tests read them."""

_homes: list[str] = []


def pytest_configure() -> None:
    """Set what Prefect reads from the environment when it is imported.

    Nothing leaves this machine, and no server of the user's, named in a profile or by `serve`, is asked for anything.
    """
    _homes.append(tempfile.mkdtemp(prefix="prefect-home-"))
    os.environ.update(QUIET | PROMPT, PREFECT_HOME=_homes[0])
    for name in ("PREFECT_API_URL", "PREFECT_PROFILE", "PREFECT_PROFILES_PATH"):
        os.environ.pop(name, None)


def pytest_unconfigure() -> None:
    """Remove Prefect's folder."""
    shutil.rmtree(_homes.pop(), ignore_errors=True)


@pytest.fixture(scope="session")
def new_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database of this Prefect's, to be copied: its hundred migrations are made once for all processes."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    made = shared / "new-prefect.db"
    with locked(shared / "new-prefect.lock"):
        if not made.exists():
            home = tmp_path_factory.mktemp("new-prefect")
            kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
            command = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "--yes"]
            subprocess.run(
                command, env={**kept, **QUIET, "PREFECT_HOME": str(home)}, check=True, capture_output=True, timeout=240
            )
            copy_database(home / "prefect.db", made)
    return made


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes of the tests waiting."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def copy_database(source: Path, target: Path) -> None:
    """Copy a database of SQLite, what has not been moved into its file yet included."""
    with closing(sqlite3.connect(source)) as opened, closing(sqlite3.connect(target)) as copied:
        opened.backup(copied)


@pytest.fixture(scope="session")
def prefect_server(new_database: Path) -> Iterator[str]:
    """The server's API URL; flows that run in this process use it."""
    from prefect.settings import get_current_settings
    from prefect.testing import utilities

    folder = Path(tempfile.mkdtemp())  # which the harness removes
    copy_database(new_database, folder / "prefect-test.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utilities, "mkdtemp", lambda: str(folder))
        with utilities.prefect_test_harness(server_startup_timeout=400):
            yield str(get_current_settings().api.url)
