"""The ablation in the store: its corners are methods that are scored on their own, and nothing is embedded for it."""

import xml.etree.ElementTree as ElementTree
from itertools import permutations
from pathlib import Path

import pytest

from coder_core import steps
from coder_core.errors import StoreError
from coder_core.report.ablation_plot import plot_ablation
from coder_core.specs import Runtime
from coder_core.steps.ablation import read_ablation_of
from tests.fixtures_inputs import NAMES, World, write_world

from .conftest import run_steps
from .test_rerank_steps import rows

CORNERS = {
    "class_name": "clip",
    "class_name+attribute+analogous_class+synonym": "coder",
    "class_name+attribute+analogous_class+synonym+one_to_one": "coder_rerank",
}


@pytest.fixture
def ablated(tmp_path: Path) -> World:
    world = write_world(tmp_path / "world", pairs=tuple(permutations(NAMES, 2)))
    settings = {**world.settings, "methods": ["clip", "coder", "coder_rerank"], "rerank": {"threshold": 0.9}}
    settings |= {"ablation": {"draws": 3, "texts_per_class": [1, 2]}, "matrix": {"write": False}}
    return World(world.folder, settings)


def test_the_corners_of_the_ablation_are_the_methods(ablated: World, runtime: Runtime) -> None:
    run_steps(ablated.spec(), runtime)
    found = dict(rows(runtime, "SELECT kinds, top1 FROM ablation WHERE texts_per_class IS NULL"))
    told = dict(rows(runtime, "SELECT method, value FROM metrics WHERE metric = 'top1'"))
    assert {CORNERS[kinds]: found[kinds] for kinds in CORNERS} == pytest.approx(told)
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
