"""The whole recipe on every kind of store, run again, grown and turned around."""

import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from coder_core.llm.llm_runtime import LlmRuntime
from coder_core.pipeline.context import Context
from coder_core.specs import Runtime
from coder_core.steps import load_dataset, write_matrix
from coder_core.steps.write_texts import read_text_table
from coder_core.storage.tables import vectors_from_arrow
from tests.fixtures_inputs import NAMES, World, rewrite_features, write_world

from .conftest import Finished
from .runs import copy_store, permute_labels, predicted, rows, run_spec, said

FEW = {"methods": ("clip", "coder")}


@pytest.fixture(params=["folder", "memory", pytest.param("s3", marks=pytest.mark.thorough)])
def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The root of an empty store."""
    if request.param == "s3":
        new_bucket: Callable[[], str] = request.getfixturevalue("new_s3_bucket")
        return f"s3://{new_bucket()}/some/prefix"
    return f"memory://{uuid.uuid4().hex}" if request.param == "memory" else str(tmp_path / "store")


def test_a_second_run_computes_nothing_on_any_store(world: World, any_store: str) -> None:
    runtime = Runtime(store=any_store, device="cpu")
    first, second = (run_spec(world.spec(**FEW), runtime, run_id) for run_id in ("run-1", "run-2"))
    assert (first.result.images_embedded, first.result.images_reused) == (120, 0)
    assert first.result.texts_embedded > 0
    assert (second.result.images_embedded, second.result.images_reused) == (0, 120)
    assert (second.result.texts_embedded, second.result.texts_reused) == (0, first.result.texts_embedded)
    assert second.computed == {}
    assert predicted(runtime, "run-1") == predicted(runtime, "run-2") != []
    runs = rows(runtime, "SELECT run_id, texts_embedded, engine FROM runs ORDER BY run_id")
    assert runs == [("run-1", first.result.texts_embedded, "inline"), ("run-2", 0, "inline")]


def test_metrics_in_the_tables_equal_a_count_over_the_predictions(features_run: Finished) -> None:
    result, runtime = features_run.run.result, features_run.runtime
    counted = rows(runtime, "SELECT method, avg(CAST(predicted = label AS INT)) FROM predictions GROUP BY 1")
    reported = {metric.method: metric.value for metric in result.metrics if metric.metric == "top1"}
    assert dict(counted) == pytest.approx(reported)
    assert set(reported) == set(features_run.world.settings["methods"])
    assert reported["coder"] > 1 / len(NAMES), "the small world is made so that its texts say something"


def test_differences_to_clip_equal_a_count_over_the_predictions(features_run: Finished) -> None:
    counted = rows(
        features_run.runtime,
        "SELECT other.method, count(*) FILTER (other.is_correct AND NOT clip.is_correct),"
        " count(*) FILTER (clip.is_correct AND NOT other.is_correct)"
        " FROM predictions clip JOIN predictions other USING (run_id, image_id)"
        " WHERE clip.method = 'clip' AND other.method <> 'clip' GROUP BY 1 ORDER BY 1",
    )
    reported = rows(
        features_run.runtime,
        "SELECT method, gained, lost, difference, ci_low, ci_high, p_holm FROM comparisons"
        " WHERE metric = 'top1' ORDER BY 1",
    )
    assert [row[:3] for row in reported] == counted
    assert len(counted) == 5
    for _, gained, lost, difference, low, high, p_holm in reported:
        assert difference == pytest.approx((gained - lost) / 120)
        assert low <= difference <= high
        assert 0 <= p_holm <= 1


def test_a_new_class_costs_only_its_own_texts_and_images(tmp_path: Path, runtime: Runtime) -> None:
    small = write_world(tmp_path / "small", NAMES[:3])
    grown = write_world(tmp_path / "grown", NAMES)
    # The encoder is told apart by its file, so both evaluations look texts up in the larger one.
    encoder = grown.settings["encoder"]
    first = run_spec(small.spec(encoder=encoder, **FEW), runtime, "run-1").record("embed_texts")
    second = run_spec(grown.spec(**FEW), runtime, "run-2")
    texts, images = second.record("embed_texts"), second.record("embed_images")
    assert texts.computed == texts.rows - first.rows > 0
    assert texts.reused == first.rows
    assert (images.computed, images.reused) == (30, 90)


@pytest.mark.slow
def test_a_method_added_later_computes_only_itself(world: World, runtime: Runtime) -> None:
    spec = {"matrix": {"write": False}, "baseline": "vcd"}
    run_spec(world.spec(methods=("vcd", "coder_top_m", "coder"), **spec), runtime, "run-1")
    added = run_spec(world.spec(methods=("vcd", "coder_top_m", "coder", "coder_softmax"), **spec), runtime, "run-2")
    assert set(added.computed) == {"build_coder_softmax", "predict_coder_softmax", "measure_coder_softmax"}
    assert added.computed["predict_coder_softmax"] == 120


def test_the_explicit_matrix_and_the_folded_classifier_decide_alike(features_run: Finished) -> None:
    context, manifest = features_run.context, features_run.run.manifest
    assert manifest.matrix is not None
    matrix, texts = context.read(manifest.matrix), read_text_table(context, manifest.texts)
    cosines = vectors_from_arrow(matrix.column("similarities")).astype(np.float64)
    column_of = {text: column for column, text in enumerate(texts.unique_texts())}
    assert cosines.shape == (120, len(column_of))
    logits = np.empty((120, len(NAMES)))
    for class_id in range(len(NAMES)):  # CVPR 2024, heuristic classifier: the names' best counts as one text
        own = [(row.kind, cosines[:, column_of[row.text]]) for row in texts if row.class_id == class_id]
        described = [column for kind, column in own if kind in ("attribute", "analogous_class")]
        named = np.max([column for kind, column in own if kind in ("class_name", "synonym")], axis=0)
        logits[:, class_id] = np.mean([*described, named], axis=0)
    folded = said(features_run.run, features_run.runtime, "coder")
    assert matrix.column("image_id").to_pylist() == list(folded.image_ids)
    np.testing.assert_array_equal(np.argsort(-logits, axis=1, kind="stable"), folded.top_ids)


@pytest.mark.slow
def test_the_matrix_is_written_in_pieces_of_bounded_size(
    features_run: Finished, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = features_run.run.manifest.matrix
    copy_store(features_run.runtime, runtime, without="artifacts/coder_matrix")
    monkeypatch.setattr(write_matrix, "MEBIBYTE", 2**10)  # one "megabyte" is one kilobyte
    small = runtime.model_copy(update={"matrix_part_mb": 2})
    pieces = run_spec(features_run.world.spec(), small, "run-2").manifest.matrix
    assert whole == pieces
    assert pieces is not None
    parts = Context.open(small).parts(pieces)
    assert len(parts) > 5
    assert max(part.rows for part in parts) * 4 * pieces.texts <= 2 * 2**10
    assert Context.open(small).read(pieces).equals(features_run.context.read(pieces))


@pytest.mark.slow
def test_no_runtime_setting_changes_a_key(world: World, runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_dataset, "LISTING_ROWS", 32)
    one = Runtime(store=f"{runtime.store}-one")
    settings = {
        "batch_size": 3,
        "threads": 2,
        "shard_images": 40,
        "workers": 5,
        "matrix_part_mb": 1,
        "classes_per_task": 2,
        "gpu_slots": 3,
        "settle_seconds": 1,
        "task_runner": "dask",
        "task_runner_address": "tcp://there:8786",
        "report": True,
        "compile_mode": "default",
    }
    llm = LlmRuntime(concurrency=3)
    other = Runtime(store=f"{runtime.store}-other", device="cpu", llm=llm, **settings)
    assert all(getattr(one, name) != getattr(other, name) for name in Runtime.model_fields)
    first, second = run_spec(world.spec(**FEW), one), run_spec(world.spec(**FEW), other)
    made = [[(r.step, r.kind, r.key, r.rows) for r in run.result.records] for run in (first, second)]
    assert made[0] == made[1]
    assert first.manifest == second.manifest.model_copy(update={"started_at": first.manifest.started_at})
    assert predicted(one) == predicted(other)


def test_permuted_labels_leave_every_prediction_as_it_is(world: World, runtime: Runtime) -> None:
    before = run_spec(world.spec(**FEW), runtime, "run-1")
    permute_labels(world)
    after = run_spec(world.spec(**FEW), runtime, "run-2")
    assert predicted(runtime, "run-1") == predicted(runtime, "run-2")
    assert before.predictions == after.predictions
    assert [metric.value for metric in before.result.metrics] != [metric.value for metric in after.result.metrics]


@pytest.mark.slow
def test_the_order_of_images_and_classes_does_not_matter(world: World, runtime: Runtime) -> None:
    straight, turned = (Runtime(store=f"{runtime.store}-{name}", device="cpu") for name in ("straight", "turned"))
    run_spec(world.spec(**FEW), straight)
    with np.load(world.folder / "images.npz") as arrays:
        features, labels = arrays["features"][::-1], arrays["labels"][::-1]
    rewrite_features(
        world,
        features=features,
        labels=len(NAMES) - 1 - labels,
        class_names=np.array(NAMES[::-1]),
        ids=np.array([f"{row:09d}" for row in range(len(labels))])[::-1],
    )
    run_spec(world.spec(dataset={**world.settings["dataset"], "image_ids": "ids"}, **FEW), turned)
    sql = "SELECT method, image_id, predicted_name, probability FROM predictions ORDER BY 1, 2"
    first, second = rows(straight, sql), rows(turned, sql)
    assert [row[:3] for row in first] == [row[:3] for row in second]
    assert [row[3] for row in first] == pytest.approx([row[3] for row in second], abs=1e-4)
