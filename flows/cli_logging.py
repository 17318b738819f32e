"""How the command line speaks on standard error: in words, or in JSON lines like the logs around it."""

import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def progress_on_stderr() -> Iterator[None]:
    """Show the lines that tell how far the work is (`coder_core.progress`), where nobody else shows what is logged."""
    with listening("coder_core.progress", _ProgressLines(logging.INFO)):
        yield


@contextmanager
def listening(name: str, handler: logging.Handler) -> Iterator[None]:
    """Hand a logger's lines, from INFO on, to a handler for a while."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


class _ProgressLines(logging.Handler):
    """Writes to whatever standard error is at the moment; silent while the core's logs go elsewhere."""

    def emit(self, record: logging.LogRecord) -> None:
        if logging.getLogger("coder_core").handlers:
            return
        line = note_line(record.getMessage())
        clock = "" if _is_json() else f"{datetime.now().astimezone():%H:%M:%S} | "
        sys.stderr.write(f"{clock}{line}\n")
        sys.stderr.flush()


def _is_json() -> bool:
    return os.environ.get("CODER_LOG_FORMAT") == "json"


def _json_line(level: str, message: str) -> str:
    time = datetime.now(UTC).isoformat(timespec="milliseconds")
    return json.dumps({"time": time, "level": level, "logger": "coder-eval", "message": message})
