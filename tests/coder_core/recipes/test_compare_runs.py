"""Any two runs: settings, methods and classes that differ, and how a run is found."""

from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from scipy.stats import binomtest

from coder_core.errors import QueryError
from coder_core.pipeline.context import Context
from coder_core.recipes.compare_runs import compare_runs
from coder_core.recipes.published_runs import find_run
from coder_core.specs import FewShotMethodName, Runtime
from tests.fixtures_inputs import NAMES, write_world

from .runs import paired_world, rows, run_spec


@pytest.mark.slow
def test_any_two_runs_are_compared_method_by_method(tmp_path: Path, runtime: Runtime) -> None:
    world = paired_world(tmp_path / "world")
    run_spec(world.spec(), runtime, "birds-1")
    path = world.folder / "bank.yaml"
    bank = yaml.safe_load(path.read_text())
    for entry in bank["classes"]:
        entry["attributes"] = entry["attributes"][:1]
    path.write_text(yaml.safe_dump(bank))
    run_spec(world.spec(rerank={"threshold": 0.5}), runtime, "birds-2")
    found = compare_runs(Context.open(runtime), "birds-1", "birds-2")
    assert [tuple(change) for change in found.settings][:1] == [("rerank.threshold", "0.9", "0.5")]
    assert [change.key for change in found.settings[1:]] == ["(content of the texts)"]
    sql = """SELECT method, count(*), count(*) FILTER (a.is_correct AND NOT b.is_correct),
        count(*) FILTER (b.is_correct AND NOT a.is_correct)
        FROM predictions b JOIN predictions a USING (image_id, method)
        WHERE b.run_id = 'birds-1' AND a.run_id = 'birds-2' GROUP BY 1"""
    assert {(row.method, row.n, row.gained, row.lost) for row in found.methods} == set(rows(runtime, sql))
    p_values = {row.method: row.p_value for row in found.methods}
    for row in found.methods:
        differing = row.gained + row.lost
        assert row.p_value == pytest.approx(binomtest(row.gained, differing).pvalue if differing else 1.0)
        assert row.difference == pytest.approx((row.gained - row.lost) / row.n)
        assert row.p_holm >= row.p_value
    assert min(row.p_holm for row in found.methods) == pytest.approx(min(1.0, min(p_values.values()) * len(p_values)))
    clip = found.methods[0]
    assert clip.difference == 0, "clip reads the names, which are the same"
    assert -0.05 < clip.ci_low == pytest.approx(-clip.ci_high)


@pytest.mark.slow
def test_the_view_of_added_classes_says_what_the_comparison_says(tmp_path: Path, runtime: Runtime) -> None:
    """Two ways from the same runs: one over artifacts and class lists, one in SQL over the result tables."""
    for number, names in enumerate((NAMES[:3], NAMES)):
        world = write_world(tmp_path / "world", names)
        run_spec(world.spec(methods=["clip", "coder"]), runtime, f"birds-{number}")
    taken = 0
    for method in ("clip", "coder"):
        found = compare_runs(Context.open(runtime), "birds-0", "birds-1", method=method)
        sql = f"SELECT class_name, n, recall, taken FROM added_classes WHERE method = '{method}'"
        assert set(rows(runtime, sql)) == {tuple(added) for added in found.added}
        lost = [(shift.class_name, images) for shift in found.shifts for _, images in shift.takers]
        sql = sql.replace("class_name, n, recall, taken", "taken_from, taken_from_counts")
        ((names_of, counts),) = rows(runtime, sql)
        assert sorted(zip(names_of, counts, strict=True)) == sorted(lost)
        taken += sum(counts)
    assert taken > 0


def test_a_run_is_found_by_its_evaluation_and_near_names_are_offered(tmp_path: Path, runtime: Runtime) -> None:
    world = write_world(tmp_path / "world")
    run_spec(world.spec(methods=["clip"]), runtime, f"{world.settings['name']}-20260101T000000-abcd")
    store = Context.open(runtime).artifacts.store
    assert find_run(store, world.settings["name"]) == find_run(store, "latest")
    with pytest.raises(QueryError, match=f"Did you mean '{world.settings['name']}'"):
        find_run(store, world.settings["name"] + "x")


@pytest.mark.slow
def test_few_shot_methods_are_compared_by_their_first_common_draw(tmp_path: Path, runtime: Runtime) -> None:
    world, pool = write_world(tmp_path / "world"), write_world(tmp_path / "pool", first_image=100, images_per_class=8)
    few_shot: dict[str, Any] = {"pool": pool.settings["dataset"], "shots": [1, 2], "draws": 2}
    few_shot["methods"] = list(get_args(FewShotMethodName))[:2]
    for number, scale in enumerate((100.0, 20.0)):
        run_spec(
            world.spec(few_shot=few_shot, methods=["clip", "coder"], logit_scale=scale), runtime, f"birds-{number}"
        )
    found = {row.method: row for row in compare_runs(Context.open(runtime), "birds-0", "birds-1").methods}
    expected = [f"{method}, {shots}" for method in sorted(few_shot["methods"]) for shots in ("1 shot", "2 shots")]
    assert list(found) == ["clip", "coder", *expected]
    sql = """SELECT method || ', ' || if(shots = 1, '1 shot', shots || ' shots'), count(*),
        count(*) FILTER (a.is_correct AND NOT b.is_correct),
        count(*) FILTER (b.is_correct AND NOT a.is_correct)
        FROM few_shot_predictions b JOIN few_shot_predictions a USING (image_id, method, shots, seed)
        WHERE b.run_id = 'birds-0' AND a.run_id = 'birds-1'
        AND seed = (SELECT min(seed) FROM few_shot_predictions) GROUP BY 1"""
    own = [found[name] for name in expected]
    assert {(row.method, row.n, row.gained, row.lost) for row in own} == set(rows(runtime, sql))
    alone = {row.method: row.p_holm for row in found.values() if row.method in ("clip", "coder")}
    assert all(p >= found[method].p_value for method, p in alone.items())
