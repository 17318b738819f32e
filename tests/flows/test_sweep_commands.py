"""`coder-eval sweep` as it is typed: killed and resumed, with a cell that cannot work, and as sub-flows of Prefect."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from coder_core.results.result_tables import ResultTables
from coder_core.storage.store import Store
from flows.cli import main
from tests.fixtures_inputs import NAMES, write_world

from .test_cli import QUIET, coder_eval

pytestmark = pytest.mark.slow


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a sweep of three data sets."""
    datasets: dict[str, Any] = {}
    for number in (2, 3, 4):
        world = write_world(tmp_path / f"w{number}", NAMES[:number], images_per_class=8)
        datasets[f"w{number}"] = {key: world.settings[key] for key in ("dataset", "encoder", "texts")}
    sweep = {"name": "birds", "datasets": datasets, "methods": ["clip", "coder"]}
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(sweep))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def in_this_process(*arguments: str) -> Result:
    """`coder-eval sweep` without a process of its own, which would load everything anew."""
    return CliRunner().invoke(main, ["sweep", *arguments])


def kill_in_cell(number: int) -> None:
    """Start the sweep, and kill it when a cell begins."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CODER_", "PREFECT_"))}
    command = [sys.executable, "-m", "flows.cli", "sweep", "sweep.yaml", "--store", "store", "--engine", "inline"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**kept, **QUIET}) as sweep:
        assert sweep.stderr is not None
        for line in sweep.stderr:
            if line.startswith(f"cell {number} of 3"):
                sweep.send_signal(signal.SIGKILL)
    assert sweep.returncode == -signal.SIGKILL


@pytest.mark.thorough
@pytest.mark.usefixtures("here")
def test_a_killed_sweep_goes_on_where_it_was_and_then_prints_its_table_only() -> None:
    kill_in_cell(2)
    (first,) = ResultTables(Store("store")).published()
    resumed = coder_eval("sweep", "sweep.yaml", "--store", "store", "--engine", "inline", "--markdown", "table.md")
    assert resumed.returncode == 0, resumed.stderr
    assert f"birds.w2: done, run {first}" in resumed.stderr
    assert "cell 1 of 2: birds.w3" in resumed.stderr
    assert "birds: zero-shot, top-1 %" in resumed.stdout
    assert "points of top-1" in resumed.stdout
    assert f"| birds.w2 | published before | {first} |" in Path("table.md").read_text().replace("\\", "")
    runs = ResultTables(Store("store")).published()
    assert len(runs) == 3
    again = coder_eval("sweep", "sweep.yaml", "--store", "store", "--json")
    assert again.returncode == 0, again.stderr
    found = json.loads(again.stdout)
    assert [(cell["state"], cell["run_id"] in runs) for cell in found["cells"]] == [("done", True)] * 3
    assert ResultTables(Store("store")).published() == runs


def test_a_cell_that_cannot_work_is_found_before_anything_runs(here: Path) -> None:
    (here / "w3" / "images.npz").unlink()
    refused = in_this_process("sweep.yaml", "--store", "store", "--engine", "inline")
    assert refused.exit_code == 3, refused.stderr
    assert refused.stdout == ""
    (error,) = [line for line in refused.stderr.splitlines() if line.startswith("error: ")]
    assert error.startswith("error: birds.w3: ")
    assert not list(here.glob("store/**/runs/*"))
    kept = in_this_process("sweep.yaml", "--store", "store", "--engine", "inline", "--keep-going", "--json")
    assert kept.exit_code == 3
    assert [cell["state"] for cell in json.loads(kept.stdout)["cells"]] == ["ran", "wrong", "ran"]
    assert kept.stderr.splitlines()[-1].startswith("error: sweep: 1 of 3 cells have no result.")


def test_without_a_file_a_dry_run_says_the_cost_and_leaves_nothing(here: Path) -> None:
    words = ("--datasets", "demo:flags", "--models", "demo:micro-clip", "--methods", "clip,coder")
    planned = in_this_process(*words, "--dry-run", "--store", "store", "--set", "dataset.images_per_class=2")
    assert planned.exit_code == 0, planned.stderr
    assert "1 cell: 1 to run" in planned.stderr
    assert "  sweep.flags.micro-clip: to run, clip, coder" in planned.stderr
    assert "cost: at most 130 images through encoders, 0 read as features; no language model" in planned.stderr
    assert not (here / "store").exists()
    pool = "few_shot.pool={kind: flags, images_per_class: 3, seed: 2}"
    learnt = in_this_process(*words, "--dry-run", "--shots", "1,2", "--set", pool, "--store", "store")
    assert "to run, clip, coder, 1, 2 shots x 3 draws" in learnt.stderr


@pytest.mark.thorough
@pytest.mark.usefixtures("here")
def test_under_prefect_every_cell_is_a_run_of_the_ordinary_flow(prefect_server: str) -> None:
    done = coder_eval(
        "sweep", "sweep.yaml", "--datasets", "w2,w3", "--store", "store", "--engine", "prefect", "--json",
        PREFECT_API_URL=prefect_server,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [cell["state"] for cell in json.loads(done.stdout)["cells"]] == ["ran", "ran"]
    runs = ResultTables(Store("store")).published()
    assert sorted(run.rsplit("-", 2)[0] for run in runs) == ["birds.w2", "birds.w3"]
