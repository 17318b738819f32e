"""A real Prefect server on loopback, started once and only when a test asks for it."""

import os
import shutil
import tempfile
from collections.abc import Iterator

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
def prefect_server() -> Iterator[str]:
    """The server's API URL; flows that run in this process use it."""
    from prefect.settings import get_current_settings
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=400):
        yield str(get_current_settings().api.url)
