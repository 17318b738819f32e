"""New images through the flow and as typed: what is printed, what is written, and how it ends."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from coder_core.errors import ConfigError, DatasetError
from coder_core.pipeline.context import Context
from coder_core.report.prediction_table import read_named
from coder_core.specs import Runtime
from flows.coder_eval import coder_eval
from flows.predict import predict
from tests.fixtures_inputs import NAMES, World, write_bank

from .conftest import Query

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]
PAIRS = [(one, other) for one in NAMES for other in NAMES if one != other]


@pytest.fixture
def reranked(photos: World, runtime: Runtime) -> World:
    """Every image is uncertain, and every pair of classes has texts."""
    write_bank(photos.folder / "bank.yaml", NAMES, PAIRS)
    settings = {**photos.settings, "methods": ["clip", "coder", "coder_rerank"], "rerank": {"threshold": 2}}
    coder_eval(settings, [], runtime)
    return World(photos.folder, settings)


@pytest.mark.parametrize("method", ["coder", "coder_rerank"])
def test_new_images_are_answered_as_the_evaluation_answered(
    reranked: World, runtime: Runtime, query: Query, method: str
) -> None:
    images = reranked.folder / "images"
    predicted = predict("photos", [str(images)], method, None, None, runtime.model_copy(update={"shard_images": 1}))
    rows = read_named(Context.open(runtime), predicted.table)
    said = [(Path(row.image).relative_to(images).as_posix(), row.class_name) for row in rows]
    sql = f"SELECT image_id, predicted_name FROM predictions WHERE method = '{method}' ORDER BY 1"
    assert said == query(sql)
    assert query("SELECT count(*) FROM runs") == [(1,)], "a prediction is no evaluation"


def test_the_reference_protocol_needs_labels_and_is_refused(photos: World, runtime: Runtime) -> None:
    write_bank(photos.folder / "bank.yaml", NAMES, PAIRS)
    coder_eval({**photos.settings, "methods": ["coder", "coder_rerank"], "protocol": "reference"}, [], runtime)
    with pytest.raises(ConfigError, match=r"it has no method 'coder_rerank' for new images.*It has: coder"):
        predict("photos", [str(photos.folder / "images")], "coder_rerank", None, None, runtime)


def test_images_of_which_none_can_be_read(photos: World, runtime: Runtime, tmp_path: Path) -> None:
    coder_eval(photos.settings, [], runtime)
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    with pytest.raises(DatasetError, match="none of 1 image can be read"):
        predict("photos", [str(tmp_path / "broken.jpg")], "coder", None, None, runtime)


@pytest.mark.thorough
def test_as_typed(photos: World, runtime: Runtime, prefect_server: str, tmp_path: Path) -> None:
    result = coder_eval(photos.settings, [], runtime)
    (photos.folder / "broken.jpg").write_bytes(b"no image")
    out = tmp_path / "answers.parquet"

    def typed(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "flows.cli", "predict", *arguments, "--store", runtime.store]
        environment = {**os.environ, "PREFECT_API_URL": prefect_server, "PYTHONPATH": str(Path(__file__).parents[2])}
        return subprocess.run(command, cwd=photos.folder, env=environment, capture_output=True, text=True, timeout=120)

    done = typed(result.run_id, "images/wren", "broken.jpg", "--format", "json", "--out", str(out))
    assert done.returncode == 3
    assert "left out: " in done.stderr
    assert "broken.jpg: not an image in a known format" in done.stderr
    printed = json.loads(done.stdout)
    assert [Path(row["image"]).name for row in printed] == [f"{number:03d}.png" for number in range(5)]
    written = [row for row in pq.read_table(out).to_pylist() if row.pop("problem") is None]
    assert [row["top5"] for row in written] == [row["top5"] for row in printed]

    done = typed("photos", "images/*/000.png", "--method", "clip")
    assert done.returncode == 0, done.stderr
    assert [line.split("  ")[0] for line in done.stdout.splitlines()[2:6]] == [
        f"images/{name}/000.png" for name in sorted(NAMES)
    ]

    done = typed("photos", "nowhere.jpg")
    assert (done.returncode, done.stdout) == (3, "")
    assert "nowhere.jpg: there is no such file. Check the path" in done.stderr.splitlines()[-1]
