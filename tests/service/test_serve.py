"""`serve` with real processes: what it prints works, what dies is reported and replaced, and nothing is left behind."""

import json
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import httpx
import psutil
import pytest
import yaml
from prefect.client.schemas.objects import FlowRun

from coder_core.results.warehouse import Warehouse
from coder_core.storage.store import Store
from service.served_api import STANDING
from tests.fixtures_deployment import PROJECT, processes_of
from tests.fixtures_inputs import World, write_image_class, write_photos, write_world
from tests.fixtures_prefect import copy_database

from .held_runs import HELD_SECONDS, HeldScene, read_run_id
from .served import SERVE, Served

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
WADERS = ("dunlin", "knot", "sanderling")
HOSTILE = "{{ event.id }}'; DROP TABLE runs; -- <b>../x</b>"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, new_database: Path) -> Iterator[Served]:
    """One that serves several tests and is ended by Ctrl-C."""
    served = Served(tmp_path_factory.mktemp("served"))
    copy_database(new_database, served.home / "prefect.db")
    served.start()
    try:
        yield served
        assert served.end(signal.SIGINT) == 128 + signal.SIGINT, served.told
        assert served.told.splitlines()[-1].startswith("Stopped. Start this again")
        assert processes_of(served.home) == []
        assert not (served.home / STANDING).exists()
    finally:
        served.kill_all()


def commands(served: Served) -> list[list[str]]:
    """The commands that are printed."""
    return [shlex.split(line) for line in served.told.splitlines() if line.startswith("  ")]


@pytest.mark.thorough
def test_the_three_commands_work_as_they_are_printed(served: Served, scene: HeldScene) -> None:
    *first, export, run, page, query = commands(served)
    assert [words[0] for words in first] in ([], ["source"])
    assert export == ["export", f"PREFECT_API_URL={served.place.api_url}", "PREFECT_PLUGINS_ENABLED=true"]
    assert run == ["prefect", "deployment", "run", "coder-eval"]
    scene.release()
    runtime = json.dumps({"device": "cpu"})
    environment = json.dumps({"OPENAI_API_KEY": "sk-x", "CODER_LLM_BASE_URL": scene.server.url})
    settings = f"config={scene.config}", f"runtime={runtime}"
    options = [word for setting in settings for word in ("--param", setting)]
    told = served.place.prefect(*run[1:], *options, "--job-variable", f"env={environment}", "--watch")
    assert "completed" in told.lower()
    served.place.wait_until(lambda: re.search(r"\d held-\S+: completed after \d+ s: coder \d+\.\d %", served.told))
    assert "<html" in httpx.get(page[1], timeout=30, follow_redirects=True).text
    answer = subprocess.run(
        [sys.executable, "-m", "flows.cli", *query[1:]], capture_output=True, text=True, check=True, timeout=120
    )
    assert "coder" in answer.stdout
    assert "top1" in answer.stdout
    assert str(served.place.store) in query


def test_everything_listens_on_loopback_only(served: Served) -> None:
    listening = set()
    for pid in processes_of(served.home):
        with suppress(psutil.NoSuchProcess):  # the process of a run that has ended meanwhile
            found = psutil.Process(pid).net_connections("tcp")
            listening |= {connection.laddr.ip for connection in found if connection.status == psutil.CONN_LISTEN}
    assert listening == {"127.0.0.1"}


def test_a_scheduled_run_is_picked_up_and_writes_its_rows(served: Served, tmp_path: Path) -> None:
    """SQLAlchemy 2.1 stops the scheduler silently, and the newest FastAPI the server."""
    world = write_world(tmp_path)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({**world.settings, "name": "scheduled"}))
    config = str(tmp_path / "config.yaml")
    served.place.schedule_soon("coder-eval/coder-eval", {"config": config})
    run = served.place.wait_for_run(lambda run: run.auto_scheduled and run.parameters["config"] == config)
    assert run.state.is_completed(), run.state
    assert run.state.message.startswith("coder ")
    sql = "SELECT run_id, image_count FROM runs WHERE name = 'scheduled'"
    assert Warehouse(Store(str(served.place.store))).query(sql).rows == [(run.name, 120)]


def refusal(environment: dict[str, str], **changes: str) -> str:
    """Start another one that must refuse, and give its one line."""
    done = subprocess.run(
        SERVE, cwd=PROJECT, env={**environment, **changes}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 7, done.stderr
    (line,) = done.stderr.splitlines()
    return line


def test_a_second_one_in_the_same_folder_is_refused(served: Served) -> None:
    assert "serve runs here already." in refusal(served.place.environment)


@pytest.mark.thorough
def test_a_port_that_something_else_uses_is_refused(served: Served, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        changes = {"PREFECT_HOME": str(tmp_path / "other"), "PREFECT_SERVER_API_PORT": str(port)}
        line = refusal(served.place.environment, **changes)
    assert f"127.0.0.1:{port}: the port is taken by something that is no Prefect server" in line
    assert f"PREFECT_SERVER_API_PORT={port + 1} make serve" in line


@pytest.mark.thorough
def test_a_run_that_is_cancelled_stops_and_another_goes_on(served: Served, scene: HeldScene, tmp_path: Path) -> None:
    from prefect.states import Cancelling

    run_id = scene.start_held(served.place, tmp_path / "store", HELD_SECONDS)
    with served.place.client() as client:  # what the button on Prefect's page does
        client.set_flow_run_state(run_id, Cancelling(), force=True)
    run = served.place.wait_for_end(run_id)
    assert run.state.is_cancelled(), run.state
    pid = int(str(run.infrastructure_pid).rsplit(":", 1)[-1])
    served.place.wait_until(lambda: not psutil.pid_exists(pid) or None)
    scene.resume(served.place, tmp_path / "store")


@pytest.mark.thorough
def test_runs_of_a_worker_that_dies_are_reported_and_the_next_one_runs(
    served: Served, scene: HeldScene, tmp_path: Path
) -> None:
    run_id = scene.start_held(served.place, tmp_path / "store", HELD_SECONDS)
    served.find_part("worker").kill()
    run = served.place.wait_for_end(run_id)
    assert run.state.is_crashed(), run.state
    assert "Run again: it goes on from what is in the store." in run.state.message
    assert "The worker has ended (status -9): it is started again." in served.told
    scene.resume(served.place, tmp_path / "store")


@pytest.fixture
def growing(tmp_path: Path, tiny_clip: Path) -> World:
    """An evaluation whose class list is kept in a file."""
    photos = write_photos(tmp_path / "growing", tiny_clip, WADERS)
    dataset = {**photos.settings["dataset"], "classes": {"kind": "file", "path": "classes.txt"}}
    settings = {**photos.settings, "name": "growing", "dataset": dataset, "texts": {"domain": "bird"}}
    settings["methods"] = ["clip"]
    (photos.folder / "growing.yaml").write_text(yaml.safe_dump(settings))
    return World(photos.folder, settings)


@pytest.mark.thorough
def test_a_changed_class_list_starts_the_evaluation_of_what_is_new(served: Served, growing: World) -> None:
    """From the list to the rows, by the deployments alone: the watcher, its event, the trigger, the run.

    Another evaluation is looked at at the same time, as the schedule does: neither look is dropped for the other.
    """
    config = str(growing.folder / "growing.yaml")
    known = set()

    def look(*parameters: str) -> UUID:
        options = [word for parameter in parameters for word in ("--param", parameter)]
        return read_run_id(served.place.prefect("deployment", "run", "watch-classes", *options))

    def is_started_by_the_event(run: FlowRun) -> bool:
        is_triggered = run.created_by is not None and run.created_by.type == "AUTOMATION"
        return is_triggered and run.parameters["config"] == config and run.id not in known

    def evaluate(names: Sequence[str]) -> None:
        (growing.folder / "classes.txt").write_text("".join(f"{name}\n" for name in names))
        looks = [look("is_dry_run=true"), look(f"config={config}")]
        for run_id in looks:
            run = served.place.wait_for_end(run_id)
            assert run.state.is_completed(), run.state
        run = served.place.wait_for_run(is_started_by_the_event)
        assert run.state.is_completed(), run.state
        known.add(run.id)

    evaluate(WADERS)
    write_image_class(growing.folder / "images", "goldcrest", 3)
    evaluate((*WADERS, "goldcrest", HOSTILE))
    sql = "SELECT class_count, texts_embedded, texts_reused, images_embedded, images_reused FROM runs"
    rows = Warehouse(Store(str(served.place.store))).query(f"{sql} WHERE name = 'growing' ORDER BY started_at").rows
    assert rows == [(3, 3, 0, 15, 0), (5, 2, 3, 3, 15)]
