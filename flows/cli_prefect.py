"""How a command runs a flow: Prefect set up for one run, and a server that is named but silent told in one line."""

import atexit
import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from coder_core.errors import ConfigError, ServiceError
from coder_core.storage.addresses import redact
from flows.engines import find_server
from service.prefect_database import NamedDatabase, check_database, find_database, own_database
from service.prefect_home import check_prefect_home
from service.prefect_settings import load_prefect_settings
from tasks.json_logs import log_environment

PREFECT_DEFAULTS = {
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "240",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
    "PREFECT_PLUGINS_ENABLED": "false",  # ours is for the command `prefect`; loading them takes a second
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
        ConfigError: A Prefect server is named that does not answer, a log format that does not exist, a folder of
            Prefect's that cannot be written, or a setting that Prefect refuses.
        ServiceError: The temporary server does not start.
    """
    check_prefect_home()
    for name, value in {**PREFECT_DEFAULTS, **log_environment(os.environ)}.items():
        os.environ.setdefault(name, value)
    if server is not None:
        os.environ.setdefault("PREFECT_API_URL", server)
    load_prefect_settings()
    with ExitStack() as stack:
        if _server_url() is None:
            stack.enter_context(_temporary_server())
        _check_server()
        _leave_errors_to_commands()
        try:
            yield
        finally:  # after Prefect's own, so that it is called before
            atexit.register(_silence_farewell)


def _leave_errors_to_commands() -> None:
    """A command tells an error in its last line: Prefect's log need not tell it, too."""
    from tasks.logs import leave_errors_to_caller

    leave_errors_to_caller()


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


@contextmanager
def _temporary_server() -> Iterator[None]:
    from prefect.settings import PREFECT_API_URL, get_current_settings, temporary_settings

    from service.temporary_server import start_temporary_server

    ephemeral = get_current_settings().server.ephemeral
    if not ephemeral.enabled:
        problem = "no Prefect server is named, and PREFECT_SERVER_EPHEMERAL_ENABLED forbids a temporary one."
        raise ServiceError(problem, "--engine prefect", "Set PREFECT_API_URL, or use --engine inline.")
    check_database(find_database(os.environ) or _profile_database())
    server = start_temporary_server(ephemeral.startup_timeout_seconds, _load_what_runs_need)
    with temporary_settings({PREFECT_API_URL: server.api_url}):
        yield


def _profile_database() -> NamedDatabase:
    """The database that Prefect's settings name, whatever they come from."""
    from prefect.settings import get_current_settings

    url = get_current_settings().server.database.connection_url
    if url is None:  # Prefect fills it in
        return own_database(get_current_settings().home)
    return NamedDatabase(url.get_secret_value(), "Prefect's database (PREFECT_SERVER_DATABASE_*, or its profile)")


def _load_what_runs_need() -> None:
    """Import flows and models while a server starts, on another core: seconds each."""
    import flows.coder_eval  # noqa: F401
    from coder_core.encoders.registry import load_library

    load_library()


def _check_server() -> None:
    """Fail now, in one line, when a Prefect server is named that does not answer."""
    import httpx
    from prefect.client.orchestration import get_client

    url = redact(str(_server_url()))
    try:
        with get_client(sync_client=True) as client:
            problem = client.api_healthcheck()
    except (ImportError, ValueError, httpx.InvalidURL) as error:  # a proxy that no client can use
        raise ConfigError(f"{error}", "HTTP_PROXY, HTTPS_PROXY or ALL_PROXY", "Correct or unset it.") from error
    if problem is not None:
        raise ConfigError(
            f"no Prefect server answers there ({problem}).",
            f"PREFECT_API_URL: {url}",
            "Start it (`coder-eval serve`), or unset the setting, or use --engine inline.",
        )
