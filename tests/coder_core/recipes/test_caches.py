"""Caches that once answered with the wrong thing: each is asked again what it got wrong, and about what must stay."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coder_core import packaged
from coder_core.pipeline.context import Context
from coder_core.pipeline.runner import InlineRunner
from coder_core.specs import EvalSpec, FlagsDataset, FolderDataset, Runtime
from coder_core.steps.assemble_bank import AssembleBank
from coder_core.steps.generate_texts import GenerateTexts
from coder_core.steps.load_dataset import ListNewImages, LoadDataset
from coder_core.storage.input_files import file_token, read_input_state
from tests.fixtures_inputs import NAMES, World, write_image_class, write_world

from .runs import Run, paired_world, rows, run_spec


def keys(run: Run) -> dict[str, set[str]]:
    """Step -> keys of what it made or found."""
    found: dict[str, set[str]] = {}
    for record in run.result.records:
        found.setdefault(record.step, set()).add(record.key)
    return found


def moved(before: Run, after: Run) -> set[str]:
    """The steps that have other keys."""
    one, other = keys(before), keys(after)
    assert one.keys() == other.keys()
    return {step for step in one if one[step] != other[step]}


@pytest.fixture
def metric(tmp_path: Path, world: World) -> World:
    """A world with few-shot whose metric is made by one of two columns of a file."""
    pool = write_world(tmp_path / "pool", images_per_class=12, first_image=500)
    generator = np.random.default_rng(0)
    columns = {name: generator.standard_normal((9, 16)) for name in ("features", "other")}
    np.savez(tmp_path / "metric.npz", **columns)
    few_shot = {
        "pool": pool.settings["dataset"],
        "shots": [2],
        "draws": 1,
        "methods": ["text_discriminant", "nearest_mean"],
        "zero_shot": "none",
        "texts": {"path": str(tmp_path / "metric.npz")},
    }
    return World(world.folder, {**world.settings, "methods": ["clip"], "few_shot": few_shot})


def with_texts(world: World, **texts: str) -> EvalSpec:
    few_shot = world.settings["few_shot"]
    return world.spec(few_shot={**few_shot, "texts": {**few_shot["texts"], **texts}})


def few_shot_answers(runtime: Runtime, run_id: str, method: str) -> list[tuple[Any, ...]]:
    columns = "image_id, predicted, probability"
    condition = f"run_id = '{run_id}' AND method = '{method}'"
    return rows(runtime, f"SELECT {columns} FROM few_shot_predictions WHERE {condition} ORDER BY 1")


@pytest.mark.slow
def test_another_column_of_the_few_shot_texts_is_another_classifier(metric: World, runtime: Runtime) -> None:
    first = run_spec(metric.spec(), runtime, "run-1")
    other = run_spec(with_texts(metric, features="other"), runtime, "run-2")
    assert moved(first, other) == {"fit_few_shot_2", "predict_few_shot_2", "measure_few_shot_2"}
    answers = [few_shot_answers(runtime, run_id, "text_discriminant") for run_id in ("run-1", "run-2")]
    assert answers[0] != answers[1]
    alone = Runtime(store=f"{runtime.store}-2", device="cpu")
    run_spec(with_texts(metric, features="other"), alone, "run-2")
    assert few_shot_answers(alone, "run-2", "text_discriminant") == answers[1], "as in a store that holds no other"


@pytest.mark.slow
def test_the_same_texts_elsewhere_are_the_same_classifier(metric: World, tmp_path: Path, runtime: Runtime) -> None:
    first = run_spec(metric.spec(), runtime, "run-1")
    shutil.copy(tmp_path / "metric.npz", tmp_path / "moved.npz")
    again = run_spec(with_texts(metric, path=str(tmp_path / "moved.npz")), runtime, "run-2")
    assert (moved(first, again), again.computed) == (set(), {})


def edit(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Add a comment to one packaged file."""
    read = packaged.read_packaged
    monkeypatch.setattr(packaged, "read_packaged", lambda asked: read(asked) + b"\n# edited" * (asked == name))


@pytest.mark.slow
def test_an_edited_sentence_is_read_by_the_steps_that_write_sentences(
    tmp_path: Path, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = paired_world(tmp_path / "world").spec()
    before = run_spec(spec, runtime, "run-1")
    edit(monkeypatch, "texts/domains.yaml")
    after = run_spec(spec, runtime, "run-2")
    assert before.manifest.texts.key != after.manifest.texts.key
    untouched = {"list_classes", "load_dataset", "read_labels", "list_ignored", "assemble_bank", "assemble_pair_bank"}
    untouched |= {"embed_images", "check_store", "identify_encoder", "plan_generation", "select_pairs"}
    untouched |= {"check_texts"}
    assert keys(before).keys() - moved(before, after) == untouched
    assert after.record("embed_texts").computed == 0, "a sentence that says the same has the same vector"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["atg/prompts.yaml", "demo/designs.yaml"])
def test_an_edited_file_that_nobody_reads_here_moves_nothing(
    world: World, runtime: Runtime, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    before = run_spec(world.spec(methods=["clip"]), runtime, "run-1")
    edit(monkeypatch, name)
    after = run_spec(world.spec(methods=["clip"]), runtime, "run-2")
    assert (moved(before, after), after.computed) == (set(), {})


def test_an_edited_prompt_is_read_by_the_steps_that_ask_with_it(
    world: World, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = run_spec(world.spec(methods=["clip"]), runtime).manifest
    texts = world.spec(texts={"generator": {"model": "any"}}).texts
    asked = {"classes": manifest.dataset.classes, "texts": texts, "encoder": manifest.encoder}

    def step_keys() -> list[str]:
        return [GenerateTexts(**asked, class_ids=(0,)).key, AssembleBank(**asked).key]

    before = step_keys()
    edit(monkeypatch, "texts/domains.yaml")
    assert step_keys() == before
    edit(monkeypatch, "atg/prompts.yaml")
    assert not set(step_keys()) & set(before)


@pytest.mark.slow
def test_an_edited_table_of_flags_is_another_data_set(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    run, source = InlineRunner(runtime), FlagsDataset(kind="flags", images_per_class=1)
    before = run(LoadDataset(source=source))
    edit(monkeypatch, "texts/domains.yaml")
    assert run(LoadDataset(source=source)) == before
    edit(monkeypatch, "demo/designs.yaml")
    after = run(LoadDataset(source=source))
    assert (after.images.key, after.labels.key) != (before.images.key, before.labels.key)
    assert after.classes == before.classes, "the names are what they were"


def test_a_folder_and_its_parent_have_ids_of_their_own(tmp_path: Path, runtime: Runtime) -> None:
    """Listed from `photos/birds` they are `wren/000.png`, from `photos` they are `birds/wren/000.png`."""
    for name in NAMES[:2]:
        write_image_class(tmp_path / "photos" / "birds", name, 2)
    run, context = InlineRunner(runtime), Context.open(runtime)

    def ids(folder: str, classes: tuple[str, ...] | None = None) -> list[str]:
        source = FolderDataset(kind="folder", path=str(tmp_path / folder), class_names=classes)
        dataset = run(LoadDataset(source=source))
        assert context.read(dataset.labels, ["image_id"]).equals(context.read(dataset.images, ["image_id"]))
        return context.read(dataset.images).column("image_id").to_pylist()

    below = ids("photos/birds")
    assert below == sorted(f"{name}/{number:03d}.png" for name in NAMES[:2] for number in range(2))
    assert ids("photos", ("birds",)) == [f"birds/{name}" for name in below]
    assert ids("photos/birds") == below


def test_new_images_in_another_order_are_another_listing(tmp_path: Path, runtime: Runtime) -> None:
    write_image_class(tmp_path, "wren", 2)
    run, context = InlineRunner(runtime), Context.open(runtime)
    files = tuple(str(tmp_path / "wren" / f"{number:03d}.png") for number in range(2))
    for order in (files, files[::-1], files):
        listed = run(ListNewImages(locations=order)).images
        assert context.read(listed).column("image_id").to_pylist() == list(order)


def test_files_of_equal_times_and_other_sizes_are_other_files(tmp_path: Path, runtime: Runtime) -> None:
    """Once 10 and 9,999 bytes of one time were one file to the cache."""
    path = tmp_path / "images" / "wren" / "a.png"
    path.parent.mkdir(parents=True)
    tokens, listings = [], []
    for size in (10, 9_999):
        path.write_bytes(bytes(size))
        os.utime(path, ns=(1_700_000_000_000_000_000,) * 2)
        tokens.append(read_input_state(str(path)))
        source = FolderDataset(kind="folder", path=str(tmp_path / "images"))
        listings.append(InlineRunner(runtime)(LoadDataset(source=source)).images.key)
    assert len(set(tokens)) == len(set(listings)) == 2


@pytest.mark.parametrize("field", ["st_size", "st_ino", "st_mtime_ns", "st_ctime_ns"])
def test_a_files_token_holds_size_inode_and_both_times(tmp_path: Path, field: str) -> None:
    class Status:
        def __init__(self, status: os.stat_result, **changes: int) -> None:
            for name in ("st_size", "st_ino", "st_mtime_ns", "st_ctime_ns"):
                setattr(self, name, changes.get(name, getattr(status, name)))

    (tmp_path / "a").write_bytes(b"a")
    status = (tmp_path / "a").stat()
    assert file_token(Status(status)) == file_token(status)  # type: ignore[arg-type]
    assert file_token(Status(status, **{field: getattr(status, field) + 1})) != file_token(status)  # type: ignore[arg-type]
