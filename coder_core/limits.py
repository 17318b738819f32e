"""Limits that a user may move: each has a default here or where it is used, and a name in the environment."""

import os

from coder_core.errors import ConfigError

PREFIX = "CODER_"


def limit(name: str, default: int) -> int:
    """A limit of this process: `CODER_<name>` of the environment, or the default.

    Raises:
        ConfigError: The environment holds something else than a positive integer.
    """
    given = os.environ.get(PREFIX + name)
    if not given:
        return default
    if not given.isascii() or not given.isdecimal() or not 0 < len(given) < 19 or not int(given):
        raise ConfigError("expected a positive integer.", PREFIX + name, "Correct it, or unset it.")
    return int(given)
