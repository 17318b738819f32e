"""A line for every run of the pool that starts or ends, for whoever watches `serve`."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from service.deployment_setup import POOL

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

RUNS_ASKED = 50
"""The newest runs that are looked at: more do not start or end between two looks."""

NAMING = timedelta(seconds=5)
"""For a run that has started to call itself by its run id: a line before that would name it as nobody knows it."""

MESSAGE_CHARACTERS = 300
"""Of a state's message; whatever breaks a line or steers a terminal in it is written as its escape."""


class RunLines:
    """Knows which runs were told of already."""

    def __init__(self) -> None:
        self._since = datetime.now(UTC)
        self._told: dict[UUID, str] = {}

    def look(self, client: "SyncPrefectClient") -> list[str]:
        """Lines for what has changed since the last look."""
        lines = [line for run in reversed(self._read(client)) if (line := self._line(run)) is not None]
        self._told = dict(list(self._told.items())[-4 * RUNS_ASKED :])
        return lines

    def _read(self, client: "SyncPrefectClient") -> list["FlowRun"]:
        from prefect.client.schemas.filters import (
            FlowRunFilter,
            FlowRunFilterStartTime,
            WorkPoolFilter,
            WorkPoolFilterName,
        )
        from prefect.client.schemas.sorting import FlowRunSort

        return client.read_flow_runs(
            flow_run_filter=FlowRunFilter(start_time=FlowRunFilterStartTime.model_validate({"after_": self._since})),
            work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[POOL])),
            sort=FlowRunSort.START_TIME_DESC,
            limit=RUNS_ASKED,
        )

    def _line(self, run: "FlowRun") -> str | None:
        from coder_core.results.render import printable

        state = run.state
        if state is None or not (state.is_running() or state.is_final()) or self._told.get(run.id) == state.name:
            return None
        if state.is_running() and datetime.now(UTC) - state.timestamp < NAMING:
            return None
        self._told[run.id] = str(state.name)
        at = f"{datetime.now():%H:%M:%S}"
        if state.is_running():
            return f"{at} {printable(run.name)}: running"
        said = f": {printable(state.message)[:MESSAGE_CHARACTERS]}" if state.message else ""
        took = f" after {run.total_run_time.total_seconds():.0f} s" if run.total_run_time else ""
        return f"{at} {printable(run.name)}: {str(state.name).lower()}{took}{said}"
