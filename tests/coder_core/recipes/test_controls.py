"""Controls and statistics in the store: who stands in the tables, and what the numbers are counted from."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from coder_core.baselines.controls import build_control

from coder_core.classes import ClassList
from coder_core.errors import ConfigError, TextBankError
from coder_core.specs import ControlName, Runtime
from coder_core.steps import result_tables
from coder_core.texts.bank_file import parse_text_bank
from coder_core.texts.domains import load_domains
from tests.fixtures_inputs import DIM, NAMES, World, write_image_class

from .conftest import run_steps
from .test_rerank_steps import permute_labels, predictions_of, rows

pytestmark = pytest.mark.slow

CONTROLS = ("waffle", "shuffled", "repeated_names", "nameless")


def controlled(photos: World, **changes: object) -> World:
    settings = {**photos.settings, "methods": ["clip", "coder"], "controls": list(CONTROLS), **changes}
    return World(photos.folder, settings)


def test_controls_stand_beside_coder_in_every_table(photos: World, runtime: Runtime) -> None:
    run_steps(controlled(photos).spec(), runtime)
    methods = {"clip", "coder", *(f"control_{name}" for name in CONTROLS)}
    for table in ("metrics", "predictions", "class_metrics"):
        assert {row[0] for row in rows(runtime, f"SELECT DISTINCT method FROM {table}")} == methods
    for table in ("comparisons", "class_comparisons"):
        assert {row[0] for row in rows(runtime, f"SELECT DISTINCT method FROM {table}")} == methods - {"clip"}


def with_control_texts(world: World) -> World:
    """The world with controls, whose texts get features in a file of their own."""
    classes = ClassList(NAMES)
    bank = parse_text_bank((world.folder / "bank.yaml").read_text(), place="bank", classes=classes)
    domain = load_domains()["bird"]
    tables = [build_control(control, classes, bank, domain=domain, seed=0) for control in CONTROLS]
    texts = sorted({text for table in tables for text in table.unique_texts()})
    features = np.random.default_rng(0).standard_normal((len(texts), DIM))
    np.savez(world.folder / "controls.npz", texts=np.array(texts), features=features)
    files = [{"path": str(world.folder / name)} for name in ("texts.npz", "controls.npz")]
    return controlled(world, encoder={"kind": "precomputed", "texts": files}, ablation={"draws": 2})


def test_nothing_that_is_said_depends_on_labels(world: World, runtime: Runtime) -> None:
    methods = ["clip", "vcd", "coder", "coder_second_round"]
    spoken = World(world.folder, {**with_control_texts(world).settings, "methods": methods})
    before = predictions_of(spoken, runtime, "run-1")
    assert list(before) == [*methods, *(f"control_{control}" for control in CONTROLS)]
    assert len({key for key, _ in before.values()}) == len(before), "every control has predictions of its own"
    permute_labels(world)
    assert predictions_of(spoken, Runtime(store=f"{runtime.store}-2"), "run-1") == before


def test_texts_of_controls_are_counted_once_and_listed(photos: World, runtime: Runtime) -> None:
    plain = run_steps(controlled(photos, controls=[]).spec(), Runtime(store=f"{runtime.store}-2")).result
    first = run_steps(controlled(photos).spec(), runtime, "run-1")
    own = sum(control.text_embeddings.computed for control in first.evidence.controls.values())
    assert first.result.texts_embedded == plain.texts_embedded + own
    assert first.result.texts_reused == 0, "names stand in several controls and count once"
    assert first.result.texts_embedded > plain.texts_embedded
    second = run_steps(controlled(photos).spec(), runtime, "run-2").result
    assert (second.texts_embedded, second.texts_reused) == (0, first.result.texts_embedded)
    for control in CONTROLS:
        sql = f"SELECT rows, computed FROM timings WHERE step = 'write_texts_control_{control}' ORDER BY run_id"
        (written, computed), (found, nothing) = rows(runtime, sql)
        assert (written, nothing) == (found, 0)
        assert computed == written


def test_a_second_run_writes_no_control_again(photos: World, runtime: Runtime) -> None:
    run_steps(controlled(photos).spec(), runtime, "run-1")
    again = run_steps(controlled(photos).spec(), runtime, "run-2").evidence
    assert all(product.computed == 0 for product in again.all_predictions.values())
    other = run_steps(controlled(photos, draw_seed=7).spec(), runtime, "run-3").evidence.all_predictions
    assert other["control_waffle"].computed == 20, "another seed draws other words"
    assert other["control_nameless"].computed == 20, "the seed is part of every control's key"


def test_calibration_and_differences_are_counted_from_the_predictions(world: World, runtime: Runtime) -> None:
    run_steps(world.spec(methods=("clip", "coder")), runtime)
    said = rows(runtime, "SELECT probability, is_correct FROM predictions WHERE method = 'coder'")
    confidence, is_correct = (np.array(column, dtype=np.float64) for column in zip(*said, strict=True))
    bins = np.ceil(confidence * 15)
    error = sum(
        abs(is_correct[bins == number].mean() - confidence[bins == number].mean()) * (bins == number).mean()
        for number in np.unique(bins)
    )
    sql = "SELECT value FROM metrics WHERE method = 'coder' AND metric = 'expected_calibration_error'"
    assert rows(runtime, sql)[0][0] == pytest.approx(error, abs=1e-6)
    counted = rows(
        runtime,
        "SELECT label_name, count(*) FILTER (own.is_correct AND NOT clip.is_correct),"
        " count(*) FILTER (clip.is_correct AND NOT own.is_correct) FROM predictions own"
        " JOIN predictions clip USING (run_id, image_id, label_name)"
        " WHERE own.method = 'coder' AND clip.method = 'clip' GROUP BY 1 ORDER BY 1",
    )
    told = "SELECT class_name, gained, lost FROM class_comparisons WHERE method = 'coder' ORDER BY 1"
    assert rows(runtime, told) == counted
    counted = rows(
        runtime,
        "SELECT label_name, predicted_name, count(*) FROM predictions"
        " WHERE method = 'coder' AND NOT is_correct GROUP BY ALL ORDER BY ALL",
    )
    told = (
        "SELECT class_name, predicted_name, n FROM confusion_comparisons WHERE method = 'coder' AND n > 0 ORDER BY ALL"
    )
    assert rows(runtime, told) == counted


@pytest.mark.parametrize("control", CONTROLS)
def test_a_control_of_texts_that_describe_nothing_is_refused(
    photos: World, runtime: Runtime, control: ControlName
) -> None:
    bank = {"format": "coder-text-bank/1", "classes": [{"name": name} for name in NAMES]}
    (photos.folder / "bank.yaml").write_text(yaml.safe_dump(bank))
    with pytest.raises(TextBankError, match=f"control {control}.*Describe the classes first"):
        run_steps(controlled(photos, controls=[control]).spec(), runtime)


def test_one_class_has_no_other_to_shuffle_with(tmp_path: Path, photos: World, runtime: Runtime) -> None:
    write_image_class(tmp_path / "one", NAMES[0], 3)
    bank = {"format": "coder-text-bank/1", "classes": [{"name": NAMES[0], "attributes": ["a mark"]}]}
    (photos.folder / "bank.yaml").write_text(yaml.safe_dump(bank))
    dataset = {"kind": "folder", "path": str(tmp_path / "one")}
    with pytest.raises(ConfigError, match="1 class has no other"):
        run_steps(controlled(photos, controls=["shuffled"], dataset=dataset).spec(), runtime)


def test_another_baseline_turns_the_differences_around(world: World, runtime: Runtime) -> None:
    methods = ("clip", "vcd", "coder")
    columns = "difference, ci_low, gained, lost, p_value"
    found = {}
    for baseline, method in (("clip", "coder"), ("coder", "clip")):
        run_steps(world.spec(methods=methods, baseline=baseline), runtime, baseline)
        everyone = f"SELECT DISTINCT method, baseline FROM comparisons WHERE run_id = '{baseline}'"
        assert set(rows(runtime, everyone)) == {(name, baseline) for name in methods if name != baseline}
        sql = f"SELECT {columns} FROM comparisons WHERE run_id = '{baseline}' AND method = '{method}' ORDER BY metric"
        found[baseline] = rows(runtime, sql)
    for there, back in zip(found["clip"], found["coder"], strict=True):
        assert there[0] == pytest.approx(-back[0])
        assert there[1] <= there[0]
        assert (there[2], there[3], there[4]) == (back[3], back[2], back[4])


def test_of_very_many_confusions_the_most_frequent_are_kept(
    world: World, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_steps(world.spec(methods=("clip", "coder")), runtime, "whole")
    monkeypatch.setattr(result_tables, "CONFUSIONS_COMPARED", 3)
    run_steps(world.spec(methods=("clip", "coder")), runtime, "cut")
    columns = "class_id, predicted, n_baseline, n, p_value, p_holm"
    sql = f"SELECT {columns} FROM confusion_comparisons WHERE run_id = '{{}}' ORDER BY n_baseline + n DESC"
    whole, cut = (rows(runtime, sql.format(run_id)) for run_id in ("whole", "cut"))
    assert len(whole) > 3
    assert [row[2] + row[3] for row in cut] == [row[2] + row[3] for row in whole[:3]]
    assert set(cut) <= set(whole), "the correction still counts all pairs"
