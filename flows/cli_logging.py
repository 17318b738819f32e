"""How the command line speaks on standard error: in words, or in JSON lines like the logs around it."""

import json
import os
from datetime import UTC, datetime

from coder_core.printable_text import printable
from coder_core.redaction import redact


def error_line(message: str) -> str:
    """One line about an error; a JSON object where CODER_LOG_FORMAT=json asks for JSON logs.

    Args:
        message: In one line.
    """
    message = printable(redact(message))
    return _json_line("ERROR", message) if _is_json() else f"error: {message}"


def warning_line(message: str) -> str:
    """One line about what may be wrong; a JSON object where CODER_LOG_FORMAT=json asks for JSON logs.

    Args:
        message: In one line.
    """
    message = printable(redact(message))
    return _json_line("WARNING", message) if _is_json() else f"warning: {message}"


def note_line(message: str) -> str:
    """One line for the person who asked; a JSON object where CODER_LOG_FORMAT=json asks for JSON logs.

    Args:
        message: In one line.
    """
    message = printable(redact(message))
    return _json_line("INFO", message) if _is_json() else message


def _is_json() -> bool:
    return os.environ.get("CODER_LOG_FORMAT") == "json"


def _json_line(level: str, message: str) -> str:
    time = datetime.now(UTC).isoformat(timespec="milliseconds")
    return json.dumps({"time": time, "level": level, "logger": "coder-eval", "message": message})
