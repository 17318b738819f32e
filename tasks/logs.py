"""What Prefect's log says: what steps say of themselves, and an expected error in one line instead of a traceback."""

import logging
import re
from collections.abc import Iterator

from prefect.exceptions import MissingContextError
from prefect.logging import get_run_logger

from coder_core.errors import CoderError
from coder_core.log_redaction import hide_secrets_in
from coder_core.redaction import redact

CORE = "coder_core"
FLOW_LOGGER = "prefect.flow_runs"
RUN_IDS = {FLOW_LOGGER: "flow_run_id", "prefect.task_runs": "task_run_id"}
"""Logger -> the attribute of its records that says which run they are about."""
LOGGERS = ("prefect.engine", *RUN_IDS)
"""Where Prefect's engines speak about failures; a filter works on the logger that is spoken to, not on its parents."""

_FAILED_TASK = re.compile(r"Finished in state Failed\(['\"]Task run encountered an exception (\w+)")


class ExpectedErrors(logging.Filter):
    """Lets errors that explain themselves be told once per run: by the state in which the flow run ends.

    A record with the traceback of such an error is dropped, because Prefect logs the state, with the same message,
    right after it; that of a task run is told without its words, which the flow run's has. In a record about a retry
    the error keeps its own words instead of a `repr`. Prefect 3.8 logs the failed state of a task as an error and that
    of a flow as information: here it is an error, too, so that whoever watches for errors sees every failed run.
    """

    def __init__(self) -> None:
        super().__init__()
        self._failed: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record says something that the state does not say."""
        run_id = str(getattr(record, RUN_IDS.get(record.name, ""), ""))
        if run_id in self._failed or _is_expected_state(record):
            self._failed.discard(run_id)
            _tell_state(record)
        if isinstance(record.args, tuple):
            record.args = tuple(_Told(arg) if isinstance(arg, CoderError) else arg for arg in record.args)
        if not (record.exc_info and isinstance(record.exc_info[1], CoderError)):
            return True
        if run_id:  # the next record of this run is about its state
            self._failed.add(run_id)
        return False


class _Caller:
    """Who runs flows in this process: the command line tells an error itself, as its last line."""

    tells_errors = False


def leave_errors_to_caller() -> None:
    """Let the flow run's failed state be logged without the words of an expected error: the caller tells them."""
    _Caller.tells_errors = True


def _is_expected_state(record: logging.LogRecord) -> bool:
    """Whether a task run ends with an expected error: where no retry would mend it, Prefect logs nothing but this."""
    found = _FAILED_TASK.match(record.getMessage())
    return found is not None and found[1] in {kind.__name__ for kind in _kinds(CoderError)}


def _kinds(kind: type[CoderError]) -> Iterator[type[CoderError]]:
    yield kind
    for narrower in kind.__subclasses__():
        yield from _kinds(narrower)


def _tell_state(record: logging.LogRecord) -> None:
    """Bring the record about a failed state to the level of an error, with its words where nobody else tells them."""
    is_flow = record.name == FLOW_LOGGER
    if is_flow:
        record.levelno, record.levelname = logging.ERROR, logging.getLevelName(logging.ERROR)
    if not is_flow or _Caller.tells_errors:
        told_by = "the error below says why" if is_flow else "the state of the flow run says why"
        record.msg, record.args = f"Finished in state Failed(): {told_by}", ()


class ToRunLogger(logging.Handler):
    """Hands what the core logs to the logger of the run that it works for: on the console and on Prefect's page."""

    def emit(self, record: logging.LogRecord) -> None:
        """Hand a record on; outside a run, to Prefect's console if it is a warning."""
        try:
            logger = get_run_logger()
        except MissingContextError:
            if record.levelno >= logging.WARNING:
                logging.getLogger().handle(record)
            return
        logger.log(record.levelno, "%s", redact(record.getMessage()))


def prepare_logs() -> None:
    """Let Prefect's logs say what steps say, and an expected error in one line per run; once per process."""
    core = logging.getLogger(CORE)
    if not any(isinstance(found, ToRunLogger) for found in core.handlers):
        core.addHandler(ToRunLogger())
        core.setLevel(logging.INFO)
        core.propagate = False
    hide_secrets_in(*(handler for name in ("", "prefect") for handler in logging.getLogger(name).handlers))
    for name in LOGGERS:
        logger = logging.getLogger(name)
        hide_secrets_in(logger)
        if not any(isinstance(found, ExpectedErrors) for found in logger.filters):
            logger.addFilter(ExpectedErrors())


class _Told:
    """An error in the arguments of a log record, in the words that its user reads."""

    def __init__(self, error: CoderError) -> None:
        self._error = error

    def __repr__(self) -> str:
        return f"{type(self._error).__name__}: {self._error}"

    __str__ = __repr__
