"""Controls and statistics in the store: who stands in the tables, and what the numbers are counted from."""

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import yaml

from coder_core.baselines.control_texts import build_control
from coder_core.classes import ClassList
from coder_core.errors import ConfigError, TextBankError
from coder_core.specs import ControlName, Runtime
from coder_core.steps import measure_method
from coder_core.texts.bank_file import parse_text_bank
from coder_core.texts.domains import load_domains
from tests.fixtures_inputs import DIM, NAMES, World, write_world

from .conftest import Finished
from .runs import CONTROLS, contents, paired_world, permute_labels, rows, run_spec


def with_controls(world: World, **changes: object) -> World:
    """The world with controls, whose texts get features in a file of their own."""
    classes = ClassList(NAMES)
    bank = parse_text_bank((world.folder / "bank.yaml").read_text(), place="bank", classes=classes)
    domain = load_domains()["bird"]
    tables = [
        build_control(control, classes, bank, domain=domain, seed=seed) for control in CONTROLS for seed in (0, 7)
    ]
    texts = sorted({text for table in tables for text in table.unique_texts()})
    features = np.random.default_rng(0).standard_normal((len(texts), DIM))
    with np.load(world.folder / "texts.npz") as file:
        known = dict(zip(file["texts"].tolist(), file["features"], strict=True))
    features = np.stack([known.get(text, row) for text, row in zip(texts, features, strict=True)])
    np.savez(world.folder / "controls.npz", texts=np.array(texts), features=features)
    files = [{"path": str(world.folder / name)} for name in ("texts.npz", "controls.npz")]
    settings = {"encoder": {"kind": "precomputed", "texts": files}, "methods": ["clip", "coder"]}
    return World(
        world.folder,
        {**world.settings, **settings, "controls": list(CONTROLS), "matrix": {"write": False}, **changes},
    )


def test_every_control_that_there_is_is_tested() -> None:
    assert set(CONTROLS) == set(get_args(ControlName))


@pytest.mark.slow
def test_controls_stand_beside_coder_in_every_table(flags_run: Finished) -> None:
    runtime = flags_run.runtime
    methods = {*flags_run.world.settings["methods"], *(f"control_{name}" for name in CONTROLS)}
    for table in ("metrics", "predictions", "class_metrics"):
        assert {row[0] for row in rows(runtime, f"SELECT DISTINCT method FROM {table}")} == methods
    for table in ("comparisons", "class_comparisons"):
        assert {row[0] for row in rows(runtime, f"SELECT DISTINCT method FROM {table}")} == methods - {"clip"}
    (best,) = rows(runtime, "SELECT best_method FROM runs")[0]
    assert not best.startswith("control_"), "a control is no method that one would choose"


@pytest.mark.slow
def test_nothing_that_is_said_depends_on_labels(tmp_path: Path, runtime: Runtime) -> None:
    methods = ["clip", "vcd", "coder", "coder_second_round", "coder_rerank"]
    world = paired_world(tmp_path / "world")
    tested = with_controls(world, methods=methods, ablation={"draws": 1, "texts_per_class": [1]})
    before = contents(run_spec(tested.spec(), runtime), runtime)
    assert list(before) == [*methods, *(f"control_{control}" for control in CONTROLS)]
    assert len({key for key, _ in before.values()}) == len(before), "every method has predictions of its own"
    permute_labels(world)
    other = Runtime(store=f"{runtime.store}-2", device="cpu")
    assert contents(run_spec(tested.spec(), other), other) == before
    accuracy = "SELECT avg(CAST(is_correct AS INT)) FROM predictions WHERE method = 'coder'"
    assert rows(runtime, accuracy)[0][0] > 0.5 > rows(other, accuracy)[0][0], "the labels were read, but by the metrics"


@pytest.mark.slow
def test_texts_of_controls_are_counted_once_and_listed(world: World, runtime: Runtime) -> None:
    tested = with_controls(world)
    plain = run_spec(tested.spec(controls=[]), Runtime(store=f"{runtime.store}-2", device="cpu")).result
    first = run_spec(tested.spec(), runtime)
    own = sum(record.computed for record in first.records("embed_texts_control_"))
    assert first.result.texts_embedded == plain.texts_embedded + own > plain.texts_embedded
    assert first.result.texts_reused == 0, "names stand in several controls and count once"
    second = run_spec(tested.spec(), runtime, "run-2").result
    assert (second.texts_embedded, second.texts_reused) == (0, first.result.texts_embedded)
    for control in CONTROLS:
        sql = f"SELECT rows, computed FROM timings WHERE step = 'write_texts_control_{control}' ORDER BY run_id"
        (written, computed), (found, nothing) = rows(runtime, sql)
        assert (written, nothing) == (found, 0)
        assert computed == written


@pytest.mark.slow
def test_a_second_run_writes_no_control_again(world: World, runtime: Runtime) -> None:
    tested = with_controls(world)
    run_spec(tested.spec(), runtime, "run-1")
    assert run_spec(tested.spec(), runtime, "run-2").computed == {}
    other = run_spec(tested.spec(draw_seed=7), runtime, "run-3").computed
    assert other["predict_control_waffle"] == 120, "another seed draws other words"
    assert other["predict_control_nameless"] == 120, "the seed is part of every control's key"
    assert "predict_coder" not in other, "and of nothing else"


@pytest.mark.slow
def test_controls_go_through_the_selection_by_support_and_cost_no_method_its_p(
    tmp_path: Path, runtime: Runtime
) -> None:
    tested = with_controls(write_world(tmp_path / "test"), controls=["waffle", "characters"])
    write_world(tmp_path / "pool", images_per_class=8, first_image=500)
    pool = {"kind": "features", "path": str(tmp_path / "pool" / "images.npz")}
    few_shot = {"pool": pool, "shots": [1, 4], "draws": 1, "methods": ["nearest_mean"], "select_texts": True}
    run = run_spec(tested.spec(few_shot=few_shot), runtime)
    name = "coder_support_selected"
    under = [f"control_{control}_of_{name}" for control in ("waffle", "characters")]
    told = "SELECT method, baseline, p_value, p_holm, ci_low, ci_high FROM comparisons WHERE metric = 'top1'"
    own = {row[0]: row for row in rows(runtime, f"{told} AND controls = '{name}' AND baseline = '{name}'")}
    assert sorted(own) == sorted(under)
    assert all(p_holm >= p_value and low < high for _, _, p_value, p_holm, low, high in own.values())
    alone = f"{told} AND controls IS NULL AND method = '{name}'"
    assert all(row[3] == row[2] for row in rows(runtime, alone)), "support labels are a contract of their own"
    notes = [note for note in run.result.notes if "of each class's descriptions" in note]
    assert [note.split(" keeps ")[0] for note in notes] == [name, *under]
    assert all("chosen on 16 support images" in note for note in notes)


def test_calibration_is_counted_from_the_predictions(features_run: Finished) -> None:
    found = rows(features_run.runtime, "SELECT probability, is_correct FROM predictions WHERE method = 'coder'")
    confidence, is_correct = (np.array(column, dtype=np.float64) for column in zip(*found, strict=True))
    bins = np.ceil(confidence * 15)
    error = sum(
        abs(is_correct[bins == number].mean() - confidence[bins == number].mean()) * (bins == number).mean()
        for number in np.unique(bins)
    )
    sql = "SELECT value FROM metrics WHERE method = 'coder' AND metric = 'expected_calibration_error'"
    assert rows(features_run.runtime, sql)[0][0] == pytest.approx(error, abs=1e-6)


def test_differences_by_class_and_confusions_are_counted_from_the_predictions(features_run: Finished) -> None:
    runtime = features_run.runtime
    counted = rows(
        runtime,
        "SELECT label_name, count(*) FILTER (own.is_correct AND NOT clip.is_correct),"
        " count(*) FILTER (clip.is_correct AND NOT own.is_correct) FROM predictions own"
        " JOIN predictions clip USING (run_id, image_id, label_name)"
        " WHERE own.method = 'coder' AND clip.method = 'clip' GROUP BY 1 ORDER BY 1",
    )
    reported = "SELECT class_name, gained, lost FROM class_comparisons WHERE method = 'coder' ORDER BY 1"
    assert rows(runtime, reported) == counted
    counted = rows(
        runtime,
        "SELECT label_name, predicted_name, count(*) FROM predictions"
        " WHERE method = 'coder' AND NOT is_correct GROUP BY ALL ORDER BY ALL",
    )
    reported = (
        "SELECT class_name, predicted_name, n FROM confusion_comparisons WHERE method = 'coder' AND n > 0 ORDER BY ALL"
    )
    assert rows(runtime, reported) == counted != []


@pytest.mark.parametrize("control", CONTROLS)
def test_a_control_of_texts_that_describe_nothing_is_refused(
    world: World, runtime: Runtime, control: ControlName
) -> None:
    tested = with_controls(world, methods=["clip"], controls=[control])
    bank = {"format": "coder-text-bank/1", "classes": [{"name": name} for name in NAMES]}
    (world.folder / "bank.yaml").write_text(yaml.safe_dump(bank))
    with pytest.raises(TextBankError, match=f"control {control}.*Describe the classes first"):
        run_spec(tested.spec(), runtime)


def test_one_class_has_no_other_to_shuffle_with(tmp_path: Path, runtime: Runtime) -> None:
    world = write_world(tmp_path / "one", NAMES[:1], images_per_class=3)
    settings = {"methods": ["clip", "coder"], "controls": ["shuffled"], "matrix": {"write": False}}
    with pytest.raises(ConfigError, match="1 class has no other"):
        run_spec(world.spec(**settings), runtime)


@pytest.mark.slow
def test_another_baseline_turns_the_differences_around(world: World, runtime: Runtime) -> None:
    methods = ("clip", "vcd", "coder")
    columns = "difference, ci_low, gained, lost, p_value"
    found = {}
    for baseline, method in (("clip", "coder"), ("coder", "clip")):
        run_spec(world.spec(methods=methods, baseline=baseline), runtime, baseline)
        everyone = f"SELECT DISTINCT method, baseline FROM comparisons WHERE run_id = '{baseline}'"
        assert set(rows(runtime, everyone)) == {(name, baseline) for name in methods if name != baseline}
        sql = f"SELECT {columns} FROM comparisons WHERE run_id = '{baseline}' AND method = '{method}' ORDER BY metric"
        found[baseline] = rows(runtime, sql)
    for there, back in zip(found["clip"], found["coder"], strict=True):
        assert there[0] == pytest.approx(-back[0])
        assert there[1] is None or there[1] <= there[0], "or images cannot say anything about chance"
        assert (there[2], there[3], there[4]) == (back[3], back[2], back[4])


@pytest.mark.slow
def test_of_very_many_confusions_the_most_frequent_are_kept(
    world: World, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_spec(world.spec(methods=("clip", "coder")), runtime, "whole")
    monkeypatch.setattr(measure_method, "CONFUSIONS_COMPARED", 3)
    other = runtime.model_copy(update={"store": f"{runtime.store}-2"})
    run_spec(world.spec(methods=("clip", "coder")), other, "cut")
    columns = "class_id, predicted, n_baseline, n, p_value, p_holm"
    sql = f"SELECT {columns} FROM confusion_comparisons ORDER BY n_baseline + n DESC"
    whole, cut = rows(runtime, sql), rows(other, sql)
    assert len(whole) > 3
    assert [row[2] + row[3] for row in cut] == [row[2] + row[3] for row in whole[:3]]
    assert set(cut) <= set(whole), "the correction still counts all pairs"
