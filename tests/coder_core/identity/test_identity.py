"""The store is the cache: whatever decides a result is in a key, and nothing else is.

Small evaluations really run. Then every field of a spec, every packaged file, every array of every input file and every
step version is changed, one at a time: a key must change, of a step that reads it. Fields of `Runtime` change none.
"""

import json
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import numpy as np
import pytest
from _pytest.mark.structures import ParameterSet
from fsspec.implementations.memory import MemoryFileSystem

import coder_core.steps
from coder_core import packaged
from coder_core.pipeline.step import ArtifactStep, Step
from coder_core.specs import Runtime
from coder_core.steps.publish_run import PublishRun
from tests.coder_core.recipes.runs import forget_files

from .field_cases import ALL_CASES, EXEMPT, Case, changed, walk_fields
from .worlds import WORLDS, Files, Keys, Settings, keys_of, moved, steps_of

PACKAGED = {
    "texts/domains.yaml": ("features", "WriteTexts"),
    "texts/vocabulary.txt": ("photos", "WriteVocabulary"),
    "atg/prompts.yaml": ("generated", "GenerateTexts"),
    "demo/designs.yaml": ("flags", "ListImages"),
}
PACKAGED_EXEMPT = {
    "demo/flags.yaml": "a config: its fields are walked",
    "demo/flag_texts.yaml": "named in a config as `demo:flag-texts`, so a bank like any other",
    "demo/micro_clip/open_clip_config.json": "named in a config as `demo:micro-clip`, so a checkpoint like any other",
    "demo/micro_clip/open_clip_model.safetensors": "the same",
    "demo/micro_clip/training.json": "an account of how the weights were made; nothing reads it",
    "report/html/page.css": "how a report looks",
    "report/html/page.html.j2": "the same",
    "report/html/page.js": "the same",
    "report/html/page_base.js": "the same",
    "llm/prices.yaml": "decides what is said about money, never a text",
}
RUNTIME: dict[str, Any] = {
    "store": "another",
    "device": "auto",
    "batch_size": 3,
    "threads": 2,
    "shard_images": 2,
    "workers": 1,
    "gpu_slots": 3,
    "classes_per_task": 2,
    "llm": {"base_url": "http://127.0.0.1:9/v1"},
    "settle_seconds": 0.0,
    "matrix_part_mb": 1,
}
RUNTIME_ELSEWHERE = {"task_runner", "task_runner_address", "report", "compile_mode"}
"""What an inline runner does not read: whole tables are compared in tests/flows; a report is written after the run. And
what takes minutes to compile; only who loads a model reads it (`embedding.pass_queue`)."""

Run = Callable[..., list[Step[Any]]]


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory, tiny_clip: Path) -> dict[str, Files]:
    root = tmp_path_factory.mktemp("worlds")
    return {name: write(root / name, tiny_clip) for name, write in WORLDS.items()}


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """Runs settings in a store that all tests share, each settings once; in memory, for a disk is waited for.

    There every look goes through all files: what is of no use to another run does not stay. That is what a run `alone`
    makes, one with a change; vectors stay.
    """
    root = uuid.uuid4().hex
    store = f"memory://{root}"
    found: dict[str, list[Step[Any]]] = {}
    with pytest.MonkeyPatch.context() as monkeypatch:

        def run(settings: Settings, *, again: bool = False, alone: bool = False, **runtime: Any) -> list[Step[Any]]:
            name = json.dumps([settings, runtime], sort_keys=True)
            if again or name not in found:
                given = {"store": store, "device": "cpu", "settle_seconds": 0.0, **runtime}
                known = set(MemoryFileSystem.store)
                found[name] = steps_of(settings, Runtime(**given), monkeypatch)
                if alone:
                    forget_new_files(known)
                forget_files(MemoryFileSystem, f"{root}/tables")
            return found[name]

        yield run
    forget_files(MemoryFileSystem, root)


def forget_new_files(known: set[str]) -> None:
    """Take out of memory what is not known, but for rows of ledgers, of which this process keeps an index."""
    for path in MemoryFileSystem.store.keys() - known:
        if "/ledgers/" not in path:
            del MemoryFileSystem.store[path]


def test_every_field_of_a_spec_has_a_case_or_a_reason() -> None:
    cases = {case.field for case in ALL_CASES if " " not in case.field}
    assert cases | EXEMPT.keys() == walk_fields()
    assert not cases & EXEMPT.keys()


def first_is_quick(cases: Sequence[ParameterSet]) -> list[ParameterSet]:
    """Every case; all but the first one are for those who have more than a minute."""
    return [*cases[:1], *(pytest.param(*case.values, id=case.id, marks=pytest.mark.slow) for case in cases[1:])]


def by_world(cases: Sequence[Case]) -> list[ParameterSet]:
    """Every case; quick is the first one of every world."""
    worlds: dict[str, list[ParameterSet]] = {}
    for case in cases:
        worlds.setdefault(case.world, []).append(pytest.param(case, id=case.field))
    return [case for found in worlds.values() for case in first_is_quick(found)]


@pytest.mark.parametrize("case", by_world(ALL_CASES))
def test_a_field_moves_the_key_of_the_step_that_reads_it(case: Case, worlds: dict[str, Files], run: Run) -> None:
    files = worlds[case.world]
    before = keys_of(run(changed(files, case.start)))
    assert case.moves in moved(before, keys_of(run(changed(files, case.start, case.change), alone=True)))


@pytest.mark.slow
@pytest.mark.parametrize("world", ["features", "photos", "split", "flags"])
def test_what_only_names_a_thing_moves_no_artifact(world: str, worlds: dict[str, Files], run: Run) -> None:
    before = artifact_keys(run(worlds[world].settings))
    renamed = changed(worlds[world], {"name": "another-name", "dataset.name": "Another name"})
    assert moved(before, artifact_keys(run(renamed))) == set()


def test_files_elsewhere_are_the_same_files(worlds: dict[str, Files], run: Run, tmp_path: Path) -> None:
    files = worlds["features"]
    shutil.copytree(files.folder, tmp_path / "moved")
    there = json.loads(json.dumps(files.settings).replace(str(files.folder), str(tmp_path / "moved")))
    assert moved(artifact_keys(run(files.settings)), artifact_keys(run(there))) == set()


@pytest.mark.parametrize("world", ["features", pytest.param("photos", marks=pytest.mark.slow)])
def test_no_field_of_the_runtime_moves_a_key(world: str, worlds: dict[str, Files], run: Run, tmp_path: Path) -> None:
    """All of them at once: a key that one of them moves is another key."""
    assert Runtime.model_fields.keys() - RUNTIME_ELSEWHERE == RUNTIME.keys()
    settings, others = worlds[world].settings, RUNTIME | {"store": str(tmp_path / "store")}
    assert moved(keys_of(run(settings)), keys_of(run(settings, again=True, **others))) == set()


def test_every_packaged_file_has_a_case_or_a_reason() -> None:
    root = Path(coder_core.steps.__file__).parents[1]
    code = {".py", ".pyc", ".typed"}
    shipped = {
        path.relative_to(root).as_posix() for path in root.rglob("*.*") if path.is_file() and path.suffix not in code
    }
    assert shipped == PACKAGED.keys() | PACKAGED_EXEMPT.keys()


@pytest.mark.parametrize("name", first_is_quick([pytest.param(name, id=name) for name in PACKAGED]))
def test_an_edited_packaged_file_moves_the_key_of_the_step_that_reads_it(
    name: str, worlds: dict[str, Files], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, step = PACKAGED[name]
    before, read = keys_of(run(worlds[world].settings)), packaged.read_packaged
    monkeypatch.setattr(packaged, "read_packaged", lambda asked: read(asked) + b"\n# edited" * (asked == name))
    found = moved(before, keys_of(run(worlds[world].settings, again=True)))
    assert step in found
    others = {other for other_name, (_, other) in PACKAGED.items() if other_name != name}
    assert not others & found


ARRAYS = {
    "images.npz": {"features": "ListImages", "labels": "ListLabels", "image_ids": "ListImages"},
    "texts.npz": {"texts": "EmbedTexts", "features": "EmbedTexts"},
    "pool/images.npz": {"features": "FitFewShot", "labels": "FitFewShot", "image_ids": "FitFewShot"},
    "validation/images.npz": {"features": "ChooseThreshold", "labels": "ChooseThreshold"},
}


@pytest.mark.parametrize(
    ("file", "array"),
    first_is_quick(
        [pytest.param(file, array, id=f"{file}-{array}") for file, arrays in ARRAYS.items() for array in arrays]
    ),
)
def test_every_array_of_an_input_moves_the_key_of_the_step_that_reads_it(
    file: str, array: str, worlds: dict[str, Files], run: Run, tmp_path: Path
) -> None:
    files = worlds["features"]
    before = keys_of(run(files.settings))
    shutil.copytree(files.folder, tmp_path / "edited")
    _edit(tmp_path / "edited" / file, array)
    there = json.loads(json.dumps(files.settings).replace(str(files.folder), str(tmp_path / "edited")))
    assert ARRAYS[file][array] in moved(before, keys_of(run(there, alone=True)))


@pytest.mark.parametrize(
    ("world", "file", "step"),
    first_is_quick(
        [
            pytest.param("photos", "test/bank.yaml", "KeepBank", id="bank"),
            pytest.param("photos", "test/images/wren/000.png", "ListImages", id="image"),
            pytest.param("photos", "pool/images/wren/010.png", "FitFewShot", id="support"),
            pytest.param("split", "images/wren/002.png", "ListImages", id="split"),
        ]
    ),
)
def test_every_input_file_moves_the_key_of_the_step_that_reads_it(
    world: str, file: str, step: str, worlds: dict[str, Files], run: Run, tmp_path: Path
) -> None:
    files = worlds[world]
    before = keys_of(run(files.settings))
    shutil.copytree(files.folder, tmp_path / "edited")
    edited = tmp_path / "edited" / file
    edited.write_bytes(edited.read_bytes().replace(b"mark", b"sign") + b"\n")
    there = json.loads(json.dumps(files.settings).replace(str(files.folder), str(tmp_path / "edited")))
    assert step in moved(before, keys_of(run(there, alone=True)))


def test_every_step_counts_its_version(worlds: dict[str, Files], run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    found: dict[type[Step[Any]], Step[Any]] = {}
    for files in worlds.values():
        found |= {type(step): step for step in run(files.settings)}
    found.pop(PublishRun)
    for kind, step in found.items():
        before = step.key
        monkeypatch.setattr(kind, "version", kind.version + 1)
        assert step.key != before, kind
    # under `protocol: reference`; in the recipe of `predict`; what steps of one draw have in common
    elsewhere = {"PredictAsReleased", "NamePredictions", "OfDraw"}
    assert {kind.__name__ for kind in artifact_steps()} - {kind.__name__ for kind in found} == elsewhere


def artifact_steps() -> set[type[Step[Any]]]:
    """Every step of the package that makes an artifact."""
    for module in iter_modules(coder_core.steps.__path__):
        import_module(f"coder_core.steps.{module.name}")
    return {kind for kind in _subclasses(ArtifactStep) if kind.__module__.startswith("coder_core.steps")}


def artifact_keys(steps: list[Step[Any]]) -> Keys:
    """Keys of the steps whose results are kept under them."""
    return keys_of(step for step in steps if isinstance(step, ArtifactStep))


def _subclasses(kind: type[Any]) -> Iterator[type[Any]]:
    for subclass in kind.__subclasses__():
        yield from _subclasses(subclass)
        if "[" not in subclass.__name__ and subclass.__name__ != "ShardedStep":
            yield subclass


def _edit(path: Path, array: str) -> None:
    """Change one value of one array."""
    with np.load(path) as found:
        arrays = dict(found)
    values = arrays[array].copy()
    if values.dtype.kind in "US":
        last = values[-1]
        values = np.array([*values[:-1].tolist(), f"{last}?"]) if array == "image_ids" else values[::-1]
    else:
        values[[0, -1]] = values[[-1, 0]]
    np.savez(path, **{**arrays, array: values})
