"""Controls and ablation in the flow: their rows, their steps among the timings, and the table on Prefect's page."""

import json

import pytest

from coder_core.errors import ConfigError
from coder_core.evaluation.ablation_rows import summarise_draws
from coder_core.recipes.published_runs import read_run_ablation
from coder_core.specs import Runtime
from flows.coder_eval import coder_eval
from tests.fixtures_inputs import NAMES, World, write_image_class

from .conftest import Query, newest_artifacts

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]
CONTROLS = ["waffle", "shuffled", "repeated_names", "nameless"]


@pytest.mark.thorough
def test_controls_and_ablation_run_beside_the_methods(photos: World, runtime: Runtime, query: Query) -> None:
    asked = {"methods": ["clip", "coder"], "controls": CONTROLS, "ablation": {"draws": 2}}
    result = coder_eval({**photos.settings, **asked}, [], runtime)
    methods = ["clip", "coder", *(f"control_{control}" for control in CONTROLS)]
    assert list(dict.fromkeys(metric.method for metric in result.metrics)) == methods
    against_clip = [row for row in result.comparisons if row.metric == "top1" and row.baseline == "clip"]
    assert [row.method for row in against_clip] == methods[1:]
    steps = {step for (step,) in query("SELECT step FROM timings")}
    for control in CONTROLS:
        made = (f"{step}_control_{control}" for step in ("write_texts", "embed_texts", "predict"))
        assert steps.issuperset(made)
    whole = "SELECT top1 FROM ablation WHERE texts_per_class IS NULL AND kinds LIKE '%synonym'"
    assert query(whole) == query("SELECT value FROM metrics WHERE method = 'coder' AND metric = 'top1'")
    artifacts = newest_artifacts()
    shown, plots = artifacts["photos-ablation"], artifacts["photos-plots"]
    assert str(plots.data).count("](data:image/svg+xml;base64,") == 3
    assert json.loads(str(shown.data)) == [
        row._asdict() for row in summarise_draws(read_run_ablation(runtime.store, result.run_id))
    ]
    again = coder_eval({**photos.settings, **asked}, [], runtime)
    computed = f"SELECT sum(computed) FROM timings WHERE run_id = '{again.run_id}'"
    assert query(computed) == [(0,)]
    assert (again.texts_embedded, again.texts_reused) == (0, result.texts_embedded)


def test_a_control_that_cannot_be_made_leaves_no_run(photos: World, runtime: Runtime, query: Query) -> None:
    write_image_class(photos.folder / "one", NAMES[0], 2)
    bank = photos.folder / "one.yaml"
    bank.write_text(f"format: coder-text-bank/1\nclasses:\n- name: {NAMES[0]}\n  attributes: [a mark]\n")
    dataset = {"kind": "folder", "path": str(photos.folder / "one")}
    settings = {**photos.settings, "dataset": dataset, "texts": {"bank": str(bank), "domain": "bird"}}
    with pytest.raises(ConfigError, match="1 class has no other"):
        coder_eval({**settings, "methods": ["clip"], "controls": ["shuffled"]}, [], runtime)
    assert query("SELECT count(*) FROM runs") == [(0,)]
