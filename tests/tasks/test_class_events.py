"""The event about changed classes: what it says, and which run is an answer to it already."""

from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun, State
from prefect.settings import get_current_settings
from prefect.states import Running, Scheduled

from coder_core.class_source.class_look import ClassLook
from tasks.class_events import NAMES_TOLD, is_answer, write_event, write_payload


def test_an_event_names_some_and_counts_all() -> None:
    names = tuple(f"class {number}" for number in range(NAMES_TOLD + 5))
    look = ClassLook(name="x", source="classes.txt", added=names, removed=("a",), renamed=(("b", "c"),))
    payload = write_payload(look, "a.yaml", ["logit_scale=1"])
    assert (payload["config"], payload["overrides"]) == ("a.yaml", ["logit_scale=1"])
    assert payload["added"] == list(names[:NAMES_TOLD])
    assert (payload["removed"], payload["renamed"]) == (["a"], [["b", "c"]])
    assert [payload[f"{kind}_count"] for kind in ("added", "removed", "renamed")] == [NAMES_TOLD + 5, 1, 1]


def test_an_event_about_thousands_of_very_long_names_is_one_that_a_server_takes() -> None:
    long = tuple(f"{number} \N{BIRD}" + "é" * 1_000 for number in range(3_000))
    pairs = tuple((name, f"new {name}") for name in long)
    look = ClassLook(name="x", source="classes.txt", added=long, removed=long, renamed=pairs)
    event = write_event(look, "a.yaml", ["logit_scale=1"])
    limit = get_current_settings().server.events.maximum_size_bytes
    assert event.size_bytes < limit * 0.6, "there is room for all that is added to it"
    told = {kind: event.payload[kind] for kind in ("added", "removed", "renamed")}
    assert told["added"] == list(long[: len(told["added"])])
    assert told["renamed"] == [list(pair) for pair in pairs[: len(told["renamed"])]]
    assert all(0 < len(names) < NAMES_TOLD for names in told.values())
    assert {event.payload[f"{kind}_count"] for kind in told} == {3_000}
    one = ClassLook(name="x", source="classes.txt", added=("x" * 2_000_000,))
    payload = write_payload(one, "a.yaml", [])
    assert (payload["added"], payload["added_count"]) == ([], 1)


@pytest.mark.parametrize(
    ("parameters", "is_planned", "state", "answers"),
    [
        ({"config": "a.yaml"}, False, Scheduled(), True),
        ({"config": "a.yaml", "overrides": []}, False, Running(), True),
        ({"config": "a.yaml", "overrides": ["logit_scale=1"]}, False, Running(), False),
        ({"config": "b.yaml"}, False, Running(), False),
        ({"config": "a.yaml"}, True, Scheduled(), False),
        ({"config": "a.yaml"}, True, Running(), True),
    ],
)
def test_which_run_answers_a_change(parameters: dict[str, Any], is_planned: bool, state: State, answers: bool) -> None:
    run = FlowRun(flow_id=uuid4(), parameters=parameters, auto_scheduled=is_planned, state=state, state_type=state.type)
    assert is_answer(run, "a.yaml", []) is answers
