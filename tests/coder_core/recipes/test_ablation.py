"""The ablation in the store: its corners are methods that are scored on their own, and nothing is embedded for it."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import yaml

from coder_core.errors import ConfigError, QueryError, TextBankError
from coder_core.pipeline.context import Context
from coder_core.recipes.published_runs import read_run_ablation
from coder_core.report.ablation_plot import plot_ablation
from coder_core.specs import Runtime
from coder_core.steps.ablate_texts import AblateTexts, read_ablation
from tests.fixtures_inputs import NAMES, World, write_world

from .conftest import Finished
from .runs import counted_passes, paired_world, rows, run_spec

CORNERS = {
    "class_name": "clip",
    "class_name+attribute+analogous_class+synonym": "coder",
    "class_name+attribute+analogous_class+synonym+one_to_one": "coder_rerank",
}
SMALL = {"draws": 3, "texts_per_class": [1, 2]}


def corners(runtime: Runtime) -> dict[str, tuple[float, ...]]:
    """Method -> what the ablation says of all texts of its kinds."""
    columns = "kinds, top1, ci_low, ci_high, top5, mean_per_class_accuracy"
    found = {
        kinds: rest for kinds, *rest in rows(runtime, f"SELECT {columns} FROM ablation WHERE texts_per_class IS NULL")
    }
    return {method: tuple(found[kinds]) for kinds, method in CORNERS.items()}


def reported(runtime: Runtime) -> dict[str, tuple[float, ...]]:
    """Method -> the same from the metrics, to the last bit."""
    found = rows(runtime, "SELECT method, metric, value, ci_low, ci_high FROM metrics")
    of = {(method, metric): values for method, metric, *values in found}
    return {
        method: (*of[method, "top1"], of[method, "top5"][0], of[method, "mean_per_class_accuracy"][0])
        for method in CORNERS.values()
    }


def test_the_corners_of_the_ablation_are_the_methods(features_run: Finished) -> None:
    runtime = features_run.runtime
    assert corners(runtime) == reported(runtime)
    assert len(set(corners(runtime).values())) == 3
    draws = rows(runtime, "SELECT count(DISTINCT draw) FROM ablation WHERE texts_per_class = 1 AND kinds LIKE '%attr%'")
    assert draws == [(3,)]


@pytest.mark.slow
def test_fewer_candidates_are_those_of_the_ablation_too(tmp_path: Path, runtime: Runtime) -> None:
    world = paired_world(tmp_path / "world", ablation={"draws": 1, "texts_per_class": [1]})
    run_spec(world.spec(rerank={"threshold": 2.0, "candidates": 2}), runtime)
    assert corners(runtime) == reported(runtime)


@pytest.mark.slow
def test_a_second_run_finds_it_and_another_seed_draws_others(tmp_path: Path, runtime: Runtime) -> None:
    world = paired_world(tmp_path / "world", ablation=SMALL)
    first, second = (run_spec(world.spec(), runtime, run_id) for run_id in ("run-1", "run-2"))
    with counted_passes() as passes:
        other = run_spec(world.spec(draw_seed=5), runtime, "run-3")
    assert first.manifest.ablation == second.manifest.ablation != other.manifest.ablation
    assert (second.computed, list(other.computed)) == ({}, ["ablate_texts"])
    assert (passes.texts, passes.images) == ([], [])


@pytest.mark.slow
def test_kinds_that_no_class_has_are_not_tried(world: World, runtime: Runtime) -> None:
    ablation = {"draws": 1, "texts_per_class": [1]}
    run = run_spec(world.spec(ablation=ablation, methods=["clip", "coder"]), runtime)
    assert run.manifest.ablation is not None
    found = read_ablation(Context.open(runtime), run.manifest.ablation)
    assert found
    assert not any("one_to_one" in row.kinds for row in found)


def test_the_plot_has_a_line_per_choice_of_kinds_and_reads_no_name_as_mathematics(features_run: Finished) -> None:
    found = read_run_ablation(features_run.runtime.store, "run-1")
    plot = plot_ablation(found, title="$x^2$ <b>\x1b")
    assert plot == plot_ablation(found, title="$x^2$ <b>\x1b")
    texts = [node.text for node in ElementTree.fromstring(plot).iter() if node.tag.endswith("}text")]  # noqa: S314 - ours
    assert "$x^2$ <b>\\x1b" in texts
    assert {kinds.replace("_", " ") for kinds in {row.kinds for row in found}} <= set(texts)


@pytest.mark.slow
def test_a_run_without_an_ablation_has_none(world: World, runtime: Runtime) -> None:
    run_spec(world.spec(), runtime)
    with pytest.raises(ConfigError, match=r"run-1: it has no text ablation\. Add `ablation: \{\}`"):
        read_run_ablation(runtime.store, "run-1")
    with pytest.raises(QueryError, match="there is no run 'run-2'"):
        read_run_ablation(runtime.store, "run-2")


@pytest.mark.slow
def test_a_chosen_threshold_is_the_one_of_the_ablation(tmp_path: Path, runtime: Runtime) -> None:
    other = write_world(tmp_path / "validation", images_per_class=10, first_image=500)
    world = paired_world(tmp_path / "world", ablation=SMALL, validation=other.settings["dataset"])
    spec = world.spec(rerank={"threshold": 0.9, "choose_threshold": True})
    manifest = run_spec(spec, runtime).manifest
    assert spec.ablation is not None
    assert manifest.rerank is not None
    assert manifest.ablation is not None
    settings = {
        "ablation": spec.ablation,
        "seed": spec.draw_seed,
        "candidates": spec.rerank.candidates,
        "logit_scale": spec.logit_scale,
        "texts": manifest.texts,
        "pair_texts": manifest.method("coder_rerank").texts,
        "images": manifest.images,
        "labels": manifest.dataset.labels,
        "encoder": manifest.encoder,
    }
    chosen = manifest.rerank.threshold
    assert (chosen.source, chosen.n) == ("validation", 40)
    assert chosen.threshold != spec.rerank.threshold
    assert AblateTexts(**settings, threshold=chosen.threshold).key == manifest.ablation.key
    assert AblateTexts(**settings, threshold=0.9).key != manifest.ablation.key


def test_every_text_stands_once_in_the_table_of_texts(features_run: Finished) -> None:
    runtime = features_run.runtime
    repeated = "SELECT text, kind, class_id, rival_name FROM texts GROUP BY ALL HAVING count(*) > 1"
    assert rows(runtime, repeated) == []
    assert rows(runtime, "SELECT count(*) > 0 FROM texts WHERE kind = 'one_to_one'") == [(True,)]


@pytest.mark.slow
def test_texts_that_no_method_reads_are_written_for_the_ablation(world: World, runtime: Runtime) -> None:
    ablation = {"draws": 1, "texts_per_class": [1]}
    run_spec(world.spec(ablation=ablation, methods=["clip"], matrix={"write": False}), runtime)
    assert rows(runtime, "SELECT max(mean_texts) > 2 FROM ablation WHERE kinds LIKE '%synonym%'") == [(True,)]


def test_a_bank_that_describes_nothing_is_refused_and_no_run_appears(world: World, runtime: Runtime) -> None:
    bank = {"format": "coder-text-bank/1", "classes": [{"name": name} for name in NAMES]}
    (world.folder / "bank.yaml").write_text(yaml.safe_dump(bank))
    with pytest.raises(TextBankError, match=r"ablation: the bank holds no attribute.*or leave `ablation` away"):
        run_spec(world.spec(ablation={}, methods=["clip"], matrix={"write": False}), runtime)
    assert rows(runtime, "SELECT count(*) FROM runs") == [(0,)]


@pytest.mark.slow
def test_images_that_cannot_be_read_are_left_out(flags_run: Finished) -> None:
    assert rows(flags_run.runtime, "SELECT DISTINCT n FROM ablation") == [(24,)]
    assert rows(flags_run.runtime, "SELECT image_count, images_quarantined FROM runs") == [(24, 1)]
