"""Small evaluations that between them read every field, every file and every column."""

import json
from collections.abc import Callable, Iterable
from copy import deepcopy
from itertools import permutations
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pytest

from coder_core.atg.generation_report import merge_reports
from coder_core.config import validate_spec
from coder_core.pipeline.context import Context
from coder_core.pipeline.runner import InlineRunner, inline_runner
from coder_core.pipeline.step import Step
from coder_core.recipes.evaluate import evaluate
from coder_core.specs import Runtime
from coder_core.steps.assemble_bank import AssembleBank
from coder_core.steps.generate_texts import CheckGeneration, GenerateTexts
from coder_core.steps.publish_run import PublishRun
from tests.fixtures_inputs import NAMES, World, rewrite_features, write_bank, write_photos, write_tiny_clip, write_world

Settings = dict[str, Any]
Keys = dict[str, set[str]]
"""Name of a step -> keys under which it ran."""


class Files(NamedTuple):
    """A world on disk: the folder of its files, and the settings that read them."""

    folder: Path
    settings: Settings


class KeyRunner(InlineRunner):
    """Runs a recipe, and keeps every step that is asked for. A language model is planned for and never asked."""

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime)
        self.steps: list[Step[Any]] = []

    def __call__(self, step: Step[Any]) -> Any:
        self.steps.append(step)
        if isinstance(step, GenerateTexts):
            return merge_reports([])
        if isinstance(step, CheckGeneration):
            return step.reports[0]
        if isinstance(step, AssembleBank):
            from_files = step.texts.model_copy(update={"generator": None, "wordnet": None})
            step = step.model_copy(update={"texts": from_files})
        return super().__call__(step)

    def in_one_pass(self, steps: Any) -> Any:
        self.steps += steps
        return super().in_one_pass(steps)


def steps_of(settings: Settings, runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> list[Step[Any]]:
    """Every step of an evaluation that is really run, those inside of others included."""
    nested: list[Step[Any]] = []
    do = Context.do

    def noting(context: Context, step: Step[Any]) -> Any:
        nested.append(step)
        return do(context, step)

    with monkeypatch.context() as patched, inline_runner(runtime):
        patched.setattr(Context, "do", noting)
        runner = KeyRunner(runtime)
        evaluate(validate_spec(settings, place="test", base=""), runner)
    return [*runner.steps, *nested]


def keys_of(steps: Iterable[Step[Any]]) -> Keys:
    """Keys by the class of the step; a publication goes under the id of its run and has none."""
    found: Keys = {}
    for step in steps:
        if isinstance(step, PublishRun):
            continue
        found.setdefault(type(step).__name__, set()).add(step.key)
    return found


def moved(before: Keys, after: Keys) -> set[str]:
    """Steps of which not all keys are the same."""
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def features_world(folder: Path, _checkpoint: Path) -> Files:
    """Everything that features can do: variants, rerank with validation, controls, few-shot, ablation, matrix."""
    world = write_world(folder, images_per_class=4, pairs=tuple(permutations(NAMES, 2)))
    parts = {"validation": 4, "pool": 8, "other": 12}
    for name, first in parts.items():
        write_world(folder / name, images_per_class=4, first_image=first)
    for part in (folder, *(folder / name for name in parts)):
        _add_other_arrays(part)
    _add_other_texts(folder)
    _write_class_lists(folder)
    settings = {
        **world.settings,
        "dataset": {**world.settings["dataset"], "image_ids": "image_ids"},
        "methods": ["clip", "vcd", "coder", "coder_rerank"],
        "controls": ["repeated_names"],
        "calibrate": True,
        "rerank": {"choose_threshold": True, "threshold": 0.5},
        "validation": _features(folder / "validation"),
        "few_shot": {
            "pool": _features(folder / "pool"),
            "shots": [1],
            "draws": 1,
            "methods": ["lda"],
            "texts": {"path": str(folder / "texts.npz")},
            "select_texts": True,
        },
        "transduction": {"texts": {"path": str(folder / "texts.npz")}, "methods": ["batch_discriminant", "stata"]},
        "ablation": {"draws": 1, "texts_per_class": [1]},
        "matrix": {"write": True},
    }
    return Files(folder, settings)


def photos_world(folder: Path, checkpoint: Path) -> Files:
    """Folders of images, a model, views, and a class list of its own."""
    world = write_photos(folder / "test", checkpoint, images_per_class=2)
    write_photos(folder / "pool", checkpoint, images_per_class=3, first_image=10)
    write_photos(folder / "other", checkpoint, images_per_class=1, first_image=20)
    _write_class_lists(folder)
    _write_edits(folder)
    (folder / "clip").mkdir()
    write_tiny_clip(folder / "clip", seed=1)
    pool = {"kind": "folder", "path": str(folder / "pool" / "images"), "class_names": list(NAMES)}
    few_shot = {
        "pool": pool,
        "shots": [1],
        "draws": 1,
        "methods": ["lda"],
        "zero_shot": "none",
        "views": 1,
        "vocabulary": "shipped",
        "validation_per_class": 0,
    }
    transduction = {"stage1": ["lda"]}
    changes = {"methods": ["clip"], "few_shot": few_shot, "transduction": transduction, "calibrate": "batch"}
    settings = {**deepcopy(world.settings), **changes}
    settings["dataset"]["class_names"] = list(NAMES)
    return Files(folder, settings)


def split_world(folder: Path, checkpoint: Path) -> Files:
    """Images named by a published split file; a language model is shown some of the training set."""
    world = write_photos(folder, checkpoint, images_per_class=4)
    write_photos(folder / "other", checkpoint, images_per_class=4, first_image=1)
    for wren in (folder / "other" / "images").glob("*/004.png"):
        wren.rename(wren.with_name("000.png"))
    rows = [[f"{name}/{number:03d}.png", label, name] for label, name in enumerate(NAMES) for number in range(4)]
    lists = {"train": rows[0::4], "val": rows[1::4], "test": [*rows[2::4], *rows[3::4]]}
    (folder / "split.json").write_text(json.dumps(lists))
    (folder / "split2.json").write_text(json.dumps({**lists, "test": rows[2::4]}))
    dataset = {"kind": "split", "path": str(folder / "images"), "split_file": str(folder / "split.json")}
    few_shot = {"pool": {**dataset, "split": "train"}, "shots": [1], "draws": 1, "methods": ["nearest_mean"]}
    texts = {**world.settings["texts"], "generator": {"model": "some-model", "images_per_class": 1}}
    changes = {"methods": ["clip"], "dataset": {**dataset, "split": "test"}, "few_shot": few_shot, "texts": texts}
    return Files(folder, {**world.settings, **changes})


def flags_world(folder: Path, checkpoint: Path) -> Files:
    """The demonstration's images."""
    folder.mkdir()
    encoder = {"kind": "open_clip", "checkpoint": str(checkpoint)}
    dataset = {"kind": "flags", "images_per_class": 1}
    return Files(folder, {"name": "flags", "methods": ["clip"], "dataset": dataset, "encoder": encoder})


def generated_world(folder: Path, checkpoint: Path) -> Files:
    """Texts of a language model, about classes and about all pairs."""
    files = features_world(folder, checkpoint)
    generator = {"model": "some-model", "sampling": {"temperature": 0.5, "top_p": 0.9, "seed": 1}}
    texts = {**files.settings["texts"], "generator": generator}
    keep = {name: files.settings[name] for name in ("name", "dataset", "encoder")}
    return Files(folder, {**keep, "texts": texts, "methods": ["clip", "coder", "coder_rerank"]})


WORLDS: dict[str, Callable[[Path, Path], Files]] = {
    "features": features_world,
    "photos": photos_world,
    "split": split_world,
    "flags": flags_world,
    "generated": generated_world,
}


def _features(folder: Path) -> Settings:
    return {"kind": "features", "path": str(folder / "images.npz"), "image_ids": "image_ids"}


def _add_other_arrays(folder: Path) -> None:
    with np.load(folder / "images.npz") as found:
        arrays = dict(found)
    ids = [f"{folder.name} {row}" for row in range(len(arrays["labels"]))]
    others = {
        "image_ids": np.array(ids),
        "image_ids2": np.array([f"{name}!" for name in ids]),
        "features2": arrays["features"][:, ::-1].copy(),
        "labels2": arrays["labels"][::-1].copy(),
        "class_names2": np.array(NAMES[::-1]),
    }
    rewrite_features(World(folder, {}), **others)


def _add_other_texts(folder: Path) -> None:
    """A second column of features and of texts, and a second file."""
    with np.load(folder / "texts.npz") as found:
        arrays = dict(found)
    arrays["features2"] = arrays["features"][:, ::-1].copy()
    arrays["texts2"] = arrays["texts"][::-1].copy()
    np.savez(folder / "texts.npz", **arrays)
    np.savez(folder / "texts2.npz", **{**arrays, "features": arrays["features2"]})


def _write_edits(folder: Path) -> None:
    write_bank(folder / "bank2.yaml", NAMES, pairs=[NAMES[:2]])
    for name, edited in (("edits", NAMES[0]), ("edits2", NAMES[1])):
        added = [{"name": edited, "attributes": {"add": ["tiny"]}}]
        (folder / f"{name}.yaml").write_text(json.dumps({"format": "coder-text-edits/1", "classes": added}))


def _write_class_lists(folder: Path) -> None:
    for name, classes in (("classes", NAMES), ("fewer", NAMES[1:])):
        (folder / f"{name}.txt").write_text("\n".join(classes) + "\n")
        (folder / f"{name}.csv").write_text("class_name\n" + "\n".join(classes) + "\n")
        for own in classes:
            (folder / name / own).mkdir(parents=True)
            (folder / name / own / "a file").touch()
        with duckdb.connect(str(folder / f"{name}.duckdb")) as database:
            database.execute("CREATE TABLE birds (class_name TEXT)")
            database.executemany("INSERT INTO birds VALUES (?)", [[own] for own in classes])
