"""`coder-eval run` with CODER_LOG_FORMAT=json: results on standard output, one JSON object per line beside them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fixtures_inputs import World

pytestmark = pytest.mark.slow
SECRET = "sk-secret-0123456789"


def run(world: World, tmp_path: Path, *options: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Type the command in a process of its own."""
    config = world.folder / "config.yaml"
    config.write_text(yaml.safe_dump(world.settings))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "CODER_"))}
    own = {"CODER_LOG_FORMAT": "json", "PREFECT_HOME": str(tmp_path / "home"), "OPENAI_API_KEY": SECRET}
    command = [sys.executable, "-m", "flows.cli", "run", str(config), "--store", str(tmp_path / "store"), *options]
    environment = {**kept, **own, **environment}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280, check=False)


def records(done: "subprocess.CompletedProcess[str]") -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stderr.splitlines()]


@pytest.mark.thorough
def test_every_line_of_a_run_is_a_record_and_the_result_stands_alone(
    world: World, tmp_path: Path, prefect_server: str
) -> None:
    done = run(world, tmp_path, "--json", "--engine", "prefect", PREFECT_API_URL=prefect_server)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    logged = records(done)
    assert all({"time", "level", "logger", "message"} <= record.keys() for record in logged)
    of_tasks = [record for record in logged if record["logger"] == "prefect.task_runs"]
    assert {record["run_id"] for record in of_tasks} == {result["run_id"]}
    assert {"check-store", "publish-run"} <= {record["task_run_name"] for record in of_tasks}
    assert logged[-1]["message"].startswith("Finished in state Completed('coder ")
    assert SECRET not in done.stderr


def test_a_run_without_prefect_logs_the_same_records(world: World, tmp_path: Path) -> None:
    done = run(world, tmp_path, "--json")
    assert done.returncode == 0, done.stderr
    told, *of_steps = records(done)
    assert (told["level"], told["logger"]) == ("INFO", "coder-eval")
    assert told["message"].startswith("no Prefect server is running")
    assert all({"time", "level", "logger", "message"} <= record.keys() for record in of_steps)
    assert {record["run_id"] for record in of_steps} == {json.loads(done.stdout)["run_id"]}
    assert any(record["message"].startswith("predict-coder: 120 rows") for record in of_steps)
    assert SECRET not in done.stderr


def test_the_last_record_of_a_failed_run_is_its_error(world: World, tmp_path: Path, prefect_server: str) -> None:
    (world.folder / "images.npz").write_bytes(b"no archive")
    done = run(world, tmp_path, PREFECT_API_URL=prefect_server)
    assert (done.returncode, done.stdout) == (3, "")
    logged = records(done)
    assert (logged[-1]["level"], logged[-1]["logger"]) == ("ERROR", "coder-eval")
    assert str(world.folder / "images.npz") in logged[-1]["message"]
    assert [record for record in logged if logged[-1]["message"] in record["message"]] == [logged[-1]], "told once"
    assert not any("exception" in record for record in logged)
