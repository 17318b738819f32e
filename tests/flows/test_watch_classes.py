"""The watcher under a real Prefect server: what it emits, and when it keeps quiet."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.events import emit_event
from prefect.settings import PREFECT_SERVER_EVENTS_MAXIMUM_SIZE_BYTES, temporary_settings
from prefect.states import Failed, Running, Scheduled

from coder_core.class_source import announcements
from coder_core.errors import InputError, QueryError, ServiceError
from coder_core.specs import Runtime
from flows.coder_eval import coder_eval
from flows.watch_classes import watch_classes
from tasks.class_events import EVENT, is_run_under_way
from tests.fixtures_deployment import wait_until
from tests.fixtures_inputs import NAMES, World, write_image_class

from .conftest import Query, newest_artifacts

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]
HOSTILE = "{{ event }}'; DROP TABLE runs; -- <b>../x</b>"


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    return Runtime(store=str(tmp_path / "store"), device="cpu", settle_seconds=0.02)


@pytest.fixture
def config(photos: World, request: pytest.FixtureRequest) -> str:
    """A config with a class list beside it; its name is the test's, so that its events are its own."""
    settings = {
        "name": request.node.originalname.replace("_", "-"),
        "dataset": {
            "kind": "folder",
            "path": "images",
            "classes": {"kind": "file", "path": "classes.txt"},
            "ignore_other_folders": True,
        },
        "encoder": photos.settings["encoder"],
        "texts": {"domain": "bird"},
        "methods": ["clip"],
    }
    (photos.folder / "config.yaml").write_text(yaml.safe_dump(settings))
    write_list(photos, NAMES)
    return str(photos.folder / "config.yaml")


def write_list(photos: World, names: tuple[str, ...]) -> None:
    (photos.folder / "classes.txt").write_text("".join(f"{name}\n" for name in names))


@pytest.fixture
def events(request: pytest.FixtureRequest) -> Callable[[], list[dict[str, Any]]]:
    """The events about this test's evaluation; whatever this process has emitted by then is among them."""
    resource = f"coder.classes.{request.node.originalname.replace('_', '-')}"

    def read() -> list[dict[str, Any]]:
        last = f"test.last.{uuid4()}"
        emit_event(event="test.last", resource={"prefect.resource.id": last})  # events are stored in their order
        wait_until(lambda: read_events("test.last", last) or None)
        return read_events(EVENT, resource)

    return read


def read_events(event: str, resource: str) -> list[dict[str, Any]]:
    """Events of a name about a resource that the server has stored, oldest first."""
    wanted = {"event": {"name": [event]}, "resource": {"id": [resource]}, "order": "ASC"}
    with get_client(sync_client=True) as client:
        found = client.request("POST", "/events/filter", json={"filter": wanted})
    return list(json.loads(found.read())["events"])


def test_new_classes_are_announced_once_and_evaluated(
    photos: World, config: str, runtime: Runtime, query: Query, events: Callable[[], list[dict[str, Any]]]
) -> None:
    first = watch_classes(config, ["logit_scale=50"], runtime)
    assert (first.added, first.evaluated_run) == (NAMES, None)
    watch_classes(config, ["logit_scale=50"], runtime)
    (event,) = events()
    assert event["payload"] == {
        "config": config,
        "overrides": ["logit_scale=50"],
        "added": list(NAMES),
        "removed": [],
        "renamed": [],
        "added_count": 4,
        "removed_count": 0,
        "renamed_count": 0,
    }
    roles = {resource["prefect.resource.role"] for resource in event["related"]}
    assert roles == {"flow-run", "flow"}, "as `emit_event` would tell"
    coder_eval(config=event["payload"]["config"], overrides=event["payload"]["overrides"], runtime=runtime)
    assert not watch_classes(config, ["logit_scale=50"], runtime).has_changed

    write_list(photos, (*NAMES[1:], "goldcrest", HOSTILE))
    write_image_class(photos.folder / "images", "goldcrest", 3)
    watch_classes(config, [], runtime)
    _, event = events()
    assert event["payload"]["added"] == ["goldcrest", HOSTILE]
    assert event["payload"]["removed"] == [NAMES[0]]
    result = coder_eval(config, [], runtime)
    assert (result.class_count, result.texts_embedded, result.images_embedded, result.images_reused) == (5, 2, 3, 15)
    assert query("SELECT count(DISTINCT run_id) FROM runs") == [(2,)]
    told = newest_artifacts()[f"{result.name}-class-changes"]
    assert result.run_id in str(told.description).replace("\\", "")
    assert "| added class | n | recall | taken |" in str(told.data)
    assert len(events()) == 2


def test_an_event_that_is_not_taken_fails_the_look_and_the_next_one_announces(
    config: str, runtime: Runtime, events: Callable[[], list[dict[str, Any]]]
) -> None:
    long = ["logit_scale=50"] * 2_000
    with (
        temporary_settings({PREFECT_SERVER_EVENTS_MAXIMUM_SIZE_BYTES: 30_000}),
        pytest.raises(ServiceError, match=r"the server did not take the event coder\.classes\.updated \(EventTooLarge"),
    ):
        watch_classes(config, long, runtime)
    watch_classes(config, long, runtime)
    assert len(events()) == 1


def test_a_dry_run_says_and_does_nothing(
    config: str, runtime: Runtime, events: Callable[[], list[dict[str, Any]]]
) -> None:
    assert watch_classes(config, None, runtime, is_dry_run=True).has_changed
    assert events() == []
    watch_classes(config, None, runtime)
    assert len(events()) == 1


def test_half_a_list_is_not_announced(
    photos: World, config: str, runtime: Runtime, events: Callable[[], list[dict[str, Any]]]
) -> None:
    with (photos.folder / "classes.txt").open("a") as file:
        file.write("golden ea")
    look = watch_classes(config, None, runtime)
    assert "the last line has no line end" in str(look.unfinished)
    assert events() == []
    with (photos.folder / "classes.txt").open("a") as file:
        file.write("gle\n")
    watch_classes(config, None, runtime)
    (event,) = events()
    assert event["payload"]["added"] == [*NAMES, "golden eagle"]


def test_as_typed(
    photos: World,
    config: str,
    runtime: Runtime,
    prefect_server: str,
    events: Callable[[], list[dict[str, Any]]],
) -> None:
    def typed(*options: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "flows.cli", "classes", "watch", config, "--store", runtime.store, *options]
        environment = {**os.environ, "PREFECT_API_URL": prefect_server, "CODER_SETTLE_SECONDS": "0.02"}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)

    look = typed("--dry-run", "--json")
    assert (look.returncode, look.stderr) == (0, "")
    assert json.loads(look.stdout)["added"] == list(NAMES)
    assert events() == []
    told = typed()
    assert told.returncode == 0, told.stderr
    assert all(name in told.stdout for name in NAMES)
    assert len(events()) == 1
    with (photos.folder / "classes.txt").open("a") as file:
        file.write("golden ea")
    assert typed("--dry-run").returncode == 3


@pytest.mark.parametrize(
    ("classes", "error", "told"),
    [
        ({"kind": "file", "path": "missing.txt"}, InputError, "missing.txt: there is no such file"),
        ({"kind": "file", "path": "empty.txt"}, InputError, "empty.txt: there is no class in it"),
        ({"kind": "query", "sql": "DROP TABLE x"}, QueryError, "Only reading is allowed, not DROP"),
    ],
)
def test_a_source_that_cannot_be_used_fails_the_look(
    photos: World, config: str, runtime: Runtime, classes: dict[str, str], error: type[Exception], told: str
) -> None:
    (photos.folder / "empty.txt").write_text("")
    with pytest.raises(error, match=told):
        watch_classes(config, [f"dataset.classes={json.dumps(classes)}"], runtime)


def test_a_failed_run_is_announced_again(
    config: str,
    runtime: Runtime,
    events: Callable[[], list[dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(announcements, "GRACE", timedelta(0))
    monkeypatch.setattr(announcements, "FIRST_RETRY", timedelta(0))
    watch_classes(config, None, runtime)
    with get_client(sync_client=True) as client:
        run = client.create_flow_run(coder_eval, parameters={"config": config, "overrides": []}, state=Scheduled())
        states: list[State] = [Scheduled(), Running()]
        for state in states:
            client.set_flow_run_state(run.id, state, force=True)
            watch_classes(config, None, runtime)
            assert is_run_under_way(config, [])
            assert len(events()) == 1
        client.set_flow_run_state(run.id, Failed(), force=True)
    assert not is_run_under_way(config, [])
    watch_classes(config, None, runtime)
    assert len(events()) == 2
