"""Where the time of a run went, step by step: what Prefect's page shows, from the rows that table `timings` holds."""

from collections.abc import Sequence
from typing import NamedTuple

from coder_core.pipeline.step import StepRecord


class StepTime(NamedTuple):
    """One step of a run.

    Attributes:
        step: Its name.
        seconds: Spent in this run; work of several tasks added up, so that the sum may exceed the run's time.
        rows: Rows of what it produced.
        computed: Rows among them computed in this run.
        origin: `made`, `reused` (from the store), or `partly made`.
    """

    step: str
    seconds: float
    rows: int
    computed: int
    origin: str


def list_step_times(records: Sequence[StepRecord]) -> list[StepTime]:
    """The steps that made or found an artifact, in their order."""
    return [
        StepTime(record.step, round(record.seconds, 3), record.rows, record.computed, _origin(record))
        for record in records
        if record.kind
    ]


def _origin(record: StepRecord) -> str:
    if record.computed == 0:
        return "reused"
    return "partly made" if record.reused else "made"
