"""How a command runs a flow: Prefect set up for one run, and a server that is named but silent told in one line."""

import atexit
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from coder_core.errors import ConfigError, ServiceError
from flows.engines import find_server
from tasks.json_logs import log_environment

PREFECT_DEFAULTS = {
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
}
"""For a run from the command line; what the user has set wins. A fresh database takes 9 s on two idle cores, and 17 s
on one that others keep busy; Prefect's own 20 s are too short for a machine that is slower still. Its own heartbeats
come every 180 s, and the server of `serve` takes a run for dead that is silent for 90 s."""


@contextmanager
def prefect_ready(server: str | None = None) -> Iterator[None]:
    """Set Prefect up and check its server, or start a temporary one; import flows inside the block, not before.

    Args:
        server: The server to use, where the environment names none.

    Raises:
        ConfigError: A Prefect server is named that does not answer, or a log format that does not exist.
        ServiceError: The temporary server does not start.
    """
    for name, value in {**PREFECT_DEFAULTS, **log_environment(os.environ)}.items():
        os.environ.setdefault(name, value)
    if server is not None:
        os.environ.setdefault("PREFECT_API_URL", server)
    if _server_url() is None:
        _start_temporary_server()
    else:
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


def require_server(remedy: str) -> str:
    """The server that is named by the environment, by `serve` in this folder, or by the active profile.

    Args:
        remedy: What else the user can do.

    Raises:
        ConfigError: None is named.
    """
    server = find_server()
    if server is None:
        raise ConfigError("no Prefect server is named, so nobody would hear of a change.", "PREFECT_API_URL", remedy)
    return server


def _server_url() -> str | None:
    from prefect.settings import get_current_settings

    return get_current_settings().api.url


def _start_temporary_server() -> None:
    """Let Prefect start its server now, and not in the middle of a flow, so that a failure is one line.

    Prefect reports in its own words a server that has ended, one that is not there in time, and (a `TransportError`)
    one that is there and takes longer than five seconds for its first answer.
    """
    import httpx
    from prefect.client.orchestration import get_client

    try:
        with get_client(sync_client=True):
            pass
    except (RuntimeError, ValueError, httpx.TransportError) as error:
        why = next(iter(str(error).splitlines()), "")
        problem = f"Prefect's temporary server does not start ({type(error).__name__}: {why})."
        remedy = "Run again, or use --engine inline; `prefect server start` shows what a server says."
        raise ServiceError(problem, "--engine prefect", remedy) from error


def _check_server() -> None:
    """Fail now, in one line, when a Prefect server is named that does not answer."""
    from prefect.client.orchestration import get_client

    url = _server_url()
    with get_client(sync_client=True) as client:
        problem = client.api_healthcheck()
    if problem is not None:
        raise ConfigError(
            f"no Prefect server answers there ({problem}).",
            f"PREFECT_API_URL: {url}",
            "Start it (`prefect server start`), or unset the setting: a run then starts a temporary server.",
        )
