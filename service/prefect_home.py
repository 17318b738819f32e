"""Prefect's folder, looked at before Prefect is: where it cannot be written, Prefect says so in thousands of lines."""

import os
import tempfile
from pathlib import Path

from coder_core.errors import ConfigError

VARIABLE = "PREFECT_HOME"


def check_prefect_home(home: Path | None = None) -> None:
    """Refuse a folder that Prefect could not keep its files in.

    Args:
        home: The folder; default: what PREFECT_HOME says, or `~/.prefect`.

    Raises:
        ConfigError: It cannot be made or written.
    """
    asked = home or Path(os.environ.get(VARIABLE) or "~/.prefect")
    try:
        folder = asked.expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".write-test-"):
            pass
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home of this user
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        problem = f"Prefect's folder cannot be written ({why})."
        remedy = f"Set {VARIABLE} to a folder that can, or use --engine inline, which needs none."
        raise ConfigError(problem, f"{VARIABLE}: {asked}", remedy) from error
