"""CODER's second stage in the flow: pairs bought on demand, and the threshold chosen on validation images."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from coder_core.errors import DatasetError, LabelLeakError
from coder_core.llm.llm_runtime import LlmRuntime
from coder_core.specs import Runtime
from flows.coder_eval import coder_eval
from tests.coder_core.atg.llm_server import LlmServer, serving
from tests.fixtures_inputs import NAMES, World, write_image_class, write_world

from .conftest import Query

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]
METHODS = ["clip", "coder", "coder_rerank"]
KEY = "sk-pairs-that-nobody-may-see"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LlmServer]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serving(LlmServer(key=KEY)) as started:
        yield started


def pair_calls(server: LlmServer) -> int:
    return sum("visual features between" in str(call) for call in server.calls)


def test_only_confused_pairs_are_asked_about_within_the_budget(
    photos: World, runtime: Runtime, query: Query, server: LlmServer
) -> None:
    texts = {"generator": {"model": "test-model", "max_similarity": 1.0}, "domain": "bird", "pairs": "confused"}
    settings = {**photos.settings, "texts": texts, "methods": METHODS, "rerank": {"threshold": 2.0, "pair_budget": 2}}
    runtime = runtime.model_copy(update={"llm": LlmRuntime(base_url=server.url)})
    coder_eval(settings, [], runtime)
    calls = len(server.calls)
    assert pair_calls(server) == 2, "four classes have six pairs, two are in the budget"
    again = coder_eval(settings, [], runtime)
    assert len(server.calls) == calls, "bought once"
    bought = f"SELECT rank, texts > 0, rival_texts > 0 FROM confused_pairs WHERE run_id = '{again.run_id}' ORDER BY 1"
    assert query(bought) == [(rank, rank < 2, rank < 2) for rank in range(6)]
    counts = f"SELECT gated, pairs_wanted, pairs_missing FROM reranks WHERE run_id = '{again.run_id}'"
    assert query(counts) == [(20, 120, 80)]
    kinds = f"SELECT count(*) FROM texts WHERE kind = 'one_to_one' AND run_id = '{again.run_id}'"
    assert query(kinds)[0][0] > 0
    coder_eval({**settings, "rerank": {"threshold": 2.0, "pair_budget": 3}}, [], runtime)
    assert pair_calls(server) == 3, "a larger budget buys what is new in it"


@pytest.fixture
def chosen(tmp_path: Path) -> dict[str, Any]:
    """An evaluation that chooses the threshold on features of other images."""
    pairs = tuple((name, rival) for name in NAMES for rival in NAMES if name != rival)
    world = write_world(tmp_path / "world", pairs=pairs)
    other = write_world(tmp_path / "other", images_per_class=20, first_image=1000)
    validation = {"kind": "features", "path": str(other.folder / "images.npz")}
    return {
        **world.settings,
        "methods": METHODS,
        "validation": validation,
        "rerank": {"choose_threshold": True},
        "matrix": {"write": False},
    }


def test_the_threshold_is_the_best_of_a_grid_on_the_validation_images(
    chosen: dict[str, Any], runtime: Runtime, query: Query
) -> None:
    coder_eval(chosen, [], runtime)
    searched = query("SELECT threshold, images_gated, top1 FROM threshold_search ORDER BY 1")
    assert [row[0] for row in searched] == [step / 20 for step in range(21)]
    assert searched[0][1] == 0 < searched[-1][1] <= 80
    best = max(row[2] for row in searched)
    first_best = min(row[0] for row in searched if row[2] == best)
    assert query("SELECT threshold, threshold_source FROM reranks") == [(first_best, "validation")]
    assert query("SELECT count(*) FROM predictions WHERE method = 'coder_rerank'") == [(120,)]


def test_validation_images_that_are_test_images_are_refused(
    chosen: dict[str, Any], runtime: Runtime, query: Query, tmp_path: Path
) -> None:
    copied = str(shutil.copy(tmp_path / "world" / "images.npz", tmp_path / "copy.npz"))
    leaking = {**chosen, "validation": {"kind": "features", "path": copied}}
    with pytest.raises(LabelLeakError, match="120 validation images are test images as well"):
        coder_eval(leaking, [], runtime)
    assert query("SELECT count(*) FROM runs") == [(0,)]


def test_validation_images_of_other_classes_are_refused(photos: World, runtime: Runtime, tmp_path: Path) -> None:
    for name in (*NAMES[1:], "robin"):
        write_image_class(tmp_path / "validation", name, 2)
    settings = {
        **photos.settings,
        "methods": METHODS,
        "validation": {"kind": "folder", "path": str(tmp_path / "validation")},
        "rerank": {"choose_threshold": True},
    }
    with pytest.raises(DatasetError, match="its class list is another one"):
        coder_eval(settings, [], runtime)
