"""The deployment on a real server with a real worker: run by hand, run by the scheduler, and told what is wrong.

In the end the server is killed while a run is going: here, and last, for it is the server of all tests above. That a
scheduled run is picked up and writes its rows is tried among the plain tests, too: tests/service/test_serve.py.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import psutil
import pytest
import yaml

from service.deployment_setup import WATCH_NAME
from tasks.gpu import GPU_LIMIT
from tasks.json_logs import JSON_SETTINGS
from tests.fixtures_deployment import (
    PROJECT,
    Deployed,
    answers,
    let_runs_end,
    processes_of,
    start_prefect,
    stop_process,
)
from tests.fixtures_inputs import write_world
from tests.service.held_runs import held_scene

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(900)]
NAME = "coder-eval/coder-eval"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A config file as a user writes it, with paths relative to it."""
    folder = tmp_path_factory.mktemp("world")
    write_world(folder)
    settings = {
        "name": "deployed",
        "dataset": {"kind": "features", "path": "./images.npz"},
        "encoder": {"kind": "precomputed", "texts": [{"path": "./texts.npz"}]},
        "texts": {"bank": "./bank.yaml", "domain": "bird"},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    return str(folder / "config.yaml")


def query(store: Path, sql: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "flows.cli", "query", sql, "--store", str(store), "--format", "json"]
    return list(json.loads(subprocess.run(command, check=True, capture_output=True, timeout=60).stdout))


def run_deployment(deployed: Deployed, **parameters: str) -> Any:
    """Type `prefect deployment run`, wait, and give the flow run."""
    options = [part for name, value in parameters.items() for part in ("--param", f"{name}={value}")]
    told = deployed.prefect("deployment", "run", NAME, *options, "--watch", check=False)
    flow_run_id = next(line.split()[-1] for line in told.splitlines() if "UUID:" in line)
    return deployed.read_run(UUID(flow_run_id))


def test_a_run_writes_to_the_store_of_its_worker_and_shows_its_metrics(deployed: Deployed, config: str) -> None:
    run = run_deployment(deployed, config=config)
    assert run.state.is_completed(), run.state
    rows = query(deployed.store, "SELECT run_id, name, image_count FROM runs")
    assert [(row["name"], row["image_count"]) for row in rows] == [("deployed", 120)]
    with deployed.client() as client:
        artifacts = {found.key: found for found in client.read_artifacts() if found.flow_run_id == run.id}
    parts = ("summary", "metrics", "timings", "history", "plots")
    assert artifacts.keys() == {f"deployed-{part}" for part in parts}
    shown = {row["method"]: row["top-1 %"].split()[0] for row in json.loads(artifacts["deployed-metrics"].data)}
    stored = query(deployed.store, "SELECT method, value FROM metrics WHERE metric = 'top1'")
    assert shown == {row["method"]: f"{100 * row['value']:.1f}" for row in stored}
    assert run.name == rows[0]["run_id"]
    assert run.state.message.startswith("coder ")


def test_runtime_settings_win_over_the_environment_of_the_worker(
    deployed: Deployed, config: str, tmp_path: Path
) -> None:
    run = run_deployment(deployed, config=config, runtime=json.dumps({"store": str(tmp_path / "other")}))
    assert run.state.is_completed(), run.state
    assert query(tmp_path / "other", "SELECT count(*) AS n FROM runs") == [{"n": 1}]


def test_a_scheduled_run_is_made_and_picked_up(deployed: Deployed, config: str) -> None:
    """SQLAlchemy 2.1 stops the scheduler silently, and the newest FastAPI the server."""
    deployed.schedule_soon(NAME, {"config": config})
    run = deployed.wait_for_run(lambda run: run.auto_scheduled and run.parameters["config"] == config)
    assert run.state.is_completed(), run.state


def test_a_wrong_config_ends_in_a_failed_run_that_says_why(deployed: Deployed, config: str) -> None:
    run = run_deployment(deployed, config=config, overrides='["logit_scal=3"]')
    assert run.state.is_failed()
    assert f"ConfigError: {config}: logit_scal: unknown key 'logit_scal'. Did you mean 'logit_scale'?" in (
        run.state.message
    )
    assert len(run.state.message.splitlines()) == 1


def test_a_run_reads_no_file_of_the_machine(deployed: Deployed) -> None:
    run = run_deployment(deployed, config="/etc/passwd")
    assert run.state.is_failed()
    assert "config: /etc/passwd: a server's run reads it only below allowed places." in run.state.message


def test_a_run_of_a_worker_logs_json_lines_with_its_run_id(deployed: Deployed, config: str) -> None:
    variables = json.dumps({"PREFECT_LOGGING_SETTINGS_PATH": str(JSON_SETTINGS)})
    told = deployed.prefect(
        "deployment", "run", NAME, "--param", f"config={config}", "--job-variable", f"env={variables}", "--watch"
    )
    flow_run_id = next(line.split()[-1] for line in told.splitlines() if "UUID:" in line)
    lines = deployed.store.with_name("worker.log").read_text().splitlines()
    records = [json.loads(line) for line in lines if line.startswith("{")]
    own = [record for record in records if record.get("flow_run_id") == flow_run_id]
    (row,) = query(deployed.store, f"SELECT run_id FROM runs WHERE run_id LIKE '%{flow_run_id[-8:]}'")
    assert {record["run_id"] for record in own if "task_run_name" in record} == {row["run_id"]}
    assert {"check-store", "publish-run"} <= {record.get("task_run_name") for record in own}
    assert own[-1]["message"].startswith("Finished in state Completed('coder ")


def test_a_sweep_of_the_deployment_runs_its_cells_as_sub_flows_and_shows_its_table(
    deployed: Deployed, config: str, tmp_path: Path
) -> None:
    world = write_world(tmp_path / "other", images_per_class=5)
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(world.settings))
    sweep = {"name": "swept", "datasets": {"one": config, "two": "other.yaml"}, "methods": ["clip", "coder"]}
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(sweep))
    typed = ("deployment", "run", "sweep/sweep", "--param", f"config={tmp_path / 'sweep.yaml'}", "--watch")
    told = deployed.prefect(*typed, check=False)
    run = deployed.read_run(UUID(next(line.split()[-1] for line in told.splitlines() if "UUID:" in line)))
    assert run.state.is_completed(), run.state
    assert (run.name, run.state.message) == ("sweep-swept", "2 of 2 cells have a result")
    names = query(deployed.store, "SELECT name FROM runs WHERE name LIKE 'swept.%' ORDER BY name")
    assert [row["name"] for row in names] == ["swept.one", "swept.two"]
    with deployed.client() as client:
        (page,) = [found for found in client.read_artifacts() if found.flow_run_id == run.id]
    assert page.key == "swept-sweep"
    assert "swept\\: zero\\-shot" in page.data
    refused = deployed.prefect(*typed[:-1], "--param", 'shots="many"', check=False)
    assert "shots" in refused
    assert "Created flow run" not in refused


def test_a_server_that_stands_elsewhere_is_made_ready_again_without_a_change(deployed: Deployed) -> None:
    command = [sys.executable, "-m", "flows.cli", "deploy"]
    environment = deployed.environment
    for _ in range(2):
        done = subprocess.run(
            command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=240, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout == "Deployed. A worker carries the runs out: prefect worker start --pool coder\n"
    deployed.pause_schedules()
    with deployed.client() as client:
        assert client.read_global_concurrency_limit_by_name(GPU_LIMIT).limit == 1
        names = sorted(str(deployment.name) for deployment in client.read_deployments())
        watches = [found.name for found in client.read_automations() if found.name == WATCH_NAME]
    assert names == ["coder-eval", "compact", "predict", "sweep", "watch-classes"]
    assert watches == [WATCH_NAME]


def test_an_impossible_runtime_is_refused_before_there_is_a_run(deployed: Deployed, config: str) -> None:
    told = deployed.prefect(
        "deployment", "run", NAME, "--param", f"config={config}", "--param", 'runtime={"workers": 0}', check=False
    )
    assert "runtime" in told
    assert "Created flow run" not in told


def kill_server(home: Path) -> None:
    """Without a warning, as a machine that loses power does."""
    found = [psutil.Process(pid) for pid in processes_of(home)]
    parts = [part for part in found if part.cmdline()[1:5] == ["-m", "prefect", "server", "start"]]
    for part in parts:
        for child in part.children(recursive=True):
            child.kill()
        part.kill()
    psutil.wait_procs(parts, timeout=30)


def test_a_run_outlives_its_server(deployed: Deployed, tiny_clip: Path, tmp_path: Path) -> None:
    """The last one: the run waits for the server that starts again, and ends well."""
    home, port = Path(deployed.environment["PREFECT_HOME"]), str(urlsplit(deployed.api_url).port)
    with held_scene(tmp_path, tiny_clip) as scene:
        run_id = scene.start_held(deployed, tmp_path / "store", 25.0)
        kill_server(home)
        server = start_prefect(deployed, home, "server", "start", "--host", "127.0.0.1", "--port", port, "--no-ui")
        try:
            deployed.wait_until(lambda: answers(deployed.api_url, server))
            run = deployed.wait_for_end(run_id)
            assert run.state.is_completed(), run.state
            scene.resume(deployed, tmp_path / "store")
            let_runs_end(home)
        finally:
            stop_process(server)
