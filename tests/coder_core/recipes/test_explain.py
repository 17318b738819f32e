"""Explanations from the store: shares that add up to what NumPy says about the same image, and what is refused."""

import io
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from coder_core.steps.explanation import explain_decision

from coder_core.errors import CoderError, ConfigError, QueryError
from coder_core.report.explanation import print_decision
from coder_core.specs import Runtime
from tests.fixtures_inputs import NAMES, World, write_world

from .conftest import run_steps
from .test_rerank_steps import rows

pytestmark = pytest.mark.slow


@pytest.fixture
def run(tmp_path: Path, runtime: Runtime) -> World:
    """A published run of the methods that can be explained, and one that cannot; half of the images are gated."""
    world = write_world(tmp_path / "world", pairs=tuple(permutations(NAMES, 2)))
    methods = ("clip", "vcd", "coder", "coder_rerank", "coder_top_m")
    settings = {**world.settings, "methods": methods, "matrix": {"write": False}, "rerank": {"threshold": 0.9}}
    world = World(world.folder, settings)
    run_steps(world.spec(), runtime)
    return world


def cosines_of(world: World, image_id: str) -> dict[str, float]:
    """Cosine of every text of the file with one image, in float64."""
    with np.load(world.folder / "texts.npz") as file:
        texts, vectors = file["texts"].tolist(), file["features"].astype(np.float64)
    with np.load(world.folder / "images.npz") as file:
        image = file["features"].astype(np.float64)[int(image_id)]
    return dict(zip(texts, vectors @ image / np.linalg.norm(image), strict=True))


def coder_logit(world: World, runtime: Runtime, name: str, image_id: str) -> float:
    """The heuristic classifier's logit of one class, from the table of texts, text by text."""
    cosines = cosines_of(world, image_id)
    sql = f"SELECT kind, text FROM texts WHERE class_name = '{name}'"
    listed = [(kind, cosines[text]) for kind, text in rows(runtime, sql)]
    described = [cosine for kind, cosine in listed if kind in ("attribute", "analogous_class")]
    named = max(cosine for kind, cosine in listed if kind in ("class_name", "synonym"))
    return 100 * (sum(described) + named) / (len(described) + 1)


@pytest.mark.parametrize("row", [0, 31, 77, 119])
def test_shares_add_up_to_the_difference_of_the_logits(run: World, runtime: Runtime, row: int) -> None:
    image_id = rows(runtime, "SELECT DISTINCT image_id FROM predictions ORDER BY image_id")[row][0]
    decision = explain_decision("run-1", str(image_id), runtime, method="coder")
    winner, rival = (coder_logit(run, runtime, name, str(image_id)) for name in (decision.winner, decision.rival))
    assert decision.margin == pytest.approx(winner - rival, abs=1e-4)
    assert decision.margin >= 0
    assert sum(share.share for share in decision.shares) == pytest.approx(decision.margin, abs=1e-9)
    assert {share.about for share in decision.shares} == {decision.winner, decision.rival}
    own = cosines_of(run, str(image_id))
    assert all(share.cosine == pytest.approx(own[share.text], abs=1e-3) for share in decision.shares)


@pytest.mark.usefixtures("run")
def test_a_decision_that_the_rerank_changed_is_explained_against_what_it_overruled(runtime: Runtime) -> None:
    changed = rows(
        runtime,
        "SELECT image_id, first.predicted_name, second.predicted_name FROM predictions first"
        " JOIN predictions second USING (run_id, image_id) WHERE first.method = 'coder'"
        " AND second.method = 'coder_rerank' AND first.predicted <> second.predicted ORDER BY 1",
    )
    assert changed
    for image_id, before, after in changed[:5]:
        decision = explain_decision("run-1", str(image_id), runtime, method="coder_rerank")
        assert (decision.winner, decision.rival, decision.unit) == (after, before, "cosines")
        assert decision.margin > 0
        assert sum(share.share for share in decision.shares) == pytest.approx(decision.margin, abs=1e-9)
        assert {share.kind for share in decision.shares} == {"one_to_one"}
        assert f"stage 1 said {before}" in decision.note


@pytest.mark.usefixtures("run")
def test_an_image_without_a_second_look_is_explained_by_the_first(runtime: Runtime) -> None:
    certain = "SELECT image_id FROM predictions WHERE method = 'coder' ORDER BY probability DESC LIMIT 1"
    image_id = str(rows(runtime, certain)[0][0])
    decision = explain_decision("run-1", image_id, runtime, method="coder_rerank")
    assert decision.method == "coder_rerank"
    assert "no second look" in decision.note
    assert decision.shares == explain_decision("run-1", image_id, runtime, method="coder").shares


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize(("method", "kind"), [("clip", "class_name"), ("vcd", "attribute")])
def test_baselines_are_explained_by_their_own_texts(runtime: Runtime, method: str, kind: str) -> None:
    image_id = str(rows(runtime, "SELECT min(image_id) FROM predictions")[0][0])
    decision = explain_decision("run-1", image_id, runtime, method=method)
    assert {share.kind for share in decision.shares} == {kind}
    assert decision.margin >= 0
    first = f"SELECT predicted_name FROM predictions WHERE method = '{method}' AND image_id = '{image_id}'"
    assert rows(runtime, first) == [(decision.winner,)]


@pytest.mark.usefixtures("run")
def test_another_rival_can_be_asked_about(runtime: Runtime) -> None:
    image_id = str(rows(runtime, "SELECT min(image_id) FROM predictions")[0][0])
    winner = explain_decision("run-1", image_id, runtime).winner
    for rival in set(NAMES) - {winner}:
        assert explain_decision("run-1", image_id, runtime, rival=rival).rival == rival


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"run_id": "run-2"}, QueryError, "there is no run 'run-2'.*Published runs: run-1"),
        ({"image_id": "x'; DROP"}, QueryError, "there is no image .x'; DROP"),
        ({"rival": "robin"}, QueryError, "there is no class 'robin'"),
        ({"method": "coder_top_m"}, ConfigError, "cannot be explained text by text.*clip, vcd, coder"),
        ({"method": "clip_ensemble"}, ConfigError, "cannot be explained text by text"),
    ],
)
def test_what_is_not_there_is_refused(
    runtime: Runtime, changes: dict[str, str], error: type[CoderError], message: str
) -> None:
    image_id = str(rows(runtime, "SELECT min(image_id) FROM predictions")[0][0])
    asked = {"run_id": "run-1", "image_id": image_id, "method": "coder", "rival": None, **changes}
    with pytest.raises(error, match=message):
        explain_decision(runtime=runtime, **asked)


@pytest.mark.usefixtures("run")
def test_what_is_printed_adds_up_and_marks_nothing_up(runtime: Runtime) -> None:
    image_id = str(rows(runtime, "SELECT min(image_id) FROM predictions")[0][0])
    decision = explain_decision("run-1", image_id, runtime)
    hostile = decision.shares[0]._replace(text="[red]\x1b[31m<b>")
    stream = io.StringIO()
    print_decision(decision._replace(shares=(hostile, *decision.shares[1:])), stream, top=2)
    printed = stream.getvalue()
    assert f"({len(decision.shares) - 2} more texts)" in printed
    assert "[red]" in printed
    assert "\x1b" not in printed
