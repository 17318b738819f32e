"""Where the server of `serve` is, found without importing Prefect."""

import json
import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

from coder_core.errors import ConfigError

HOME = ".prefect"
"""Folder of `serve`'s server, in the project's folder, unless PREFECT_HOME names another."""

STANDING = "serve.json"
"""File there that names the server while `serve` runs."""

_CONNECT_SECONDS = 0.5
"""For a server on this machine: it answers in a millisecond, or it is gone."""


def check_api_url(url: str, place: str = "PREFECT_API_URL") -> None:
    """Refuse what cannot be the address of a Prefect server's API; nobody is asked.

    Raises:
        ConfigError: It is no URL, or names something else than an API.
    """
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # half an IPv6 address, a port that is no number
        is_address = False
    if not is_address or parts.path.rstrip("/").rpartition("/")[2] == "":
        problem = "this is no address of a Prefect server's API, which ends in /api."
        raise ConfigError(problem, f"{place}: {url}", "Set it to http://127.0.0.1:4200/api or the like, or unset it.")


def find_served_api(home: Path) -> str | None:
    """The server that `serve` runs on this machine, if it takes a connection."""
    try:
        url = json.loads((home / STANDING).read_text(encoding="utf-8"))["api_url"]
        parts = urlsplit(str(url))
        with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=_CONNECT_SECONDS):
            return str(url)
    except (OSError, ValueError, KeyError, TypeError):  # no such file, half a file, or a server that has gone
        return None


def write_standing(home: Path, api_url: str) -> None:
    """Note where the server is: in its folder, and in the project's for who has not heard of that folder."""
    for place in _standing_places(home):
        try:
            place.parent.mkdir(exist_ok=True)
            place.write_text(json.dumps({"api_url": api_url}), encoding="utf-8")
        except OSError:
            if place.parent == home:
                raise


def remove_standing(home: Path, api_url: str) -> None:
    """Take the notes back, unless they name another server by now."""
    for place in _standing_places(home):
        try:
            if json.loads(place.read_text(encoding="utf-8")) == {"api_url": api_url}:
                place.unlink()
        except (OSError, ValueError):
            continue


def _standing_places(home: Path) -> tuple[Path, ...]:
    return tuple(dict.fromkeys([home / STANDING, Path(HOME).absolute() / STANDING]))


def served_home() -> Path:
    """Where `serve` keeps its server's files when it is started in this folder."""
    return Path(os.environ.get("PREFECT_HOME") or HOME).expanduser().absolute()
