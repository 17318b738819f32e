"""The ablation in the store: its corners are methods that are scored on their own, and nothing is embedded for it."""

import xml.etree.ElementTree as ElementTree
from itertools import permutations
from pathlib import Path

import pytest
import yaml
from coder_core.steps.gate import Gate

from coder_core import steps
from coder_core.errors import StoreError, TextBankError
from coder_core.report.ablation_plot import plot_ablation
from coder_core.specs import Runtime
from coder_core.steps.ablation import read_ablation_of
from coder_core.steps.predictions import PredictionInputs
from tests.fixtures_inputs import NAMES, World, write_world

from .conftest import run_steps
from .test_rerank_steps import rows

pytestmark = pytest.mark.slow

CORNERS = {
    "class_name": "clip",
    "class_name+attribute+analogous_class+synonym": "coder",
    "class_name+attribute+analogous_class+synonym+one_to_one": "coder_rerank",
}


def corners(runtime: Runtime) -> dict[str, tuple[float, ...]]:
    """Method -> what the ablation says of all texts of its kinds."""
    columns = "kinds, top1, ci_low, ci_high, top5, mean_per_class_accuracy"
    found = {
        kinds: rest for kinds, *rest in rows(runtime, f"SELECT {columns} FROM ablation WHERE texts_per_class IS NULL")
    }
    return {method: tuple(found[kinds]) for kinds, method in CORNERS.items()}


def told(runtime: Runtime) -> dict[str, tuple[float, ...]]:
    """Method -> the same from the metrics, to the last bit."""
    said = rows(runtime, "SELECT method, metric, value, ci_low, ci_high FROM metrics")
    of = {(method, metric): values for method, metric, *values in said}
    return {
        method: (*of[method, "top1"], of[method, "top5"][0], of[method, "mean_per_class_accuracy"][0])
        for method in CORNERS.values()
    }


@pytest.fixture
def ablated(tmp_path: Path) -> World:
    world = write_world(tmp_path / "world", pairs=tuple(permutations(NAMES, 2)))
    settings = {**world.settings, "methods": ["clip", "coder", "coder_rerank"], "rerank": {"threshold": 0.9}}
    settings |= {"ablation": {"draws": 3, "texts_per_class": [1, 2]}, "matrix": {"write": False}}
    return World(world.folder, settings)


@pytest.mark.parametrize("candidates", [5, 3])
def test_the_corners_of_the_ablation_are_the_methods(ablated: World, runtime: Runtime, candidates: int) -> None:
    run_steps(ablated.spec(rerank={"threshold": 0.9, "candidates": candidates}), runtime)
    assert corners(runtime) == told(runtime)
    draws = rows(runtime, "SELECT count(DISTINCT draw) FROM ablation WHERE texts_per_class = 1 AND kinds LIKE '%attr%'")
    assert draws == [(3,)]


def test_a_second_run_finds_it_and_another_seed_draws_others(ablated: World, runtime: Runtime) -> None:
    first = run_steps(ablated.spec(), runtime, "run-1").evidence
    second = run_steps(ablated.spec(), runtime, "run-2").evidence
    other = run_steps(ablated.spec(draw_seed=5), runtime, "run-3").evidence
    assert first.ablation is not None
    assert second.ablation is not None
    assert other.ablation is not None
    assert first.ablation.artifact == second.ablation.artifact
    assert first.ablation.artifact.key != other.ablation.artifact.key
    assert (second.text_embeddings.computed, second.image_embeddings.computed) == (0, 0)


def test_kinds_that_no_class_has_are_not_tried(world: World, runtime: Runtime) -> None:
    evidence = run_steps(world.spec(ablation={}, methods=["clip", "coder"]), runtime).evidence
    assert evidence.ablation is not None
    found = steps.ablation.read_ablation(steps.workplace.open_store(runtime), evidence.ablation.artifact)
    assert not any("one_to_one" in row.kinds for row in found)


def test_the_plot_has_a_line_per_choice_of_kinds_and_reads_no_name_as_mathematics(
    ablated: World, runtime: Runtime
) -> None:
    run_steps(ablated.spec(), runtime)
    found = read_ablation_of("run-1", runtime)
    plot = plot_ablation(found, title="$x^2$ <b>\x1b")
    assert plot == plot_ablation(found, title="$x^2$ <b>\x1b")
    texts = [node.text for node in ElementTree.fromstring(plot).iter() if node.tag.endswith("}text")]  # noqa: S314 - ours
    assert "$x^2$ <b>\\x1b" in texts
    assert {kinds.replace("_", " ") for kinds in {row.kinds for row in found}} <= set(texts)


def test_a_run_without_an_ablation_has_none(world: World, runtime: Runtime) -> None:
    run_steps(world.spec(), runtime)
    with pytest.raises(StoreError, match="it has no ablation"):
        read_ablation_of("run-1", runtime)


def test_a_chosen_threshold_is_the_one_of_the_ablation(ablated: World, runtime: Runtime) -> None:
    seen = run_steps(ablated.spec(), runtime).evidence
    assert seen.rerank is not None
    spec = ablated.spec(rerank={"threshold": 0.0})
    chosen = seen.rerank.model_copy(update={"gate": Gate(threshold=0.9, source="validation")})
    inputs = PredictionInputs(
        texts=seen.texts.artifact,
        text_embeddings=seen.text_embeddings.artifact,
        image_embeddings=seen.image_embeddings.artifact,
        encoder=seen.encoder,
        logit_scale=spec.logit_scale,
    )
    again = steps.ablation.ablate_texts(spec, inputs, chosen, seen.dataset.labels, runtime)
    assert seen.ablation is not None
    assert (again.artifact, again.computed) == (seen.ablation.artifact, 0)


def test_every_text_stands_once_in_the_table_of_texts(ablated: World, runtime: Runtime) -> None:
    run_steps(ablated.spec(matrix={"write": True}), runtime)
    repeated = "SELECT text, kind, class_id, rival_name FROM texts GROUP BY ALL HAVING count(*) > 1"
    assert rows(runtime, repeated) == []
    assert rows(runtime, "SELECT count(*) > 0 FROM texts WHERE kind = 'one_to_one'") == [(True,)]
    assert corners(runtime) == told(runtime)


def test_texts_that_no_method_reads_are_written_for_the_ablation(world: World, runtime: Runtime) -> None:
    run_steps(world.spec(ablation={}, methods=["clip"], matrix={"write": False}), runtime)
    assert rows(runtime, "SELECT max(mean_texts) > 2 FROM ablation WHERE kinds LIKE '%synonym%'") == [(True,)]


def test_a_bank_that_describes_nothing_is_refused_and_no_run_appears(photos: World, runtime: Runtime) -> None:
    bank = {"format": "coder-text-bank/1", "classes": [{"name": name} for name in NAMES]}
    (photos.folder / "bank.yaml").write_text(yaml.safe_dump(bank))
    with pytest.raises(TextBankError, match=r"ablation: the bank holds no attribute.*or leave `ablation` away"):
        run_steps(photos.spec(ablation={}, methods=["clip"]), runtime)
    assert rows(runtime, "SELECT count(*) FROM runs") == [(0,)]


def test_images_that_cannot_be_read_are_left_out(photos: World, runtime: Runtime) -> None:
    (photos.folder / "images" / NAMES[0] / "000.png").write_bytes(b"not a picture")
    run_steps(photos.spec(ablation={"draws": 1}, methods=["clip", "coder"]), runtime)
    assert rows(runtime, "SELECT DISTINCT n FROM ablation") == [(19,)]
