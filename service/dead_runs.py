"""Runs that nobody carries out any more, told from those that somebody does.

On one machine there is no need to wait for heartbeats to stay away: the worker names the process of each run it starts,
and whether that process lives can be looked up.
"""

from collections.abc import Collection
from typing import TYPE_CHECKING
from uuid import UUID

import psutil

from service.deployment_setup import POOL

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

MESSAGE = "The worker or the machine went down during this run. Run again: it goes on from what is in the store."


def runs_under_way(client: "SyncPrefectClient") -> list["FlowRun"]:
    """Runs of the pool that a worker has taken and that have not ended."""
    from prefect.client.schemas.filters import (
        FlowRunFilter,
        FlowRunFilterState,
        FlowRunFilterStateType,
        WorkPoolFilter,
        WorkPoolFilterName,
    )
    from prefect.client.schemas.objects import StateType

    taken = FlowRunFilterStateType(any_=[StateType.PENDING, StateType.RUNNING, StateType.CANCELLING])
    return client.read_flow_runs(
        flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=taken)),
        work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[POOL])),
    )


def report_dead_runs(client: "SyncPrefectClient", among: Collection[UUID] | None = None) -> list[str]:
    """Set runs whose process is gone to Crashed, those that were being cancelled to Cancelled; gives their names.

    Args:
        client: Of the server.
        among: Runs of this machine. None for all, where the server's one worker was on this machine and is not running
            now: then a run without a living process has none anywhere.
    """
    from prefect.states import Cancelled, Crashed

    dead = [run for run in runs_under_way(client) if process_of(run) is None and (among is None or run.id in among)]
    for run in dead:
        was_cancelled = run.state is not None and run.state.is_cancelling()
        client.set_flow_run_state(run.id, (Cancelled if was_cancelled else Crashed)(message=MESSAGE))
    return [run.name for run in dead]


def process_of(run: "FlowRun") -> psutil.Process | None:
    """The living process that the worker noted; it is the run's, not one that got its number later."""
    pid = (run.infrastructure_pid or "").rsplit(":", 1)[-1]
    if not pid.isdecimal():
        return None
    try:
        process = psutil.Process(int(pid))
        is_ours = process.status() != psutil.STATUS_ZOMBIE and str(run.id) in process.environ().values()
    except (psutil.Error, OSError):
        return None
    return process if is_ours else None
