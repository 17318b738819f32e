"""How a command runs a flow: Prefect set up for one run, and a server that is named but silent told in one line."""

import atexit
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from coder_core.errors import ConfigError
from tasks.json_logs import log_environment

PREFECT_DEFAULTS = {
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
}
"""For a run from the command line; what the user has set wins. A fresh database takes up to half a minute to start."""


@contextmanager
def prefect_ready(server: str | None = None) -> Iterator[None]:
    """Set Prefect up and check its server; import flows inside the block, not before.

    Args:
        server: The server to use, where the environment names none.

    Raises:
        ConfigError: A Prefect server is named that does not answer, or a log format that does not exist.
    """
    for name, value in {**PREFECT_DEFAULTS, **log_environment(os.environ)}.items():
        os.environ.setdefault(name, value)
    if server is not None:
        os.environ.setdefault("PREFECT_API_URL", server)
    _check_server()
    try:
        yield
    finally:  # after Prefect's own, so that it is called before
        atexit.register(_silence_farewell)


def _silence_farewell() -> None:
    """Let the last line be the result or the error, not the farewell of Prefect's temporary server.

    At the end of the process and not of the flow: whoever calls a command as a function keeps Prefect's log.
    """
    logging.getLogger("prefect").setLevel(logging.WARNING)


def require_server(remedy: str) -> None:
    """Refuse to go on where no server is named.

    Args:
        remedy: What else the user can do.

    Raises:
        ConfigError: None is named.
    """
    if _server_url() is None:
        raise ConfigError("no Prefect server is named, so nobody would hear of a change.", "PREFECT_API_URL", remedy)


def _server_url() -> str | None:
    from prefect.settings import get_current_settings

    return get_current_settings().api.url


def _check_server() -> None:
    """Fail now, in one line, when a Prefect server is named that does not answer."""
    from prefect.client.orchestration import get_client

    url = _server_url()
    if url is None:
        return
    with get_client(sync_client=True) as client:
        problem = client.api_healthcheck()
    if problem is not None:
        raise ConfigError(
            f"no Prefect server answers there ({problem}).",
            f"PREFECT_API_URL: {url}",
            "Start it (`prefect server start`), or unset the setting: a run then starts a temporary server.",
        )
