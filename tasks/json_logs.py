"""Logs as JSON lines: one object per record, for whatever collects the logs of a service.

Prefect reads its logging configuration when it is imported, before any code of a flow, and hands its environment on to
the processes of runs. So the supported place for this is a configuration file of ours, `json-logging.yml`, named by
PREFECT_LOGGING_SETTINGS_PATH; CODER_LOG_FORMAT=json is the short way to name it. Prefect's own JSON formatter writes
every attribute of a record, does not know the run of this project's loggers, and goes through a console that replaces
`:smile:`. Nothing here imports Prefect when it is loaded: Prefect loads it while it starts.
"""

import json
import logging
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from coder_core.errors import ConfigError
from coder_core.redaction import redact

FORMAT_VARIABLE = "CODER_LOG_FORMAT"
FORMATS = ("text", "json")
SETTINGS_VARIABLE = "PREFECT_LOGGING_SETTINGS_PATH"
JSON_SETTINGS = Path(__file__).with_name("json-logging.yml")

RUN_FIELDS = ("flow_name", "flow_run_id", "flow_run_name", "task_run_id", "task_run_name")
"""What Prefect's run loggers attach to a record."""

_RUN: ContextVar[tuple[str | None, str] | None] = ContextVar("coder_run", default=None)
_RUNS_ELSEWHERE: dict[str | None, str] = {}
"""In a process of a cluster, where no context arrives: run ids by flow run id."""


def log_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What Prefect must be told so that logs have the format that the environment asks for.

    Raises:
        ConfigError: There is no such format.
    """
    asked = environment.get(FORMAT_VARIABLE) or "text"
    if asked not in FORMATS:
        raise ConfigError(f"there is no log format {asked!r}.", FORMAT_VARIABLE, "Set it to text or json.")
    return {SETTINGS_VARIABLE: str(JSON_SETTINGS)} if asked == "json" else {}


def name_run_in_logs(flow_run_id: str | None, run_id: str) -> None:
    """Let every later record of a flow run (None: of a run without Prefect), threads included, carry the run's id."""
    _RUN.set((flow_run_id, run_id))


def named_run() -> tuple[str | None, str] | None:
    """The flow run's id and the run id that `name_run_in_logs` was told."""
    return _RUN.get()


def name_run_of_process(flow_run_id: str | None, run_id: str) -> None:
    """Let this process know a run of another one, whose tasks it will work on."""
    _RUNS_ELSEWHERE[flow_run_id] = run_id


class JsonLines(logging.Formatter):
    """Writes a record as one line of ASCII: what could end a line or steer a terminal is an escape of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """One JSON object; a field without a value is left out."""
        run = {**_context_of_run(), **_attached(record)}
        fields: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": redact(record.getMessage()),
            "run_id": _run_id_of(run.get("flow_run_id")),
            **{name: run[name] for name in RUN_FIELDS if name in run},
        }
        if record.exc_info and record.exc_info[0] is not None:
            fields["exception"] = redact(self.formatException(record.exc_info))
        return json.dumps({name: value for name, value in fields.items() if value is not None})


def _attached(record: logging.LogRecord) -> dict[str, str]:
    found = {name: getattr(record, name, None) for name in RUN_FIELDS}
    return {name: str(value) for name, value in found.items() if value is not None and value != "<unknown>"}


def _context_of_run() -> dict[str, str]:
    """The run that this thread works for; loggers outside Prefect do not attach it."""
    context = sys.modules.get("prefect.context")
    if context is None or not hasattr(context, "TaskRunContext"):  # Prefect is still being imported: no run yet
        return {}
    run: dict[str, str] = {}
    flow = context.FlowRunContext.get()
    if flow is not None and flow.flow_run is not None:
        run |= {"flow_run_id": str(flow.flow_run.id), "flow_run_name": flow.flow_run.name}
        run |= {"flow_name": flow.flow.name} if flow.flow is not None else {}
    task = context.TaskRunContext.get()
    if task is not None:
        run |= {"task_run_id": str(task.task_run.id), "task_run_name": task.task_run.name}
    return run


def _run_id_of(flow_run_id: str | None) -> str | None:
    named = _RUN.get()
    if named is not None and named[0] == flow_run_id:
        return named[1]
    return None if flow_run_id is None else _RUNS_ELSEWHERE.get(flow_run_id)
