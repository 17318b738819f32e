"""The sweeps of configs/paper, typed as their page says: whole, on tiny data in true layouts, to the printed tables.

Two things are otherwise than for whoever has all: `partial: true` beside the names of data sets, because tiny ones are
not whole; and a local checkpoint where each published model would be fetched, in a folder of its very name.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from flows.cli import main
from tests.coder_core.datasets.paper_data import PARTS, write_paper_data
from tests.fixtures_inputs import write_tiny_clip

pytestmark = [pytest.mark.slow, pytest.mark.thorough, pytest.mark.timeout(900)]
PAPER = Path(__file__).parents[2] / "configs" / "paper"
FEW_SHOT_SETS = 9


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sweeps, the data, and the models."""
    folder = tmp_path_factory.mktemp("paper")
    shutil.copytree(PAPER, folder / "paper")
    for file in (folder / "paper").rglob("*.yaml"):
        file.write_text(file.read_text().replace('root: "${DATA_ROOT}"}', 'root: "${DATA_ROOT}", partial: true}'))
    models = yaml.safe_load((PAPER / "zero-shot-by-model.yaml").read_text())["models"]
    for seed, model in enumerate(models.values()):
        (folder / "paper" / model).mkdir(parents=True)
        write_tiny_clip(folder / "paper" / model, seed=seed)
    write_paper_data(folder / "data")
    return folder


def sweep(here: Path, name: str, *words: str) -> dict[str, Any]:
    """Type it; every cell must have a result."""
    store = str(here / "store")
    command = ["sweep", str(here / "paper" / f"{name}.yaml"), "--data-root", str(here / "data"), "--store", store]
    done = CliRunner().invoke(main, [*command, "--engine", "inline", "--json", *words])
    assert done.exit_code == 0, f"{done.stderr}\n{done.exception!r}"
    found: dict[str, Any] = json.loads(done.stdout)
    assert {cell["state"] for cell in found["cells"]} == {"ran"}
    return found


def tables(here: Path, name: str, *words: str) -> str:
    """What the same command prints afterwards; it runs nothing."""
    command = ["sweep", str(here / "paper" / f"{name}.yaml"), "--data-root", str(here / "data"), *words]
    done = CliRunner().invoke(main, [*command, "--store", str(here / "store")])
    assert done.exit_code == 0, done.stderr
    assert " 0 to run" in done.stderr
    return done.stdout


def of_method(group: dict[str, Any], method: str) -> list[dict[str, Any]]:
    return [row for row in group["rows"] if row["method"] == method]


def test_zero_shot_by_model_stands_beside_what_is_published(here: Path) -> None:
    found = sweep(here, "zero-shot-by-model")
    assert len(found["cells"]) == 13 * 4
    (group,) = found["groups"]
    assert len(group["datasets"]) == 13
    assert len(group["rows"]) == 4 * 4
    assert all(row["mean"] is not None for row in group["rows"])
    assert len(found["coder_over_clip"]) == 4
    ours = {row["model"]: row["by_dataset"] for row in of_method(group, "clip_ensemble")}
    beside = [row for row in found["published"] if row["model"] == "ViT-L-14"]
    assert {name for row in beside for name in row["by_dataset"]} == {
        "dtd", "eurosat", "food101", "sun397", "imagenet", "stanford_cars"
    }  # fmt: skip
    dtd = next(row["by_dataset"]["dtd"] for row in beside if "dtd" in row["by_dataset"])
    assert dtd["published"] == pytest.approx(0.5537)
    assert dtd["ours"]["value"] == ours["ViT-L-14"]["dtd"]["value"]
    assert dtd["difference"] == pytest.approx(ours["ViT-L-14"]["dtd"]["value"] - 0.5537)
    printed = tables(here, "zero-shot-by-model")
    assert "paper-zero-shot: zero-shot, beside published figures, top-1 %" in printed
    assert "open_clip, docs/openclip_results.csv (commit 0a1cc150), row RN50-quickgelu,openai" in printed
    assert "what CODER gains over CLIP by name" in printed


def test_texts_and_density_have_their_ablation(here: Path) -> None:
    found = sweep(here, "texts-and-density")
    (group,) = found["groups"]
    assert len(group["datasets"]) == 13
    run_id = next(cell["run_id"] for cell in found["cells"] if cell["dataset"] == "dtd")
    sql = f"SELECT DISTINCT texts_per_class FROM ablation WHERE run_id = '{run_id}'"
    asked = CliRunner().invoke(main, ["query", sql, "--store", str(here / "store"), "--format", "json"])
    assert {1, 2} <= {row["texts_per_class"] for row in json.loads(asked.stdout)}
    controls = f"SELECT DISTINCT method FROM metrics WHERE run_id = '{run_id}' AND method LIKE 'control%'"
    asked = CliRunner().invoke(main, ["query", controls, "--store", str(here / "store"), "--format", "json"])
    assert len(json.loads(asked.stdout)) >= 4


def test_few_shot_learns_from_what_there_is_where_shots_are_more(here: Path) -> None:
    found = sweep(here, "few-shot")
    by_shots = {group["shots"]: group for group in found["groups"]}
    assert list(by_shots) == [None, 1, 2, 4, 8, 16]
    for shots in (1, 2, 4, 8, 16):
        assert {row["method"] for row in by_shots[shots]["rows"]} == {
            "tip_adapter", "coder_adapter", "coder_adapter_min_max", "text_discriminant"
        }  # fmt: skip
        assert all(len(row["by_dataset"]) == FEW_SHOT_SETS for row in by_shots[shots]["rows"])
    few, many = ({row["method"]: row["by_dataset"] for row in by_shots[shots]["rows"]} for shots in (8, 16))
    assert few == many, f"there are {PARTS['train']} images of each class, and the same ones are drawn"
    assert "paper-few-shot: 16 shots, top-1 %" in tables(here, "few-shot")


def test_one_to_one_has_the_second_stage_beside_the_first(here: Path) -> None:
    found = sweep(here, "one-to-one")
    (group,) = found["groups"]
    assert {row["method"] for row in group["rows"]} == {"clip", "coder", "coder_rerank"}
    assert len(group["datasets"]) == 7
    assert "coder_rerank" in tables(here, "one-to-one")


def test_the_cost_comes_first_and_a_part_is_one_option(here: Path) -> None:
    words = ("--data-root", str(here / "data"), "--store", str(here / "other"), "--datasets", "dtd", "--dry-run")
    done = CliRunner().invoke(main, ["sweep", str(here / "paper" / "zero-shot-by-model.yaml"), *words])
    assert done.exit_code == 0, done.stderr
    assert "4 cells: 4 to run" in done.stderr
    assert f"cost: at most {4 * 3 * PARTS['test']} images through encoders" in done.stderr
