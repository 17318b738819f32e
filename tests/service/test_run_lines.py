"""A line for every run that starts or ends: called by its id, told once, and nothing in it steers a terminal."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from prefect.client.schemas.objects import FlowRun
from prefect.states import Completed, Pending, Running, Scheduled, State

from service.run_lines import NAMING, RunLines


def run_in(state: State, name: str, **fields: object) -> FlowRun:
    return FlowRun(id=uuid4(), flow_id=uuid4(), name=name, state=state, **fields)


def running_for(age: timedelta) -> State:
    return Running(timestamp=datetime.now(UTC) - age)


def test_a_run_is_told_of_when_it_has_its_name_and_when_it_has_ended() -> None:
    lines = RunLines()
    run = run_in(running_for(timedelta()), "splendid-robin")
    assert lines._line(run) is None, "it calls itself by its id within seconds"
    run = run.model_copy(update={"name": "flags-1", "state": running_for(NAMING)})
    assert str(lines._line(run))[9:] == "flags-1: running"
    assert lines._line(run) is None, "once"
    ended = {"state": Completed(message="coder 90.4 %\n\x1b[31m"), "total_run_time": timedelta(seconds=20.4)}
    told = str(lines._line(run.model_copy(update=ended)))
    assert told[9:].startswith("flags-1: completed after 20 s: coder 90.4 %")
    assert told.isprintable()


def test_a_run_that_ends_at_once_is_told_of_once() -> None:
    lines = RunLines()
    run = run_in(Completed(), "compact")
    assert str(lines._line(run))[9:] == "compact: completed"
    assert lines._line(run) is None


def test_a_run_that_waits_has_no_line() -> None:
    assert [RunLines()._line(run_in(state, "a")) for state in (Pending(), Scheduled())] == [None, None]
