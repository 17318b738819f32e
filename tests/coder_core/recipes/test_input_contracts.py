"""What a method says that it reads: labels permuted, images dropped, classes unbalanced, and every answer compared."""

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from coder_core.classifiers import restore_classifier
from coder_core.errors import FeatureFileError
from coder_core.input_contract import InputContract
from coder_core.methods import METHODS, VARIANTS
from coder_core.pipeline.context import Context
from coder_core.specs import IMAGES_ALONE, FewShotMethodName, Runtime
from coder_core.steps.build_classifier import read_classifier
from coder_core.steps.predict_images import read_vectors, usable_images
from tests.fixtures_inputs import World, rewrite_features, write_world

from .runs import ALL_PAIRS, Run, rows, run_spec

SAID = "SELECT method, image_id, predicted, probability FROM predictions WHERE run_id = '{run}'"
FEW_SHOT_SAID = "SELECT method, image_id, predicted, probability FROM few_shot_predictions WHERE run_id = '{run}'"
BY_NAME = [name for name in METHODS if name != "clip_ensemble"]
"""Of the ensemble's prompts the world has no features."""


class Everything:
    """Every method that reads features, on one world whose images have ids."""

    def __init__(self, folder: Path) -> None:
        self.world = write_world(folder / "test", pairs=ALL_PAIRS)
        write_world(folder / "pool", images_per_class=8, first_image=500)
        write_world(folder / "validation", images_per_class=6, first_image=700)
        self.pool = {"kind": "features", "path": str(folder / "pool" / "images.npz")}
        self.validation = {"kind": "features", "path": str(folder / "validation" / "images.npz")}
        rewrite_features(self.world, image_ids=np.array([f"bird_{row // 2}_crop_{row % 2}" for row in range(120)]))

    def run(self, runtime: Runtime, run_id: str, **changes: Any) -> Run:
        few_shot = {"pool": self.pool, "shots": [2], "draws": 1, "methods": get_args(FewShotMethodName)}
        few_shot["select_texts"] = True
        dataset = {**self.world.settings["dataset"], "image_ids": "image_ids"}
        settings = {
            "dataset": dataset,
            "methods": [*BY_NAME, *VARIANTS, "coder_rerank"],
            "rerank": {"threshold": 0.9, "choose_threshold": True},
            "validation": self.validation,
            "calibrate": True,
            "few_shot": few_shot,
            "matrix": {"write": False},
            **changes,
        }
        return run_spec(self.world.spec(**settings), runtime, run_id)

    def said(self, runtime: Runtime, run_id: str) -> dict[tuple[str, str], tuple[int, float]]:
        found = [*rows(runtime, SAID.format(run=run_id)), *rows(runtime, FEW_SHOT_SAID.format(run=run_id))]
        return {(method, image_id): (predicted, chance) for method, image_id, predicted, chance in found}


def change(world: World, kept: np.ndarray, labels: np.ndarray) -> None:
    with np.load(world.folder / "images.npz") as file:
        arrays = {name: file[name] for name in ("features", "labels", "image_ids")}
    rewrite_features(world, **{**{name: array[kept] for name, array in arrays.items()}, "labels": labels})


@pytest.mark.slow
def test_answers_depend_on_nothing_that_a_method_does_not_say(tmp_path: Path, runtime: Runtime) -> None:
    everything = Everything(tmp_path)
    run = everything.run(runtime, "run-1")
    contracts = {record.method: record.contract for record in run.manifest.methods}
    assert all(contract is not None for contract in contracts.values())
    blind = {name for name, contract in contracts.items() if contract and not contract.reads_unlabelled_images}
    assert blind == contracts.keys(), "no method of this run reads the batch"
    before = everything.said(runtime, "run-1")
    labels = np.repeat(np.arange(4), 30)
    kept = np.flatnonzero((labels != 0) | (np.arange(120) % 10 == 0))  # a tenth of the first class, all of the others
    changes = {
        "run-2": (np.arange(120), np.random.default_rng(3).permutation(labels)),
        "run-3": (kept, labels[kept]),
    }
    for run_id, (rows_kept, new_labels) in changes.items():
        change(everything.world, rows_kept, new_labels)
        other = Runtime(store=f"{runtime.store}-{run_id}", device="cpu")
        everything.run(other, run_id)
        after = everything.said(other, run_id)
        assert len(after) * 120 == len(before) * len(rows_kept)
        assert {place for place, (predicted, _) in after.items() if before[place][0] != predicted} == set()
        moved = {place: abs(before[place][1] - chance) for place, (_, chance) in after.items()}
        assert max(moved.values()) < 1e-6, "other parts of images are multiplied in other blocks, which round otherwise"


@pytest.mark.slow
def test_every_row_says_what_its_method_has_read(tmp_path: Path, runtime: Runtime) -> None:
    Everything(tmp_path).run(runtime, "run-1")
    columns = "reads_labels, reads_unlabelled_images, assumes_balance, reads_texts"
    found = {row[0]: row[1:] for row in rows(runtime, f"SELECT DISTINCT method, {columns} FROM metrics")}
    coder = "class_name+synonym+attribute+analogous_class"
    assert found["clip"] == ("none", False, False, "class_name")
    assert found["coder"] == ("none", False, False, coder)
    assert found["coder_support_selected"] == ("support", False, False, coder)
    assert found["coder_calibrated"] == ("validation", False, False, coder)
    assert found["coder_rerank"] == ("validation", False, False, f"{coder}+one_to_one")
    few = {row[0]: row[1:] for row in rows(runtime, f"SELECT DISTINCT method, {columns} FROM few_shot_summary")}
    assert few["lda"] == ("support+validation", False, False, "class_name")
    assert few["text_pool"] == ("support+validation", False, False, "class_name+attribute+analogous_class")
    compared = rows(
        runtime, f"SELECT count(*) FROM comparisons WHERE {' IS NULL OR '.join(columns.split(', '))} IS NULL"
    )
    assert compared == [(0,)]


def test_contracts_add_up() -> None:
    stage1 = InputContract(reads_labels="validation", reads_texts=("class_name",))
    more = stage1.also(labels="support", unlabelled_images=True, balance=True, texts=("class_name", "vocabulary"))
    assert more.columns() == {
        "reads_labels": "support+validation",
        "reads_unlabelled_images": True,
        "assumes_balance": True,
        "reads_texts": "class_name+vocabulary",
    }
    assert stage1.also() == stage1
    assert stage1.also(labels="test").reads_labels == "test"
    assert InputContract().columns()["reads_texts"] == "none"


def test_images_alone_ask_for_no_text(tmp_path: Path, runtime: Runtime) -> None:
    everything = Everything(tmp_path)
    settings = {
        "name": "alone",
        "dataset": everything.world.settings["dataset"],
        "encoder": {"kind": "precomputed"},
        "few_shot": {"pool": everything.pool, "shots": [2], "draws": 1},
    }
    world = World(everything.world.folder, settings)
    assert run_spec(world.spec(), runtime).result.metrics == ()
    found = rows(runtime, "SELECT method, reads_texts FROM few_shot ORDER BY ALL")
    assert found == [(method, "none") for method in sorted(IMAGES_ALONE)]
    with pytest.raises(FeatureFileError, match=r"encoder.texts: 4 of 4 texts have no feature"):
        run_spec(world.spec(methods=["clip"]), runtime, "run-2")


def test_likelihood_is_exact_and_a_temperature_improves_it(tmp_path: Path, runtime: Runtime) -> None:
    run = Everything(tmp_path).run(runtime, "run-1", methods=["coder"], few_shot=None, rerank={})
    context, manifest = Context.open(runtime), run.manifest
    names = [part.name for part in context.parts(manifest.images)]
    usable = [usable_images(context, manifest.images, name) for name in names]
    vectors = np.vstack([read_vectors(context, manifest.encoder, table).numpy() for table in usable])
    labels = np.repeat(np.arange(4), 30)
    losses = {}
    for method in ("coder", "coder_calibrated"):
        classifier = read_classifier(context, manifest.method(method).classifier)
        scores = classifier.logits(read_vectors(context, manifest.encoder, usable[0])).double().numpy()
        chances = np.exp(scores - scores.max(1, keepdims=True))
        chances /= chances.sum(1, keepdims=True)
        losses[method] = -np.log(chances[np.arange(120), labels]).mean()
        told = f"SELECT value FROM metrics WHERE method = '{method}' AND metric = 'negative_log_likelihood'"
        assert rows(runtime, told) == [(pytest.approx(losses[method], rel=1e-5),)]
        again = restore_classifier(classifier.state())
        assert again.shape == classifier.shape
    assert len(vectors) == 120
    assert losses["coder_calibrated"] < losses["coder"]
    top1 = rows(runtime, "SELECT DISTINCT value FROM metrics WHERE metric = 'top1'")
    assert len(top1) == 1, "a temperature changes no decision"
    counted = (
        "SELECT method, sum(n), sum(n * abs(confidence - accuracy)) / sum(n) FROM reliability GROUP BY 1 ORDER BY 1"
    )
    errors = "SELECT method, 120, value FROM metrics WHERE metric = 'expected_calibration_error' ORDER BY 1"
    assert [(m, n, pytest.approx(e, abs=1e-6)) for m, n, e in rows(runtime, errors)] == rows(runtime, counted)


@pytest.mark.slow
def test_a_batch_suggests_a_temperature_without_a_label(tmp_path: Path, runtime: Runtime) -> None:
    everything = Everything(tmp_path)
    changes = {"methods": ["clip", "coder"], "few_shot": None, "rerank": {}, "calibrate": "batch", "validation": None}
    run = everything.run(runtime, "run-1", **changes)
    contract = run.manifest.method("coder_calibrated").contract
    assert contract is not None
    assert (contract.reads_labels, contract.reads_unlabelled_images, contract.assumes_balance) == ("none", True, False)
    before = everything.said(runtime, "run-1")
    decided = {image_id: said[0] for (method, image_id), said in before.items() if method == "coder_calibrated"}
    assert decided == {image_id: said[0] for (method, image_id), said in before.items() if method == "coder"}
    assert any(note.startswith("coder_calibrated: temperature ") for note in run.result.notes)
    change(everything.world, np.arange(120), np.random.default_rng(3).permutation(np.repeat(np.arange(4), 30)))
    other = Runtime(store=f"{runtime.store}-2", device="cpu")
    everything.run(other, "run-2", **changes)
    assert everything.said(other, "run-2") == before


@pytest.mark.slow
def test_images_of_one_group_are_no_further_evidence(tmp_path: Path, runtime: Runtime) -> None:
    everything = Everything(tmp_path)
    plain = {"methods": ["clip", "coder"], "few_shot": None, "rerank": {}, "calibrate": False}
    everything.run(runtime, "run-1", **plain)
    everything.run(runtime, "run-2", **plain, groups={"pattern": r"^bird_(\d+)"})
    rewrite_features(everything.world, birds=np.arange(120) // 2)
    everything.run(runtime, "run-3", **plain, groups={"column": "birds"})
    told = "SELECT run_id, groups, value, ci_low, ci_high FROM metrics WHERE method = 'coder' AND metric = 'top1'"
    alone, named, listed = sorted(rows(runtime, told))
    assert (alone[1], named[1], listed[1]) == (None, 60, 60)
    assert alone[2] == named[2] == listed[2]
    assert named[2:] == listed[2:], "a pattern and a column that say the same"
    p_values = "SELECT run_id, p_value FROM comparisons WHERE metric = 'top1' ORDER BY 1"
    (_, alone_p), (_, named_p), _ = rows(runtime, p_values)
    assert 0 < named_p <= 1
    assert named_p != alone_p
