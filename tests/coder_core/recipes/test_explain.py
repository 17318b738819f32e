"""Explanations from the store: shares that add up to what NumPy says about the same image, and what is refused."""

import io
from typing import Any

import numpy as np
import pytest

from coder_core.errors import CoderError, ConfigError, QueryError
from coder_core.recipes.decision import Decision
from coder_core.recipes.explain_decision import choose_explainable, explain_decision
from coder_core.report.explanation import print_decision
from tests.fixtures_inputs import NAMES, World

from .conftest import Finished
from .runs import counted_passes, rows


def explain(finished: Finished, image_id: str, **asked: Any) -> Decision:
    """Explain a decision of the run."""
    return explain_decision(finished.context, finished.run.manifest, image_id, **asked)


def first_image(finished: Finished) -> str:
    return str(rows(finished.runtime, "SELECT min(image_id) FROM predictions")[0][0])


def cosines_of(world: World, image_id: str) -> dict[str, float]:
    """Cosine of every text of the file with one image, in float64."""
    with np.load(world.folder / "texts.npz") as file:
        texts, vectors = file["texts"].tolist(), file["features"].astype(np.float64)
    with np.load(world.folder / "images.npz") as file:
        image = file["features"].astype(np.float64)[int(image_id)]
    return dict(zip(texts, vectors @ image / np.linalg.norm(image), strict=True))


def coder_logit(finished: Finished, name: str, image_id: str) -> float:
    """The heuristic classifier's logit of one class, from the table of texts, text by text."""
    cosines = cosines_of(finished.world, image_id)
    sql = f"SELECT kind, text FROM texts WHERE class_name = '{name}'"
    listed = [(kind, cosines[text]) for kind, text in rows(finished.runtime, sql)]
    described = [cosine for kind, cosine in listed if kind in ("attribute", "analogous_class")]
    named = max(cosine for kind, cosine in listed if kind in ("class_name", "synonym"))
    return 100 * (sum(described) + named) / (len(described) + 1)


@pytest.mark.parametrize("row", [0, 31, 77, 119])
def test_shares_add_up_to_the_difference_of_the_logits(features_run: Finished, row: int) -> None:
    (image_id,) = rows(features_run.runtime, "SELECT DISTINCT image_id FROM predictions ORDER BY image_id")[row]
    decision = explain(features_run, image_id, method="coder")
    winner, rival = (coder_logit(features_run, name, image_id) for name in (decision.winner, decision.rival))
    assert decision.margin == pytest.approx(winner - rival, abs=1e-4)
    assert decision.margin >= 0
    assert sum(share.share for share in decision.shares) == pytest.approx(decision.margin, abs=1e-9)
    assert {share.about for share in decision.shares} == {decision.winner, decision.rival}
    own = cosines_of(features_run.world, image_id)
    assert all(share.cosine == pytest.approx(own[share.text], abs=1e-3) for share in decision.shares)


def test_a_decision_that_the_rerank_changed_is_explained_against_what_it_overruled(features_run: Finished) -> None:
    changed = rows(
        features_run.runtime,
        "SELECT image_id, first.predicted_name, second.predicted_name FROM predictions first"
        " JOIN predictions second USING (run_id, image_id) WHERE first.method = 'coder'"
        " AND second.method = 'coder_rerank' AND first.predicted <> second.predicted ORDER BY 1",
    )
    assert changed
    for image_id, before, after in changed[:5]:
        decision = explain(features_run, image_id, method="coder_rerank")
        assert (decision.winner, decision.rival, decision.unit) == (after, before, "cosines")
        assert decision.margin > 0
        assert sum(share.share for share in decision.shares) == pytest.approx(decision.margin, abs=1e-9)
        assert {share.kind for share in decision.shares} == {"one_to_one"}
        assert f"stage 1 said {before}" in decision.note


def test_an_image_without_a_second_look_is_explained_by_the_first(features_run: Finished) -> None:
    certain = "SELECT image_id FROM predictions WHERE method = 'coder' ORDER BY probability DESC LIMIT 1"
    (image_id,) = rows(features_run.runtime, certain)[0]
    decision = explain(features_run, image_id, method="coder_rerank")
    assert decision.method == "coder_rerank"
    assert "no second look" in decision.note
    assert decision.shares == explain(features_run, image_id, method="coder").shares


@pytest.mark.parametrize(("method", "kind"), [("clip", "class_name"), ("vcd", "attribute")])
def test_baselines_are_explained_by_their_own_texts(features_run: Finished, method: str, kind: str) -> None:
    image_id = first_image(features_run)
    decision = explain(features_run, image_id, method=method)
    assert {share.kind for share in decision.shares} == {kind}
    assert decision.margin >= 0
    first = f"SELECT predicted_name, label_name FROM predictions WHERE method = '{method}' AND image_id = '{image_id}'"
    assert rows(features_run.runtime, first) == [(decision.winner, decision.truth)]


def test_another_rival_can_be_asked_about(features_run: Finished) -> None:
    image_id = first_image(features_run)
    winner = explain(features_run, image_id).winner
    for rival in set(NAMES) - {winner}:
        assert explain(features_run, image_id, rival=rival).rival == rival


def test_nothing_is_embedded_for_an_explanation(flags_run: Finished) -> None:
    with counted_passes() as passes:
        decision = explain(flags_run, first_image(flags_run))
    assert decision.shares
    assert (passes.texts, passes.images) == ([], [])


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"image_id": "x'; DROP"}, QueryError, "there is no image .x'; DROP"),
        ({"rival": "robin"}, QueryError, "there is no class 'robin'"),
        ({"method": "coder_top_m"}, ConfigError, "cannot be explained text by text.*clip, vcd, coder"),
        ({"method": "clip_ensemble"}, ConfigError, "cannot be explained text by text"),
    ],
)
def test_what_is_not_there_is_refused(
    features_run: Finished, changes: dict[str, str], error: type[CoderError], message: str
) -> None:
    asked = {"image_id": first_image(features_run), "method": "coder", "rival": None, **changes}
    with pytest.raises(error, match=message):
        explain(features_run, **asked)


def test_a_method_that_the_run_lacks_is_refused(flags_run: Finished) -> None:
    methods = tuple(record for record in flags_run.run.manifest.methods if record.method != "vcd")
    without = flags_run.run.manifest.model_copy(update={"methods": methods})
    with pytest.raises(
        ConfigError,
        match=r"it does not have the method 'vcd'.*Of this run these can be explained: clip, coder, coder_rerank",
    ):
        explain_decision(flags_run.context, without, first_image(flags_run), method="vcd")


def test_without_a_name_the_usual_method_is_meant_or_the_first_that_can(flags_run: Finished) -> None:
    manifest = flags_run.run.manifest
    assert explain_decision(flags_run.context, manifest, first_image(flags_run)).method == "coder"
    kept = {"vcd": "vcd", "clip_ensemble vcd clip": "clip"}
    for names, meant in kept.items():
        methods = tuple(record for record in manifest.methods if record.method in names.split())
        assert choose_explainable(manifest.model_copy(update={"methods": methods})) == meant
    few_shot_alone = manifest.model_copy(update={"methods": ()})
    with pytest.raises(ConfigError, match=r"none of its methods can be explained.*It has: .*tip_adapter.*can be"):
        choose_explainable(few_shot_alone)
    with pytest.raises(ConfigError, match=r"'lda' cannot be explained text by text.*It has: .*lda"):
        explain_decision(flags_run.context, few_shot_alone, first_image(flags_run), method="lda")


def test_what_is_printed_adds_up_and_marks_nothing_up(features_run: Finished) -> None:
    decision = explain(features_run, first_image(features_run))
    hostile = decision.shares[0]._replace(text="[red]\x1b[31m<b>")
    stream = io.StringIO()
    print_decision(decision._replace(shares=(hostile, *decision.shares[1:])), stream, top=2)
    printed = stream.getvalue()
    assert f"({len(decision.shares) - 2} more texts)" in printed
    assert f"true class: {decision.truth}\n" in printed
    assert "[red]" in printed
    assert "\x1b" not in printed
