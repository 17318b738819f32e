"""`try`, `doctor`, `export` and `predict FOLDER` as they are typed, each in a process of its own."""

import csv
import io
import json
from pathlib import Path

import pytest
import yaml

from tests.fixtures_inputs import write_image_class

from .test_cli import coder_eval

pytestmark = pytest.mark.slow


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of a person with two class folders."""
    for name in ("wren", "RedKite"):
        write_image_class(tmp_path / "photos", name, 3)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.thorough
def test_from_a_folder_to_a_table_and_on_to_an_application(here: Path, tiny_clip: Path) -> None:
    tried = coder_eval("try", "photos", "--model", str(tiny_clip), "--store", "store")
    assert tried.returncode == 0, tried.stderr
    assert "photos: 6 images of 2 classes" in tried.stdout
    assert "'RedKite' -> 'red kite'" in tried.stderr
    assert "computing, because" not in tried.stderr  # why a step is made is nothing for a first run
    assert tried.stdout.splitlines()[-1].endswith(" run photos.yaml --store store")
    assert yaml.safe_load(Path("photos.yaml").read_text())["class_names"] == {"RedKite": "red kite"}
    exported = coder_eval("export", "photos", "out", "--method", "clip", "--store", "store")
    assert exported.returncode == 0, exported.stderr
    assert exported.stdout.splitlines()[-1] == "Next: coder-eval predict out IMAGES..."
    (here / "photos" / "broken.png").write_text("nothing")
    (here / "store").rename(here / "gone")
    predicted = coder_eval("predict", "out", "photos", "--format", "csv", "--none-below", "0.9")
    assert predicted.returncode == 3, predicted.stderr
    assert "left out: " in predicted.stderr
    rows = list(csv.DictReader(io.StringIO(predicted.stdout)))
    assert len(rows) == 6
    assert {row["class_name"] for row in rows} <= {"wren", "red kite", "none of these"}
    assert all((row["class_name"] == "none of these") == (float(row["probability"]) < 0.9) for row in rows)
    objects = json.loads(coder_eval("predict", "out", "photos", "--format", "json", "--explain").stdout)
    assert [row["probability"] for row in objects] == [float(row["probability"]) for row in rows]
    assert {text["class_name"] for text in objects[0]["texts"]} == {"wren", "red kite"}


@pytest.mark.thorough
def test_nobody_pays_unasked_and_the_doctor_ends_with_three(here: Path, tiny_clip: Path) -> None:
    wish = ("photos", "--model", str(tiny_clip), "--texts", "llm:gpt-4o-mini")
    asked = coder_eval(
        "try", *wish, "--store", "store", OPENAI_API_KEY="sk-none", OPENAI_BASE_URL="http://127.0.0.1:9/v1"
    )
    assert asked.returncode == 2
    assert asked.stderr.splitlines()[-1].endswith("Add --yes. Nothing was asked. Later: coder-eval run photos.yaml.")
    assert not list((here / "store").rglob("completions*"))
    settings = yaml.safe_load(Path("photos.yaml").read_text())
    Path("spoiled.yaml").write_text(yaml.safe_dump({**settings, "class_names": {}}))
    found = coder_eval("doctor", "spoiled.yaml", "--names-only", "--json", "--store", "store")
    assert (found.returncode, json.loads(found.stdout)["faults"][0]["fault"]) == (3, "run_together")
    fixed = coder_eval("doctor", "spoiled.yaml", "--fix", "--store", "store")
    assert fixed.returncode == 0, fixed.stderr
    assert yaml.safe_load(Path("spoiled.yaml").read_text())["class_names"] == {"RedKite": "red kite"}
