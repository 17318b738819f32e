"""A real Prefect server on loopback, started once and only when a test asks for it."""

import os
from collections.abc import Iterator

import pytest

QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}


def pytest_configure() -> None:
    """Set what Prefect reads from the environment when it is imported: nothing leaves this machine."""
    os.environ.update(QUIET)


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[str]:
    """The server's API URL; flows that run in this process use it."""
    from prefect.settings import get_current_settings
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield str(get_current_settings().api.url)
