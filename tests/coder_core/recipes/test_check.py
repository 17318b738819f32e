"""What a run would stumble over is told before it starts: all of it, each thing once, with a remedy."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from coder_core import evaluate
from coder_core.errors import SeveralProblemsError, TextBankError
from coder_core.images import sources
from coder_core.llm.llm_runtime import LlmRuntime
from coder_core.recipes.check import Checked, check_evaluation
from coder_core.specs import Runtime
from tests.fixtures_inputs import NAMES, World, rewrite_features, write_bank, write_image_class

FAST = """
import sys, time
from coder_core.config import load_runtime, load_spec
from coder_core.recipes.check import check_evaluation
check_evaluation(load_spec(sys.argv[1]), load_runtime(store=sys.argv[2]))
print([name for name in ("torch", "open_clip", "prefect", "scipy", "openai") if name in sys.modules])
"""


def look(world: World, runtime: Runtime, **changes: Any) -> Checked:
    return check_evaluation(world.spec(**changes), runtime)


def told(found: Checked) -> list[str]:
    return [str(problem) for problem in found.problems]


def test_nothing_speaks_against_what_runs(world: World, runtime: Runtime) -> None:
    found = look(world, runtime)
    assert (found.problems, found.warnings) == ([], [])
    images, difference, encoder = found.facts
    assert (images, encoder) == ("dataset: images, 120 images of 4 classes", "encoder: precomputed, 16 dimensions")
    assert difference.startswith("smallest difference that 120 images show four times in five: 8.0 points")


def test_folders_inside_class_folders_are_told_of_every_data_set(
    photos: World, runtime: Runtime, tmp_path: Path
) -> None:
    for name in NAMES:
        write_image_class(tmp_path / "pool" / name, "garden", 2)
    pool = {"kind": "folder", "path": str(tmp_path / "pool")}
    found = look(photos, runtime, few_shot={"pool": pool, "shots": [1], "validation_per_class": 0})
    (warning,) = [line for line in found.warnings if "inside class folders" in line]
    assert warning.startswith(
        f"few_shot.pool: {tmp_path / 'pool'}: {2 * len(NAMES)} images lie in folders inside class"
    )
    assert not found.problems


def test_all_problems_are_told_at_once_each_once(
    photos: World, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    found = look(
        photos,
        runtime,
        encoder={"kind": "open_clip", "architecture": "ViT-B32", "checkpoint": "openai"},
        texts={"bank": "nowhere.yaml", "domain": "brd", "edits": "none.yaml", "generator": {"model": "no-model"}},
        validation={"kind": "folder", "path": "void"},
        few_shot={"pool": {"kind": "folder", "path": "pool"}, "shots": [8]},
    )
    lines = told(found)
    assert len(lines) == len(set(lines)) == 7
    for part in (
        "nowhere.yaml",
        "none.yaml",
        "Did you mean 'bird'?",
        "Did you mean 'ViT-B-32'?",
        "void",
        "pool",
        "KEY",
    ):
        assert sum(part in line for line in lines) == 1, part


def test_a_language_models_address_that_is_none_is_told_by_the_check(
    world: World, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-checked")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://")
    lines = told(look(world, runtime, texts={"generator": {"model": "gpt-4o-mini"}}))
    assert [line for line in lines if line.startswith("OPENAI_BASE_URL (or CODER_LLM_BASE_URL): 'http://' is not")]


def test_a_device_that_is_not_there_is_told_by_the_check(photos: World, world: World, runtime: Runtime) -> None:
    without = runtime.model_copy(update={"device": "cuda:99"})
    (line,) = told(look(photos, without))
    assert line.startswith("CODER_DEVICE (runtime.device): there is no 'cuda:99' on this machine (")
    assert "auto or cpu" in line
    assert told(look(world, without)) == [], "features need no device"


@pytest.mark.parametrize(
    ("checkpoint", "architecture", "problem"),
    [
        ("laion2b_s34b", "ViT-B-32", "Did you mean 'laion2b_s34b_b79k'?"),
        ("openai", None, "encoder.architecture is needed"),
        ("s3://bucket/model.pt", "ViT-B-32", "models are loaded from this machine's disk"),
        ("./nothing.pt", "ViT-B-32", "there is no such folder or weights file"),
    ],
)
def test_a_model_that_is_named_wrong(
    photos: World, runtime: Runtime, checkpoint: str, architecture: str | None, problem: str
) -> None:
    encoder = {"kind": "open_clip", "checkpoint": checkpoint, "architecture": architecture}
    (line,) = told(look(photos, runtime, encoder=encoder))
    assert problem in line


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_weights_of_another_architecture_are_told_by_their_shapes(photos: World, runtime: Runtime, suffix: str) -> None:
    folder = Path(photos.settings["encoder"]["checkpoint"])
    state = load_file(next(folder.glob("*.safetensors")))
    alone = photos.folder / f"alone{suffix}"
    if suffix == ".pt":
        torch.save({"state_dict": state}, alone)
    else:
        save_file(state, alone)
    encoder = {"kind": "open_clip", "checkpoint": str(alone), "architecture": "ViT-B-32"}
    (line,) = told(look(photos, runtime, encoder=encoder))
    assert "nobody has said how these weights" in line
    said = {"quick_gelu": False, "preprocess": "openai"}
    (line,) = told(look(photos, runtime, encoder={**encoder, **said}))
    assert f"token_embedding.weight is 49408 x 32, ViT-B-32/alone{suffix} has 49408 x 512" in line


def test_weights_of_another_depth_are_told_by_their_layers(photos: World, runtime: Runtime) -> None:
    folder = Path(photos.settings["encoder"]["checkpoint"])
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["model_cfg"]["vision_cfg"]["layers"] += 1
    deeper = photos.folder / "deeper"
    shutil.copytree(folder, deeper)
    (deeper / "open_clip_config.json").write_text(json.dumps(config))
    (line,) = told(look(photos, runtime, encoder={"kind": "open_clip", "checkpoint": str(deeper)}))
    assert "visual.transformer.resblocks has 1 layer, deeper has 2. Give the architecture" in line


def test_the_configuration_beside_weights_is_believed(photos: World, runtime: Runtime) -> None:
    weights = next(Path(photos.settings["encoder"]["checkpoint"]).glob("*.safetensors"))
    encoder = {"kind": "open_clip", "checkpoint": str(weights), "architecture": "ViT-B-32"}
    (line,) = told(look(photos, runtime, encoder=encoder))
    assert "open_clip_config.json: it describes another architecture than ViT-B-32" in line


def test_published_weights_are_not_fetched(photos: World, runtime: Runtime) -> None:
    encoder = {"kind": "open_clip", "architecture": "ViT-B-32", "checkpoint": "laion2b_s34b_b79k"}
    found = look(photos, runtime, encoder=encoder)
    assert found.problems == []
    assert any("published weights that open_clip fetches once" in fact for fact in found.facts)


def test_a_thin_class_list_and_a_bank_that_lacks_descriptions(world: World, runtime: Runtime) -> None:
    bank = yaml.safe_load((world.folder / "bank.yaml").read_text())
    for entry in bank["classes"][1:]:
        del entry["attributes"], entry["analogous_classes"]
    (world.folder / "bank.yaml").write_text(yaml.safe_dump(bank))
    (line,) = told(look(world, runtime))
    assert "blue tit" in line
    assert "wren" in line or "3 of 4" in line
    with pytest.raises(TextBankError, match="blue tit"):
        evaluate(world.settings, store=runtime.store)


def test_two_classes_that_no_text_can_tell_apart_are_one_warning_and_a_note(world: World, runtime: Runtime) -> None:
    rewrite_features(world, class_names=np.array(["wren", "wren", "green finch", "blue tit"]))
    settings = {**world.settings, "texts": {"domain": "bird"}, "methods": ["clip"], "matrix": {}}
    found = check_evaluation(World(world.folder, settings).spec(), runtime)
    assert found.problems == []
    (warning,) = found.warnings
    assert "'wren' (id 0), 'wren' (id 1) have one name" in warning
    (note,) = evaluate(settings, store=runtime.store).notes
    assert note.startswith(warning)
    assert "the first of them counts" in note


def test_too_few_images_for_the_shots(photos: World, runtime: Runtime, tmp_path: Path) -> None:
    for name in NAMES:
        write_image_class(tmp_path / "pool", name, 3 if name == "wren" else 4, first_image=50)
    pool = {"kind": "folder", "path": str(tmp_path / "pool")}
    (line,) = told(look(photos, runtime, few_shot={"pool": pool, "shots": [1, 4]}))
    assert "class 'wren' has 3 labelled images, 4 shots were asked for" in line
    assert told(look(photos, runtime, few_shot={"pool": pool, "shots": [1, 4], "allow_fewer": True})) == []


def test_a_key_is_missed_only_where_something_is_asked(
    photos: World, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    texts = {"generator": {"model": "gpt-4o-mini"}}
    (line,) = told(look(photos, runtime, texts=texts))
    assert line.startswith("OPENAI_API_KEY: there is no key, and ")
    own = runtime.model_copy(update={"llm": LlmRuntime(base_url="http://127.0.0.1:9/v1")})
    assert told(look(photos, own, texts=texts)) == []


def test_sentences_that_nobody_has_embedded(world: World, runtime: Runtime) -> None:
    content = (world.folder / "bank.yaml").read_text()
    (world.folder / "bank.yaml").write_text(content.replace("wren mark 0", "wren mark 99"))
    (line,) = told(look(world, runtime))
    assert "wren mark 99" in line


def test_the_library_raises_all_problems_as_one(world: World, runtime: Runtime) -> None:
    write_bank(world.folder / "bank.yaml", NAMES[:3])
    texts = {**world.settings["texts"], "domain": "brd"}
    with pytest.raises(SeveralProblemsError) as caught:
        evaluate({**world.settings, "texts": texts}, store=runtime.store)
    assert [type(problem).__name__ for problem in caught.value.problems] == ["ConfigError", "TextBankError"]
    assert caught.value.exit_code == 2


@pytest.mark.slow
def test_a_look_at_a_model_and_its_texts_loads_neither_torch_nor_prefect(tmp_path: Path) -> None:
    settings = yaml.safe_load((Path(__file__).parents[3] / "configs" / "my-images.yaml").read_text())
    write_image_class(tmp_path / "images", "wren", 1)
    write_bank(tmp_path / "my-texts.yaml", ["wren"])
    (tmp_path / "config.yaml").write_text(json.dumps(settings))
    command = [sys.executable, "-c", FAST, str(tmp_path / "config.yaml"), str(tmp_path / "store")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_the_check_has_listed_the_run_does_not_list_again(
    photos: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[str] = []
    monkeypatch.setitem(sources.SOURCES, "folder", counting(sources.SOURCES["folder"], listed))
    result = evaluate({**photos.settings, "methods": ["clip"]}, store=str(tmp_path / "store"))
    assert (result.image_count, len(listed)) == (20, 1)
    (photos.folder / "images" / "wren" / "000.png").unlink()
    assert evaluate({**photos.settings, "methods": ["clip"]}, store=str(tmp_path / "store")).image_count == 19


def counting(opener: Callable[..., Any], listed: list[str]) -> Callable[..., Any]:
    def count(dataset: Any, settle_seconds: float) -> Any:
        listed.append(dataset.path)
        return opener(dataset, settle_seconds)

    return count


def test_one_class_only_is_told(photos: World, tmp_path: Path) -> None:
    spec = photos.spec(dataset={**photos.settings["dataset"], "class_names": ["wren"], "ignore_other_folders": True})
    found = check_evaluation(spec, Runtime(store=str(tmp_path / "store")))
    assert [warning for warning in found.warnings if "one class only" in warning]
    assert "5 images are too few to show any difference between two methods four times in five" in found.facts
