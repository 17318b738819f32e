"""Who runs a recipe that was asked for on the command line: a Prefect server that is there, or this process.

A temporary Prefect server takes 10 to 30 seconds to start, so none is started unless it is asked for
(`--engine prefect`), or the runtime names a Dask or Ray cluster. Deployments always run under Prefect.
"""

import logging
import os
import socket
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple
from urllib.parse import urlsplit

from coder_core.errors import ConfigError
from coder_core.log_redaction import hide_secrets_in
from flows.cli_logging import listening
from service.served_api import check_api_url, find_served_api, served_home
from tasks.json_logs import FORMAT_VARIABLE, JsonLines

if TYPE_CHECKING:
    from coder_core.specs import Runtime

EngineName = Literal["auto", "prefect", "inline"]
CONNECT_SECONDS = 1.0
"""For a server to take a connection; on this machine it takes a millisecond."""

logger = logging.getLogger(__name__)


class Engine(NamedTuple):
    """The engine to use.

    Args:
        name: `prefect` or `inline`.
        server: The address of the server that is there, None where there is none.
        note: One line for the person who asked; empty where there is nothing to say.
    """

    name: Literal["prefect", "inline"]
    server: str | None
    note: str


def choose_engine(asked: EngineName, runtime: "Runtime") -> Engine:
    """Choose the engine of a run.

    Args:
        asked: `auto` takes a server that answers, else this process.
        runtime: A cluster of Dask or Ray needs Prefect.

    Raises:
        ConfigError: `inline` with a cluster, or the server that is named has no address.
    """
    needs_prefect = runtime.task_runner != "threads"
    if asked == "inline" and needs_prefect:
        problem = f"task_runner {runtime.task_runner!r} needs Prefect, and the engine is inline."
        raise ConfigError(problem, "--engine", "Use --engine prefect, or task_runner threads.")
    if asked == "inline":
        return Engine("inline", None, "")
    named = find_server()
    answers = named is not None and takes_connection(named)
    if answers or asked == "prefect" or needs_prefect:
        return Engine("prefect", named, f"under the Prefect server {named}" if answers else "")
    missing = "no Prefect server is running" if named is None else f"no Prefect server answers at {named}"
    return Engine("inline", None, f"{missing}: running in this process (--engine prefect starts a temporary server)")


def find_server() -> str | None:
    """The address of the server that Prefect would ask: of the environment, of `serve`, or of the active profile.

    Raises:
        ConfigError: It is no address.
    """
    if named := os.environ.get("PREFECT_API_URL"):
        check_api_url(named)
        return named
    if served := find_served_api(served_home()):
        return served
    if profile := _profile_server():
        check_api_url(profile, "PREFECT_API_URL of Prefect's profile")
    return profile


def takes_connection(url: str) -> bool:
    """Whether something listens there."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        with socket.create_connection((parts.hostname or "", port), timeout=CONNECT_SECONDS):
            return True
    except OSError:
        return False


@contextmanager
def logs_on_stderr() -> Iterator[None]:
    """Show what steps log, as text or as JSON lines, while a recipe runs in this process."""
    handler = logging.StreamHandler(sys.stderr)
    is_json = os.environ.get(FORMAT_VARIABLE) == "json"
    handler.setFormatter(JsonLines() if is_json else logging.Formatter("%(asctime)s | %(message)s", "%H:%M:%S"))
    hide_secrets_in(handler)
    with listening("coder_core", handler):
        yield


def _profile_server() -> str | None:
    """The address in Prefect's active profile, read without importing Prefect (2.4 s)."""
    home = Path(os.environ.get("PREFECT_HOME") or "~/.prefect").expanduser()
    place = Path(os.environ.get("PREFECT_PROFILES_PATH") or home / "profiles.toml")
    try:
        profiles = tomllib.loads(place.read_text(encoding="utf-8"))
        active = os.environ.get("PREFECT_PROFILE") or profiles.get("active", "")
        url = profiles.get("profiles", {}).get(active, {}).get("PREFECT_API_URL")
    except (OSError, ValueError, AttributeError):  # no profile, or one that Prefect itself would refuse
        return None
    return str(url) if url else None
