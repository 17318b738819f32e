"""What a run costs that was run before: nothing; what is new in it: only that, and the log says why."""

import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import yaml
from fsspec.implementations.memory import MemoryFileSystem

from coder_core.specs import Runtime
from coder_core.storage.store import Store
from tests.fixtures_inputs import NAMES, World, rewrite_features, write_bank, write_image_class, write_world

from .conftest import Finished
from .runs import contents, copy_store, counted_passes, forget_files, paired_world, predicted, rows, run_spec

AGAIN = """
import json, sys
from coder_core import evaluate

result = evaluate({config!r}, store={store!r}, device="cpu")
loaded = [name for name in ("torch", "open_clip", "prefect", "openai") if name in sys.modules]
metrics = [[row.method, row.metric, row.value, row.ci_low, row.ci_high] for row in result.metrics]
computed = {{record.step: record.computed for record in result.records if record.computed}}
print(json.dumps({{"loaded": loaded, "metrics": metrics, "computed": computed, "run_id": result.run_id}}))
"""


def evaluate_in_a_new_process(config: Path, store: str) -> dict[str, Any]:
    """What a user's own program gets."""
    project = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", AGAIN.format(config=str(config), store=store)],
        cwd=config.parent,
        env={**os.environ, "PYTHONPATH": str(project)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.slow
def test_a_repeated_run_in_a_new_process_computes_nothing_and_loads_no_model(
    flags_run: Finished, tmp_path: Path
) -> None:
    """Every kind of step is in this run: each must be found without what it was made with."""
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(flags_run.world.settings))))
    again = evaluate_in_a_new_process(tmp_path / "config.yaml", flags_run.runtime.store)
    assert again["computed"] == {}
    assert again["loaded"] == []
    first = [[row.method, row.metric, row.value, row.ci_low, row.ci_high] for row in flags_run.run.result.metrics]
    assert again["metrics"] == first
    assert again["run_id"] != flags_run.run.result.run_id
    assert predicted(flags_run.runtime, again["run_id"]) == predicted(flags_run.runtime, flags_run.run.result.run_id)


class Change(NamedTuple):
    """A setting, the steps that read it, and what the log says of it."""

    setting: dict[str, Any]
    computed: set[str]
    reasons: dict[str, str]


METHODS = ("clip", "vcd", "coder", "coder_rerank")
GATE = {"count_confused_pairs", "build_coder_rerank", "predict_coder_rerank", "measure_coder_rerank", "ablate_texts"}
CHANGES = {
    "logit_scale": Change(
        {"logit_scale": 50.0},
        {f"{step}_{method}" for step in ("build", "predict", "measure") for method in METHODS} | GATE,
        {"build-clip": "spec.logit_scale: was 100.0, now 50.0", "predict-clip": "inputs.classifier: was "},
    ),
    "threshold": Change(
        {"rerank": {"threshold": 0.8}},
        GATE,
        dict.fromkeys(
            ["count-confused-pairs", "build-coder-rerank", "ablate-texts"], "spec.threshold: was 0.9, now 0.8"
        ),
    ),
    "ablation": Change(
        {"ablation": {"draws": 2, "texts_per_class": [1]}},
        {"ablate_texts"},
        {"ablate-texts": "spec.ablation.draws: was 1, now 2"},
    ),
    "draw_seed": Change({"draw_seed": 3}, {"ablate_texts"}, {"ablate-texts": "spec.seed: was 0, now 3"}),
    "baseline": Change(
        {"baseline": "vcd"},
        {f"measure_{method}" for method in METHODS},
        {"measure-coder": 'spec.baseline: was "clip", now "vcd"'},
    ),
    "methods": Change(
        {"methods": [*METHODS, "coder_softmax"]},
        {"build_coder_softmax", "predict_coder_softmax", "measure_coder_softmax"},
        {"build-coder-softmax": "build_coder_softmax has made none yet"},
    ),
    "name": Change({"name": "another"}, set(), {}),
}


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, Runtime]]:
    """A run with a rerank and an ablation."""
    folder = tmp_path_factory.mktemp("evaluated")
    world = paired_world(folder / "world", methods=METHODS, ablation={"draws": 1, "texts_per_class": [1]})
    runtime = Runtime(store=f"memory://{folder.name}", device="cpu")
    run_spec(world.spec(), runtime)
    yield world, runtime
    forget_files(MemoryFileSystem, folder.name)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(change, id=name, marks=[] if name in ("threshold", "draw_seed") else pytest.mark.slow)
        for name, change in CHANGES.items()
    ],
)
def test_a_changed_setting_costs_the_steps_that_read_it_and_the_log_names_it(
    evaluated: tuple[World, Runtime], runtime: Runtime, caplog: pytest.LogCaptureFixture, change: Change
) -> None:
    world, before = evaluated
    copy_store(before, runtime)
    caplog.set_level(logging.INFO, "coder_core")
    changed = run_spec(world.spec(**change.setting), runtime, "run-2")
    assert set(changed.computed) == change.computed
    messages = [message.partition(": computing, because ") for message in caplog.messages]
    why = {title: reason for title, separator, reason in messages if separator}
    assert {title.replace("-", "_") for title in why} == change.computed
    for title, reason in change.reasons.items():
        assert reason in why[title]


@pytest.mark.slow
def test_one_more_image_is_one_image_in_one_pass(photos: World, runtime: Runtime) -> None:
    run_spec(photos.spec(), runtime, "run-1")
    write_image_class(photos.folder / "images", "wren", 6)  # the first five are there already
    with counted_passes() as passes:
        grown = run_spec(photos.spec(), runtime, "run-2")
    assert (passes.images, passes.texts) == ([1], [])
    assert (grown.result.images_embedded, grown.result.images_reused) == (1, 20)
    assert (grown.record("write_texts").computed, grown.record("build_coder").computed) == (0, 0)
    assert grown.record("predict_coder").computed == 21, "a part of predictions is made as a whole"


QUICK = {"methods": ["clip", "coder"], "matrix": {"write": False}}


def test_one_more_image_costs_the_part_that_it_is_in(
    world: World, runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coder_core.steps.load_dataset.LISTING_ROWS", 8)
    first = run_spec(world.spec(**QUICK), runtime, "run-1")
    with np.load(world.folder / "images.npz") as held:
        features, labels = held["features"], held["labels"]
    rewrite_features(world, features=np.concatenate([features, -features[:1]]), labels=np.append(labels, labels[0]))
    grown = run_spec(world.spec(**QUICK), runtime, "run-2")
    count = len(features) + 1
    last = count % 8 or 8
    assert (first.result.image_count, grown.result.image_count) == (count - 1, count)
    assert grown.record("embed_images").computed == 1
    assert {grown.record(f"predict_{method}").computed for method in ("clip", "coder")} == {last}
    fresh = Runtime(store=str(tmp_path / "fresh"), device="cpu")
    alone = run_spec(world.spec(**QUICK), fresh, "run-2")
    assert predicted(runtime, "run-2") == predicted(fresh, "run-2")
    assert grown.result.metrics == alone.result.metrics
    assert contents(grown, runtime) == contents(alone, fresh)


def test_numbers_do_not_depend_on_how_a_listing_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight classes: of some images the true one is not among the five that are kept, and is asked for once more."""
    world = write_world(tmp_path / "world", (*NAMES, "goldcrest", "dipper", "twite", "dunnock"), images_per_class=4)
    metrics = []
    for size in (5, 4096):
        monkeypatch.setattr("coder_core.steps.load_dataset.LISTING_ROWS", size)
        runtime = Runtime(store=str(tmp_path / f"store-{size}"), device="cpu")
        metrics.append(run_spec(world.spec(**QUICK), runtime).result.metrics)
    cut, whole = ({(row.method, row.metric): row.value for row in found} for found in metrics)
    assert cut["clip", "top5"] < 1
    assert cut == pytest.approx(whole, abs=1e-6)


def test_a_damaged_part_is_not_taken_over(world: World, runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coder_core.steps.load_dataset.LISTING_ROWS", 8)
    first = run_spec(world.spec(**QUICK), runtime, "run-1")
    store, said = Store(runtime.store), first.predictions["clip"]
    store.write_bytes(f"artifacts/{said.kind}/{said.key}/part-000000.parquet", b"no longer what it was")
    with np.load(world.folder / "images.npz") as held:
        features, labels = held["features"], held["labels"]
    rewrite_features(world, features=np.concatenate([features, -features[:1]]), labels=np.append(labels, labels[0]))
    grown = run_spec(world.spec(**QUICK), runtime, "run-2")
    assert grown.record("predict_clip").computed == grown.record("predict_coder").computed + 8


def test_one_more_class_is_its_own_texts_and_images(photos: World, runtime: Runtime) -> None:
    first = run_spec(photos.spec(), runtime, "run-1")
    write_image_class(photos.folder / "images", "goldcrest", 3)
    write_bank(photos.folder / "bank.yaml", [*NAMES, "goldcrest"])
    with counted_passes() as passes:
        grown = run_spec(photos.spec(), runtime, "run-2")
    new = grown.manifest.texts.unique_texts - first.manifest.texts.unique_texts
    own = rows(runtime, "SELECT count(DISTINCT text) FROM texts WHERE run_id = 'run-2' AND class_name = 'goldcrest'")
    assert own == [(new,)]
    assert (passes.texts, passes.images) == ([new], [3])
    assert (grown.result.texts_embedded, grown.result.images_embedded) == (new, 3)
    assert grown.result.texts_reused == first.manifest.texts.unique_texts


@pytest.mark.slow
def test_a_class_less_costs_nothing(photos: World, runtime: Runtime) -> None:
    run_spec(photos.spec(), runtime, "run-1")
    shutil.rmtree(photos.folder / "images" / "wren")
    write_bank(photos.folder / "bank.yaml", NAMES[:3])
    with counted_passes() as passes:
        shrunk = run_spec(photos.spec(), runtime, "run-2")
    assert (passes.texts, passes.images) == ([], [])
    assert (shrunk.result.class_count, shrunk.result.image_count) == (3, 15)


@pytest.mark.slow
def test_what_two_evaluations_share_is_embedded_once(photos: World, runtime: Runtime) -> None:
    run_spec(photos.spec(methods=["clip", "coder"]), runtime, "run-1")
    with counted_passes() as passes:
        other = run_spec(photos.spec(name="other", methods=["vcd"], texts=photos.settings["texts"]), runtime, "run-2")
    assert (passes.texts, passes.images) == ([], [])
    assert other.record("embed_images").computed == 0
