"""The event that says that classes have changed: sent once, and only where no run is to come anyway.

A change counts as announced when the server has the event. One that it did not take is announced by the next look.
"""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import accumulate, count
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.events import Event
from prefect.events.schemas.events import Resource
from prefect.logging import get_run_logger
from prefect.settings import get_current_settings

from coder_core.class_source.class_look import ClassLook
from coder_core.pipeline.runner import Runner
from coder_core.steps.look_at_classes import ClaimAnnouncement, WithdrawAnnouncement
from tasks.sent_events import send_event

EVENT = "coder.classes.updated"
EVALUATION_FLOW = "coder-eval"
NAMES_TOLD = 1_000
"""Names of each kind in an event, at most; the counts are always whole."""
SHARE_OF_NAMES = 0.5
"""Of the bytes that the server takes as one event (Prefect: 1.5 MB); the rest is for all else that an event says."""
PAGE = 200
"""Flow runs per request: the most that Prefect's server answers with."""
UNDER_WAY = [StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING, StateType.PAUSED, StateType.CANCELLING]


def announce_change(look: ClassLook, config: str, overrides: list[str], run: Runner) -> bool:
    """Send the event that starts the evaluation, unless it was sent for this very change and a run is to come.

    Raises:
        ServiceError: The server did not take it; the change is not announced then.
    """
    if look.unfinished is not None:
        get_run_logger().warning("not looked at: %s", look.unfinished)
    is_under_way = look.has_changed and is_run_under_way(config, overrides)
    attempt = run(ClaimAnnouncement(look=look, now=datetime.now(UTC), is_under_way=is_under_way))
    if not attempt:
        return False
    try:
        send_event(write_event(look, config, overrides))
    except Exception:
        run(WithdrawAnnouncement(look=look, attempt=attempt))
        raise
    return True


def write_event(look: ClassLook, config: str, overrides: list[str]) -> Event:
    """The event about a change."""
    resource = {"prefect.resource.id": f"coder.classes.{look.name}", "prefect.resource.name": look.name}
    return Event(event=EVENT, resource=Resource(resource), payload=write_payload(look, config, overrides))


def write_payload(look: ClassLook, config: str, overrides: list[str]) -> dict[str, Any]:
    """What the event says: the parameters of the run to start, and what changed; of many or long names the first."""
    kinds: dict[str, list[Any]] = {"added": list(look.added), "removed": list(look.removed)}
    kinds["renamed"] = [list(pair) for pair in look.renamed]
    longest = get_current_settings().server.events.maximum_size_bytes * SHARE_OF_NAMES / len(kinds)
    return {
        "config": config,
        "overrides": overrides,
        **{kind: _first_names(names, longest) for kind, names in kinds.items()},
        **{f"{kind}_count": len(names) for kind, names in kinds.items()},
    }


def _first_names(names: Sequence[Any], longest: float) -> list[Any]:
    """As many of the first names, or pairs of names, as an event may hold.

    Args:
        names: All.
        longest: Bytes that they may take as JSON.
    """
    first = list(names[:NAMES_TOLD])
    ends = accumulate(len(json.dumps(name)) + 1 for name in first)  # with a comma; escapes only make it longer
    return first[: sum(end <= longest for end in ends)]


def is_run_under_way(config: str, overrides: list[str]) -> bool:
    """Whether an evaluation with these parameters is going, or was asked for and has not begun."""
    return any(is_answer(run, config, overrides) for run in read_unended_runs())


def read_unended_runs() -> Iterator[FlowRun]:
    """The evaluations that have not ended, page after page: what schedules have planned may fill the first ones."""
    unended = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=UNDER_WAY)))
    evaluations = FlowFilter(name=FlowFilterName(any_=[EVALUATION_FLOW]))
    with get_client(sync_client=True) as client:
        for offset in count(0, PAGE):
            runs = client.read_flow_runs(
                flow_filter=evaluations, flow_run_filter=unended, limit=PAGE, offset=offset, sort=FlowRunSort.ID_DESC
            )
            yield from runs
            if len(runs) < PAGE:
                return


def is_answer(run: FlowRun, config: str, overrides: list[str]) -> bool:
    """Whether a run that has not ended will evaluate this, or does.

    What a schedule has planned for later does not count: it is no answer to this change.
    """
    if run.auto_scheduled and run.state_type == StateType.SCHEDULED:
        return False
    asked = run.parameters.get("config"), list(run.parameters.get("overrides") or ())
    return asked == (config, list(overrides))
