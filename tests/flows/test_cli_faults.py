"""The command line where something is wrong: what is told, once, and how it ends. Nothing is started for it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result

from flows.cli import main
from tests.fixtures_inputs import World, rewrite_features


def typed(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


@pytest.fixture
def config(world: World) -> str:
    path = world.folder / "config.yaml"
    path.write_text(yaml.safe_dump({**world.settings, "methods": ["clip", "coder"], "matrix": {}}))
    return str(path)


@pytest.mark.parametrize("command", ["check", "run"])
def test_every_problem_is_told_once_and_before_anything_starts(config: str, tmp_path: Path, command: str) -> None:
    wrong = ["--set", "texts.bank=nowhere.yaml", "--set", "texts.domain=brd"]
    done = typed(command, config, *wrong, "--store", str(tmp_path / "store"))
    assert done.exit_code == 2
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 2
    assert ["brd" in errors[0], "nowhere.yaml" in errors[1]] == [True, True]
    assert "running in this process" not in done.stderr


def test_several_wrong_keys_are_several_lines(config: str) -> None:
    done = typed("run", config, "--set", "nme=x", "--set", "logit_scale=0")
    assert (done.exit_code, len(done.stderr.splitlines())) == (2, 2)


def test_a_check_says_what_there_is(config: str, tmp_path: Path) -> None:
    store = ["--store", str(tmp_path / "store")]
    done = typed("check", config, *store)
    assert done.exit_code == 0
    assert done.stdout.splitlines()[-1] == "nothing speaks against a run"
    told = json.loads(typed("check", config, *store, "--json").stdout)
    assert (told["problems"], told["warnings"]) == ([], [])
    assert told["facts"][0] == "dataset: images, 120 images of 4 classes"


@pytest.mark.parametrize(
    "command", [["tables"], ["query", "SELECT count(*) FROM runs"], ["store", "verify"], ["ablation", "latest"]]
)
def test_a_folder_that_is_no_store_is_refused(tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"")
    done = typed(*command, "--store", str(tmp_path))
    assert done.exit_code == 4
    assert "this is no store of coder-eval; it holds photo.jpg" in done.stderr


def test_a_store_where_nothing_is_yet_is_told(tmp_path: Path) -> None:
    done = typed("tables", "--store", str(tmp_path / "nothing"))
    assert done.exit_code == 0
    assert "warning: " in done.stderr
    assert "no run was published to this store" in done.stderr


def test_a_variable_that_nobody_reads_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODER_BATCHSIZE", "8")
    done = typed("tables", "--store", str(tmp_path / "nothing"))
    assert "warning: CODER_BATCHSIZE" in done.stderr
    assert "Did you mean CODER_BATCH_SIZE?" in done.stderr


def test_a_run_without_an_ablation_says_what_to_add(config: str, tmp_path: Path) -> None:
    store = ["--store", str(tmp_path / "store")]
    assert typed("run", config, *store, "--engine", "inline").exit_code == 0
    done = typed("ablation", "world", *store)
    assert (done.exit_code, "Add `ablation: {}` to the config." in done.stderr) == (2, True)
    unknown = typed("compare", "wrld", "latest", *store)
    assert (unknown.exit_code, "Did you mean 'world'?" in unknown.stderr) == (5, True)
    assert "the same settings" in typed("compare", "world", "latest", *store).stdout


def test_classes_of_one_name_are_told_before_anything_is_spent(world: World, config: str, tmp_path: Path) -> None:
    rewrite_features(world, class_names=np.array(["wren", "wren", "green finch", "blue tit"]))
    asked = [
        "--set",
        "texts.bank=null",
        "--set",
        "texts.generator={model: gpt-4o-mini}",
        "--store",
        str(tmp_path / "s"),
    ]
    done = typed("texts", "generate", config, "--dry-run", *asked)
    assert done.exit_code == 0, done.output
    assert "warning: classes that no text can tell apart: 'wren' (id 0), 'wren' (id 1) have one name" in done.stderr


LONG = "x" * 5_000


@pytest.mark.parametrize(
    "command",
    [
        ["check", LONG],
        ["check", "~nobody-of-this-name/config.yaml"],
        ["run", "CONFIG", "--store", LONG],
        ["run", "CONFIG", "--store", "x/" * 3_000],
        ["check", "CONFIG", "--set", f"dataset.path={LONG}"],
        ["check", "CONFIG", "--set", f"encoder={{kind: open_clip, checkpoint: {LONG}}}"],
        ["check", "CONFIG", "--set", "encoder={kind: open_clip, checkpoint: ~nobody-of-this-name/x}"],
        ["texts", "export", "CONFIG", "--out", LONG],
        ["texts", "import", "~nobody-of-this-name/x.json", "--out", "x.yaml"],
        ["store", "verify", "--store", LONG],
    ],
)
def test_names_that_no_system_takes_are_one_line(command: list[str], config: str, tmp_path: Path) -> None:
    words = [config if word == "CONFIG" else word for word in command]
    store = [] if "--store" in words or "import" in words else ["--store", str(tmp_path / "store")]
    done = typed(*words, *store)
    assert isinstance(done.exception, SystemExit), repr(done.exception)
    assert done.exit_code in {2, 3, 4}
    assert len([line for line in done.stderr.splitlines() if line.startswith("error: ")]) == 1


@pytest.mark.slow
@pytest.mark.parametrize("variable", ["CODER_MAX_NESTING", "CODER_MAX_TEXT_FILE_BYTES", "CODER_MAX_IMAGE_PIXELS"])
def test_a_limit_that_is_none_is_one_line(variable: str, config: str) -> None:
    command = [sys.executable, "-m", "flows.cli", "check", config]
    done = subprocess.run(command, env={**os.environ, variable: "0"}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.splitlines()) == (
        2,
        [f"error: {variable}: expected a positive integer, found '0'. Correct it, or unset it."],
    )
