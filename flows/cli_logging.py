"""How the command line speaks on standard error: in words, or in JSON lines like the logs around it."""

import json
import os
from datetime import UTC, datetime


def error_line(message: str) -> str:
    """One line about an error; a JSON object where CODER_LOG_FORMAT=json asks for JSON logs.

    Args:
        message: In one line.
    """
    if os.environ.get("CODER_LOG_FORMAT") != "json":
        return f"error: {message}"
    time = datetime.now(UTC).isoformat(timespec="milliseconds")
    return json.dumps({"time": time, "level": "ERROR", "logger": "coder-eval", "message": message})
