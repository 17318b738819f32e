"""What Prefect's log says: what a step cost, and an expected error in one line instead of pages of traceback."""

import logging
from typing import Any

from prefect.logging import get_run_logger

from coder_core.errors import CoderError
from coder_core.steps.workplace import Product

LOGGERS = ("prefect.engine", "prefect.flow_runs", "prefect.task_runs")
"""Where Prefect's engines speak about failures; a filter works on the logger that is spoken to, not on its parents."""


class ExpectedErrors(logging.Filter):
    """Takes the traceback and the `repr` out of log records about errors that explain themselves."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Shorten the record; never drops one."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, CoderError):
            record.msg, record.args, record.exc_info, record.exc_text = _told(error), (), None, None
        elif isinstance(record.args, tuple):
            record.args = tuple(_Told(arg) if isinstance(arg, CoderError) else arg for arg in record.args)
        return True


def shorten_expected_errors() -> None:
    """Let Prefect's logs say expected errors in one line."""
    for name in LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(found, ExpectedErrors) for found in logger.filters):
            logger.addFilter(ExpectedErrors())


def log_product(product: Product) -> None:
    """Log what a step computed in this run and what it found in the store."""
    get_run_logger().info(
        "%d rows: %d computed, %d found in the store, %.1f s",
        product.artifact.rows,
        product.computed,
        product.reused,
        product.seconds,
    )


class _Told:
    """An error in the arguments of a log record, in the words that its user reads."""

    def __init__(self, error: CoderError) -> None:
        self._error = error

    def __repr__(self) -> str:
        return _told(self._error)

    __str__ = __repr__


def _told(error: Any) -> str:
    return f"{type(error).__name__}: {error}"
