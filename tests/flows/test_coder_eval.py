"""The flow under a real Prefect server: what is computed, what is found, and what a change costs."""

import json
from pathlib import Path

import numpy as np
import pytest
from prefect.client.orchestration import get_client

from coder_core.pipeline.eval_result import EvalResult
from coder_core.report.markdown import escape_markdown
from coder_core.results.schema import MetricRow
from coder_core.results.warehouse import Warehouse
from coder_core.specs import Runtime
from coder_core.steps import load_dataset
from coder_core.storage.manifest import FOLDER
from coder_core.storage.store import Store
from flows.coder_eval import coder_eval
from tests.fixtures_inputs import NAMES, World, rewrite_features, write_bank, write_image_class

from .conftest import Query, newest_artifacts

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]
PREDICTED = "SELECT method, image_id, predicted, top5, probability FROM predictions WHERE run_id = '{}' ORDER BY 1, 2"


def embedded(result: EvalResult) -> tuple[int, int]:
    return result.texts_embedded, result.images_embedded


def split_metrics(result: EvalResult) -> tuple[list[MetricRow], dict[tuple[str, str], float]]:
    """Accuracies as they are, and what is computed from probabilities by method and metric."""
    accuracies = [row for row in result.metrics if row.metric in ("top1", "top5", "mean_per_class_accuracy")]
    return accuracies, {(row.method, row.metric): row.value for row in result.metrics if row not in accuracies}


def artifact_keys(runtime: Runtime, kind: str) -> set[str]:
    return {path.split("/")[2] for path in Store(runtime.store).list(f"{FOLDER}/{kind}")}


def test_features_are_classified_and_every_table_has_its_rows(world: World, runtime: Runtime, query: Query) -> None:
    result = coder_eval(world.settings, [], runtime)
    assert (result.image_count, result.class_count) == (120, 4)
    assert query("SELECT run_id, image_count, images_quarantined FROM runs") == [(result.run_id, 120, 0)]
    assert query("SELECT method, count(*) FROM predictions GROUP BY 1 ORDER BY 1") == [
        (method, 120) for method in ("clip", "clip_ensemble", "coder", "vcd")
    ]
    told = {(metric.method, metric.metric, metric.value) for metric in result.metrics}
    assert set(query("SELECT method, metric, value FROM metrics")) == told
    steps_timed = {step for (step,) in query("SELECT step FROM timings")}
    assert {"load_dataset", "embed_texts", "embed_images", "write_matrix", "predict_coder"} <= steps_timed


def test_a_second_run_embeds_nothing_and_is_a_run_of_its_own(photos: World, runtime: Runtime, query: Query) -> None:
    first = coder_eval(photos.settings, [], runtime)
    second = coder_eval(photos.settings, [], runtime)
    assert embedded(first) == (first.texts_embedded, 20)
    assert first.texts_embedded > 20
    assert embedded(second) == (0, 0)
    assert (second.texts_reused, second.images_reused) == embedded(first)
    assert query("SELECT count(*) FROM runs") == [(2,)]
    assert query(PREDICTED.format(first.run_id)) == query(PREDICTED.format(second.run_id))


def test_a_new_class_costs_its_own_texts_and_images(photos: World, runtime: Runtime) -> None:
    first = coder_eval(photos.settings, [], runtime)
    write_image_class(photos.folder / "images", "goldcrest", 3)
    write_bank(photos.folder / "bank.yaml", (*NAMES, "goldcrest"))
    grown = coder_eval(photos.settings, [], runtime)
    assert grown.class_count == 5
    assert (grown.images_embedded, grown.images_reused) == (3, 20)
    assert grown.texts_reused == first.texts_embedded
    assert 0 < grown.texts_embedded <= first.texts_embedded / 4 + 2


def test_a_method_added_later_computes_only_itself(world: World, runtime: Runtime, query: Query) -> None:
    coder_eval(world.settings, ["methods=[vcd, coder]", "matrix.write=false"], runtime)
    before = artifact_keys(runtime, "predictions")
    later = coder_eval(world.settings, ["methods=[vcd, coder, clip]", "matrix.write=false"], runtime)
    assert embedded(later) == (0, 0)
    assert len(artifact_keys(runtime, "predictions") - before) == 1
    computed = f"SELECT step, computed FROM timings WHERE run_id = '{later.run_id}' AND step LIKE 'predict%' ORDER BY 1"
    assert query(computed) == [("predict_clip", 120), ("predict_coder", 0), ("predict_vcd", 0)]


def test_overrides_win_over_the_config(world: World, runtime: Runtime, query: Query) -> None:
    result = coder_eval(world.settings, ["methods=[clip]", "name=renamed", "matrix.write=false"], runtime)
    assert result.run_id.startswith("renamed-")
    assert {metric.method for metric in result.metrics} == {"clip"}
    ((spec,),) = query("SELECT spec_json FROM runs")
    assert json.loads(spec)["matrix"] == {"write": False}


def test_permuted_labels_leave_predictions_as_they_are(world: World, runtime: Runtime, query: Query) -> None:
    before = coder_eval(world.settings, [], runtime)
    keys = artifact_keys(runtime, "predictions")
    labels = np.load(world.folder / "images.npz")["labels"]
    rewrite_features(world, labels=np.random.default_rng(0).permutation(labels))
    after = coder_eval(world.settings, [], runtime)
    assert query(PREDICTED.format(before.run_id)) == query(PREDICTED.format(after.run_id))
    assert artifact_keys(runtime, "predictions") == keys
    assert before.metrics != after.metrics


def test_a_run_is_named_by_its_id_and_ends_with_its_result(world: World, runtime: Runtime) -> None:
    state = coder_eval(world.settings, ["methods=[clip, coder]"], runtime, return_state=True)
    result = state.result()
    top1 = next(metric for metric in result.metrics if (metric.method, metric.metric) == ("coder", "top1"))
    low, high = 100 * (top1.ci_low or 0), 100 * (top1.ci_high or 0)
    assert state.message == f"coder {100 * top1.value:.1f} % [{low:.1f}, {high:.1f}]"
    with get_client(sync_client=True) as client:
        run = client.read_flow_run(state.state_details.flow_run_id)
    assert run.name == result.run_id
    assert run.state.message == state.message


def test_many_small_shards_give_the_tables_of_one(
    photos: World, runtime: Runtime, tmp_path: Path, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = coder_eval(photos.settings, ["matrix.write=true"], runtime)
    expected = query(PREDICTED.format(whole.run_id))
    monkeypatch.setattr(load_dataset, "LISTING_ROWS", 3)
    cut = Runtime(store=str(tmp_path / "cut"), device="cpu", shard_images=6, workers=3)
    pieces = coder_eval(photos.settings, ["matrix.write=true"], cut)
    accuracies, others = split_metrics(pieces)
    assert accuracies == split_metrics(whole)[0]
    assert others == pytest.approx(split_metrics(whole)[1], abs=1e-5), "other batches add in another order"
    assert embedded(pieces) == embedded(whole)
    assert len(Store(cut.store).list(f"{FOLDER}/image_embeddings")) == 7 + 1
    found = Warehouse(Store(cut.store)).query(PREDICTED.format(pieces.run_id)).rows
    assert [row[:4] for row in found] == [row[:4] for row in expected]
    assert [row[4] for row in found] == pytest.approx([row[4] for row in expected], abs=1e-5)


def test_prefect_shows_summary_metrics_timings_and_plots(world: World, runtime: Runtime, query: Query) -> None:
    first = coder_eval(world.settings, ["methods=[clip_ensemble]", "logit_scale=50"], runtime)
    result = coder_eval(world.settings, ["methods=[clip]"], runtime)
    mark = escape_markdown(result.run_id)
    shown = {key: found for key, found in newest_artifacts().items() if mark in str(found.description)}
    kinds = {key: found.type for key, found in shown.items()}
    tables = {"world-metrics": "table", "world-timings": "table", "world-history": "table"}
    assert kinds == {"world-summary": "markdown", **tables, "world-plots": "markdown"}
    (row,) = json.loads(str(shown["world-metrics"].data))
    top1 = next(metric for metric in result.metrics if metric.metric == "top1")
    assert row["method"] == "clip"
    assert row["top-1 %"].startswith(f"{100 * top1.value:.1f} [")
    assert escape_markdown(row["top-1 %"]) in str(shown["world-summary"].data)
    timings = [(row["step"], row["rows"], row["computed"]) for row in json.loads(str(shown["world-timings"].data))]
    own = f"run_id = '{result.run_id}' AND step IN (SELECT step FROM artifacts)"
    made = f"SELECT step, rows, computed FROM timings WHERE {own}"
    assert sorted(timings) == sorted(query(made))
    history = json.loads(str(shown["world-history"].data))
    assert [row["run"] for row in history] == [result.run_id, first.run_id]
    assert [row["best method"] for row in history] == ["clip", "clip_ensemble"]
    before = next(metric for metric in first.metrics if metric.metric == "top1")
    assert history[0]["top-1 %"] == round(100 * top1.value, 1)
    assert [row["points since the run before"] for row in history] == [f"{100 * (top1.value - before.value):+.1f}", ""]
    assert [row["cost"] for row in history] == ["$0.00", "$0.00"]
    assert str(shown["world-plots"].data).count("](data:image/svg+xml;base64,") == 2
