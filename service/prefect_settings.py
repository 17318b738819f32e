"""Prefect's settings, read for the first time: a value that Prefect refuses is one line, and not a traceback.

Prefect reads them while it is imported, and prints what goes wrong there itself; so what it prints is held back until
it is known whether it can be used.
"""

import contextlib
import io
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coder_core.errors import ConfigError

_PREFIX = "PREFECT_"
CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


def load_prefect_settings(environment: Mapping[str, str] = os.environ) -> None:
    """Import Prefect's settings.

    Args:
        environment: Whose values are named in a refusal.

    Raises:
        ConfigError: Prefect refuses a value of the environment, or certificates are where nothing is.
    """
    for name in CERTIFICATES:
        if (place := environment.get(name)) and not Path(place).exists():
            raise ConfigError("there are no certificates there.", f"{name}: {place}", "Correct or unset it.")
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            import prefect.settings

            prefect.settings.get_current_settings()
    except ValueError as error:  # pydantic's
        raise _refusal(error, environment) from error
    sys.stderr.write(said.getvalue())


def _refusal(error: ValueError, environment: Mapping[str, str]) -> ConfigError:
    details: list[dict[str, Any]] = getattr(error, "errors", list)()
    first = details[0] if details else {"loc": (), "msg": str(error)}
    ending = str(first["loc"][-1]).upper() if first["loc"] else ""
    names = sorted((name for name in environment if name.startswith(_PREFIX) and name.endswith(ending)), key=len)
    several = ending.lower() or ", ".join(["profile", *names])  # settings that do not go together, or those of a file
    place = names[0] if ending and names else f"Prefect's settings ({several})"
    said = str(first["msg"]).removeprefix("Value error, ")
    return ConfigError(f"Prefect refuses this value: {said}.", place, "Correct or unset it.")
