"""How tasks fail and come back: one place for retries, caching and what a log says of an expected error."""

import logging
from typing import Any

from prefect.cache_policies import NO_CACHE

from coder_core.errors import CoderError, StoreError


def is_worth_retrying(_task: Any, _run: Any, state: Any) -> bool:
    """Retry what may pass (a store or a network that refuses), never what the user must mend first."""
    try:
        state.result()
    except StoreError:
        return True
    except CoderError:
        return False
    except Exception:  # noqa: BLE001 - whatever it was, a second try costs little: steps go on where they stopped
        return True
    return False


STEP_POLICY: dict[str, Any] = {
    "retries": 2,
    "retry_delay_seconds": [1, 10],
    "retry_condition_fn": is_worth_retrying,
    "cache_policy": NO_CACHE,
    "persist_result": False,
}
"""Our storage is the cache (architecture.md, section 5), so a step may run again at any time."""


class ExpectedErrors(logging.Filter):
    """Takes the traceback out of log records about errors that explain themselves."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Shorten the record; never drops one."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, CoderError):
            record.msg, record.args, record.exc_info = f"{type(error).__name__}: {error}", (), None
        return True


def shorten_expected_errors() -> None:
    """Let Prefect's logs say expected errors in one line."""
    for name in ("prefect.task_runs", "prefect.flow_runs"):
        logger = logging.getLogger(name)
        if not any(isinstance(found, ExpectedErrors) for found in logger.filters):
            logger.addFilter(ExpectedErrors())
