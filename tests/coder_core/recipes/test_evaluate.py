"""All steps on every kind of store, run again, grown and disturbed."""

import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from coder_core.atg.settings import LlmRuntime
from coder_core.coder.matrix import heuristic_logits_from_coder
from coder_core.storage.warehouse import Warehouse

from coder_core import steps
from coder_core.coder.ranking import predict_topk
from coder_core.specs import Runtime
from coder_core.storage.store import Store
from coder_core.storage.tables import vectors_from_arrow
from coder_core.texts.text_layout import build_layout
from tests.fixtures_inputs import NAMES, World, write_world

from .conftest import run_steps

pytestmark = pytest.mark.slow

METHODS = ("clip", "clip_ensemble", "vcd", "coder")


@pytest.fixture(params=["folder", "memory", "s3"])
def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The root of an empty store."""
    if request.param == "s3":
        new_bucket: Callable[[], str] = request.getfixturevalue("new_s3_bucket")
        return f"s3://{new_bucket()}/some/prefix"
    return f"memory://{uuid.uuid4().hex}" if request.param == "memory" else str(tmp_path / "store")


def predicted(store: str, run_id: str = "run-1") -> list[tuple[object, ...]]:
    sql = f"SELECT method, image_id, predicted, top5 FROM predictions WHERE run_id = '{run_id}' ORDER BY 1, 2"
    return Warehouse(Store(store)).query(sql).rows


def test_a_second_run_computes_nothing_on_any_store(world: World, any_store: str) -> None:
    runtime = Runtime(store=any_store)
    first = run_steps(world.spec(), runtime, "run-1")
    second = run_steps(world.spec(), runtime, "run-2")
    assert (first.result.images_embedded, first.result.images_reused) == (120, 0)
    assert first.result.texts_embedded > 0
    assert (second.result.images_embedded, second.result.images_reused) == (0, 120)
    assert (second.result.texts_embedded, second.result.texts_reused) == (0, first.result.texts_embedded)
    assert all(product.computed == 0 for product in second.evidence.predictions.values())
    assert predicted(any_store, "run-1") == predicted(any_store, "run-2")
    runs = Warehouse(Store(any_store)).query("SELECT run_id, texts_embedded FROM runs ORDER BY run_id").rows
    assert runs == [("run-1", first.result.texts_embedded), ("run-2", 0)]


def test_metrics_in_the_tables_equal_a_count_over_the_predictions(world: World, runtime: Runtime) -> None:
    result = run_steps(world.spec(), runtime).result
    warehouse = Warehouse(Store(runtime.store))
    counted = warehouse.query(
        "SELECT method, avg(CAST(predicted = label AS INT)) FROM predictions GROUP BY 1 ORDER BY 1"
    )
    told = {metric.method: metric.value for metric in result.metrics if metric.metric == "top1"}
    assert dict(counted.rows) == pytest.approx(told)
    assert set(told) == set(METHODS)
    assert told["coder"] > 1 / len(NAMES), "the small world is made so that its texts say something"


def test_differences_to_clip_equal_a_count_over_the_predictions(world: World, runtime: Runtime) -> None:
    run_steps(world.spec(methods=("clip", "coder", "coder_top_m")), runtime)
    warehouse = Warehouse(Store(runtime.store))
    counted = warehouse.query(
        "SELECT other.method, count(*) FILTER (other.is_correct AND NOT clip.is_correct),"
        " count(*) FILTER (clip.is_correct AND NOT other.is_correct)"
        " FROM predictions clip JOIN predictions other USING (run_id, image_id)"
        " WHERE clip.method = 'clip' AND other.method <> 'clip' GROUP BY 1 ORDER BY 1"
    ).rows
    told = warehouse.query(
        "SELECT method, gained, lost, difference, ci_low, ci_high, p_holm FROM comparisons"
        " WHERE metric = 'top1' ORDER BY 1"
    ).rows
    assert [row[:3] for row in told] == counted
    for _, gained, lost, difference, low, high, p_holm in told:
        assert difference == pytest.approx((gained - lost) / 120)
        assert low <= difference <= high
        assert 0 <= p_holm <= 1


def test_a_new_class_costs_only_its_own_texts_and_images(tmp_path: Path, runtime: Runtime) -> None:
    small = write_world(tmp_path / "small", NAMES[:3])
    grown = write_world(tmp_path / "grown", NAMES)
    # The encoder is told apart by its file, so both evaluations look texts up in the larger one.
    encoder = grown.settings["encoder"]
    first = run_steps(small.spec(encoder=encoder), runtime, "run-1").evidence
    second = run_steps(grown.spec(), runtime, "run-2").evidence
    texts_before, texts_after = first.text_embeddings.artifact.rows, second.text_embeddings.artifact.rows
    assert second.text_embeddings.computed == texts_after - texts_before > 0
    assert second.text_embeddings.reused == texts_before
    assert (second.image_embeddings.computed, second.image_embeddings.reused) == (30, 90)


def test_a_method_added_later_computes_only_itself(world: World, runtime: Runtime) -> None:
    run_steps(world.spec(methods=("vcd", "coder"), matrix={"write": False}), runtime, "run-1")
    evidence = run_steps(
        world.spec(methods=("vcd", "coder", "clip"), matrix={"write": False}), runtime, "run-2"
    ).evidence
    assert {method: product.computed for method, product in evidence.predictions.items()} == {
        "vcd": 0,
        "coder": 0,
        "clip": 120,
    }


def test_the_explicit_matrix_and_the_folded_classifier_decide_alike(world: World, runtime: Runtime) -> None:
    evidence = run_steps(world.spec(), runtime).evidence
    artifacts = steps.workplace.open_store(runtime)
    assert evidence.matrix is not None
    table = artifacts.read(evidence.matrix.artifact)
    layout = build_layout(steps.texts.read_text_table(artifacts, evidence.texts.artifact))
    coder = torch.from_numpy(np.array(vectors_from_arrow(table.column("similarities"))))
    explicit = predict_topk(heuristic_logits_from_coder(coder, layout), 4)
    folded = steps.predictions.read_predictions(artifacts, evidence.predictions["coder"].artifact, "coder")
    assert table.column("image_id").to_pylist() == list(folded.image_ids)
    assert coder.shape == (120, layout.text_count)
    np.testing.assert_array_equal(explicit.numpy(), folded.top_ids)


def test_the_matrix_is_written_in_pieces_of_bounded_size(
    world: World, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run_steps(world.spec(), runtime).evidence.matrix
    monkeypatch.setattr(steps.coder_matrix, "MEBIBYTE", 2**10)  # one "megabyte" is one kilobyte
    pieces_runtime = Runtime(store=f"{runtime.store}-2", matrix_part_mb=2)
    pieces = run_steps(world.spec(), pieces_runtime).evidence.matrix
    assert whole is not None
    assert pieces is not None
    artifacts = steps.workplace.open_store(pieces_runtime)
    parts = artifacts.parts(pieces.artifact)
    assert len(parts) > 5
    assert max(part.rows for part in parts) * 4 * int(pieces.artifact.summary["texts"]) <= 2 * 2**10
    assert artifacts.read(pieces.artifact).equals(steps.workplace.open_store(runtime).read(whole.artifact))
    assert pieces.artifact.key == whole.artifact.key


def test_no_runtime_setting_changes_a_key(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps.dataset, "LISTING_ROWS", 32)
    one = Runtime(store=str(tmp_path / "one"))
    settings = {
        "batch_size": 3,
        "shard_images": 40,
        "workers": 5,
        "matrix_part_mb": 1,
        "classes_per_task": 2,
        "gpu_slots": 3,
        "settle_seconds": 1,
        "task_runner": "dask",
        "task_runner_address": "tcp://there:8786",
    }
    llm = LlmRuntime(concurrency=3)
    other = Runtime(store=str(tmp_path / "other"), device="cpu", llm=llm, **settings)
    assert all(getattr(one, name) != getattr(other, name) for name in Runtime.model_fields)
    first, second = run_steps(world.spec(), one).evidence, run_steps(world.spec(), other).evidence
    for name in ("texts", "text_embeddings", "image_embeddings", "matrix"):
        assert getattr(first, name).artifact.key == getattr(second, name).artifact.key
    assert {method: product.artifact.key for method, product in first.predictions.items()} == {
        method: product.artifact.key for method, product in second.predictions.items()
    }
    assert predicted(one.store) == predicted(other.store)


def test_permuted_labels_leave_every_prediction_as_it_is(world: World, runtime: Runtime) -> None:
    before = run_steps(world.spec(), runtime, "run-1")
    with np.load(world.folder / "images.npz") as arrays:
        shuffled = dict(arrays)
    shuffled["labels"] = np.random.default_rng(0).permutation(shuffled["labels"])
    np.savez(world.folder / "images.npz", **shuffled)
    after = run_steps(world.spec(), runtime, "run-2")
    assert predicted(runtime.store, "run-1") == predicted(runtime.store, "run-2")
    assert [metric.value for metric in before.result.metrics] != [metric.value for metric in after.result.metrics]


def test_the_order_of_images_and_classes_does_not_matter(world: World, tmp_path: Path) -> None:
    straight = Runtime(store=str(tmp_path / "straight"))
    turned = Runtime(store=str(tmp_path / "turned"))
    run_steps(world.spec(), straight)
    with np.load(world.folder / "images.npz") as arrays:
        features, labels = arrays["features"][::-1], arrays["labels"][::-1]
    ids = np.array([f"{row:09d}" for row in range(len(labels))])[::-1]
    np.savez(
        world.folder / "images.npz",
        features=features,
        labels=len(NAMES) - 1 - labels,
        class_names=np.array(NAMES[::-1]),
        ids=ids,
    )
    settings = {**world.settings["dataset"], "image_ids": "ids"}
    run_steps(world.spec(dataset=settings), turned)
    sql = "SELECT method, image_id, predicted_name, probability FROM predictions ORDER BY 1, 2"
    first, second = (Warehouse(Store(runtime.store)).query(sql).rows for runtime in (straight, turned))
    assert [row[:3] for row in first] == [row[:3] for row in second]
    assert [row[3] for row in first] == pytest.approx([row[3] for row in second], abs=1e-4)
