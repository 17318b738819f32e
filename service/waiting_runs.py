"""A run that waits for its slot says so once: Prefect's worker logs two lines at every further try, every 30 s."""

import logging

LOGGER = "prefect.flow_runs.worker"
"""Where Prefect 3.8's workers speak about a flow run."""

ABORTED = "Aborted submission of flow run"
SUBMITTING = " submitting flow run '"


class WaitsOnce(logging.Filter):
    """Lets the first such record of a run pass, in words that say what happens; of later tries, those that succeed."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record says something new."""
        message = record.getMessage()
        run = str(getattr(record, "flow_run_id", message))
        if run in self._waiting:
            return not message.startswith(ABORTED) and SUBMITTING not in message
        if not message.startswith(ABORTED):
            return True
        self._waiting.add(run)
        record.msg, record.args = f"The run waits, and is asked for again until it may start. {message}", ()
        return True


def quieten_waiting_runs() -> None:
    """Let this process say once that a run waits."""
    logger = logging.getLogger(LOGGER)
    if not any(isinstance(found, WaitsOnce) for found in logger.filters):
        logger.addFilter(WaitsOnce())
