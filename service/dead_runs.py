"""Runs that nobody carries out any more, told from those that somebody does.

On one machine there is no need to wait for heartbeats to stay away: the worker names the process of each run it starts,
and whether that process lives can be looked up.
"""

from typing import TYPE_CHECKING

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


def report_dead_runs(client: "SyncPrefectClient") -> list[str]:
    """Set runs whose process is gone to Crashed, those that were being cancelled to Cancelled; gives their names.

    Only for a server whose one worker was on this machine and is not running now: then a run without a living process
    has none anywhere.
    """
    from prefect.states import Cancelled, Crashed

    dead = [run for run in runs_under_way(client) if not _has_process(run)]
    for run in dead:
        was_cancelled = run.state is not None and run.state.is_cancelling()
        client.set_flow_run_state(run.id, (Cancelled if was_cancelled else Crashed)(message=MESSAGE))
    return [run.name for run in dead]


def _has_process(run: "FlowRun") -> bool:
    """Whether the process that the worker noted lives; it is a run's, not one that got its number later."""
    pid = (run.infrastructure_pid or "").rsplit(":", 1)[-1]
    if not pid.isdecimal():
        return False
    try:
        process = psutil.Process(int(pid))
        return process.status() != psutil.STATUS_ZOMBIE and str(run.id) in process.environ().values()
    except (psutil.Error, OSError):
        return False
