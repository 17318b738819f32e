"""Prefect's start-up hook: `prefect deployment run coder-eval` works as typed, and finds the server of `make serve`.

Plain Prefect wants `flow/deployment`; here each deployment is named as its flow, so a bare name can only mean
`name/name`. And without PREFECT_API_URL the command would start a temporary server that nobody's worker listens to, or
ask the server of a profile; while `serve` runs in this folder, its server is asked instead. Prefect imports its
plug-ins before it reads the command line, in every process that imports Prefect: this file imports nothing heavy,
touches only Prefect's own commands, and never raises. Enabled by `[tool.prefect.plugins]` of pyproject.toml in the
project's folder, elsewhere by PREFECT_PLUGINS_ENABLED=true.
"""

import os
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from service.loopback import VARIABLES, bypass_proxies
from service.served_api import find_served_api, served_home
from service.waiting_runs import quieten_waiting_runs

if TYPE_CHECKING:
    from prefect.plugins import SetupResult

PREFECT_PLUGIN_API_REQUIRES = ">=0.1,<1"
"""The hook contract that this was written against; Prefect skips the plug-in where it has another."""

_FLAGS = frozenset({"--watch", "--no-watch", "--prompt", "--no-prompt", "--help", "-h"})
"""Options of `prefect` and of `deployment run` without a value (3.8); all others take the next word."""

_SERVER_COMMANDS = frozenset({"server", "config", "profile", "version"})
"""Commands that must not be told of a server: they make one, or say which one is set."""


def expand_bare_name(words: Sequence[str]) -> list[str]:
    """Turn `deployment run NAME` into `deployment run NAME/NAME`; any other command stays as it is.

    Args:
        words: The command line after the program's name.
    """
    expanded = list(words)
    start = _skip_options(words, 0)
    if list(words[start : start + 2]) != ["deployment", "run"]:
        return expanded
    place = _skip_options(words, start + 2)
    if place < len(words) and words[place] and "/" not in words[place]:
        expanded[place] = f"{words[place]}/{words[place]}"
    return expanded


def is_prefect_command(argv: Sequence[str], original: Sequence[str]) -> bool:
    """Whether this is `prefect ...` or `python -m prefect ...`; Python says `-m` while it looks for the module."""
    if argv and argv[0] == "-m":
        return any(pair == ("-m", "prefect") for pair in pairwise(original))
    return bool(argv) and PurePath(argv[0]).stem == "prefect"


def setup_environment(*, ctx: Any) -> "SetupResult | None":
    """Adapt the command line of a Prefect command; Prefect's hook, called before the command is read."""
    if not is_prefect_command(sys.argv, sys.orig_argv):
        return None
    sys.argv[1:] = expand_bare_name(sys.argv[1:])
    command = sys.argv[1 + _skip_options(sys.argv[1:], 0) :][:1]
    if command == ["worker"]:
        quieten_waiting_runs()
    environment = {**_log_environment(), **_proxy_environment()}
    if not os.environ.get("PREFECT_API_URL") and command and command[0] not in _SERVER_COMMANDS:
        environment |= _served_environment(getattr(ctx, "api_url", None))
    return _result(environment) if environment else None


def _served_environment(otherwise: str | None) -> dict[str, str]:
    """Let a command ask the server of `serve`, as `coder-eval` does, and say so where a profile names another one.

    Args:
        otherwise: The server that Prefect would ask.
    """
    url = find_served_api(served_home())
    if url is None:
        return {}
    if otherwise not in {None, url}:
        told = f"The server of `coder-eval serve` here is asked, {url}, and not that of the profile, {otherwise}."
        print(told, "PREFECT_API_URL in the environment names another one.", file=sys.stderr)  # noqa: T201
    return {"PREFECT_API_URL": url}


def _log_environment() -> dict[str, str]:
    """Let a worker or a server log as CODER_LOG_FORMAT says; what is set wins, a wrong value `coder-eval` tells."""
    from coder_core.errors import ConfigError
    from tasks.json_logs import SETTINGS_VARIABLE, log_environment

    try:
        return {} if SETTINGS_VARIABLE in os.environ else log_environment(os.environ)
    except ConfigError:
        return {}


def _proxy_environment() -> dict[str, str]:
    """Let a command reach a server on this machine, although the environment names a proxy."""
    environment = dict(os.environ)
    bypass_proxies(environment)
    return {name: environment[name] for name in VARIABLES if environment.get(name) != os.environ.get(name)}


def _skip_options(words: Sequence[str], place: int) -> int:
    """The place of the first word from `place` on that is neither an option nor an option's value."""
    while place < len(words) and words[place].startswith("-"):
        has_value_after = words[place] not in _FLAGS and "=" not in words[place]
        place += 2 if has_value_after else 1
    return place


def _result(environment: dict[str, str]) -> "SetupResult | None":
    try:
        from prefect.plugins import SetupResult
    except ImportError:
        return None
    return SetupResult(env=environment)


try:
    from prefect.plugins import register_hook
except ImportError:  # another Prefect: then a bare name is an error, as it is without this file
    pass
else:
    setup_environment = register_hook(setup_environment)
