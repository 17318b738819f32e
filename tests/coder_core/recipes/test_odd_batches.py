"""Batches that can teach nothing, or nothing good, through a whole run: answers for every image, and the reason."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from coder_core.errors import FeatureFileError
from coder_core.pipeline.context import Context
from coder_core.specs import Runtime
from coder_core.steps.predict_images import read_predictions
from tests.fixtures_inputs import NAMES, World, rewrite_features, write_world

from .runs import Run, rows, run_spec

ZERO_SHOT = {"methods": ["batch_discriminant", "class_prior", "sinkhorn", "transclip", "stata"]}
FEW_SHOT = {"methods": ["batch_discriminant"], "stage1": ["clip", "lda"]}
Arrays = dict[str, np.ndarray]


def images_of(world: World) -> Arrays:
    with np.load(world.folder / "images.npz") as file:
        return {name: file[name] for name in ("features", "labels")}


def write(folder: Path, arrays: Arrays) -> World:
    """A world whose images under test are others, and a pool."""
    world = write_world(folder / "test")
    rewrite_features(world, **arrays)
    write_world(folder / "pool", images_per_class=6, first_image=500)
    pool = {"kind": "features", "path": str(folder / "pool" / "images.npz")}
    few_shot = {"pool": pool, "shots": [2], "draws": 1, "methods": ["lda"]}
    return World(world.folder, {**world.settings, "methods": ["clip"], "few_shot": few_shot, "matrix": {}})


def only(rows_kept: list[int]) -> Callable[[Arrays], Arrays]:
    return lambda arrays: {name: array[rows_kept] for name, array in arrays.items()}


def from_nowhere(arrays: Arrays) -> Arrays:
    return {**arrays, "features": np.random.default_rng(3).standard_normal(arrays["features"].shape)}


def all_the_same(arrays: Arrays) -> Arrays:
    return {**arrays, "features": np.tile(arrays["features"][:1], (len(arrays["labels"]), 1))}


TEACHES_NOTHING = {
    "one image": only([3]),
    "more classes than images": only([0, 40, 80]),
    "all images the same": all_the_same,
}
ODD = {"a class without any image": only([row for row in range(120) if row >= 30]), "another domain": from_nowhere}


def said(run: Run, runtime: Runtime) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    context = Context.open(runtime)
    found = {name: read_predictions(context, artifact, name) for name, artifact in run.predictions.items()}
    return {name: (one.top_ids[:, 0], one.top_probabilities) for name, one in found.items()}


@pytest.mark.slow
@pytest.mark.parametrize("case", TEACHES_NOTHING)
def test_stage_1_comes_back_with_the_reason(case: str, tmp_path: Path, runtime: Runtime) -> None:
    world = write(tmp_path, TEACHES_NOTHING[case](images_of(write_world(tmp_path / "source"))))
    run = run_spec(world.spec(transduction=FEW_SHOT), runtime)
    answers = said(run, runtime)
    assert all(
        np.array_equal(*pair) for pair in zip(answers["clip"], answers["batch_discriminant_on_clip"], strict=True)
    )
    told = "SELECT method, predicted, probability FROM few_shot_predictions WHERE method {} 'lda' ORDER BY image_id"
    below, moved = (rows(runtime, told.format(sign)) for sign in ("=", "!="))
    assert [row[1] for row in below] == [row[1] for row in moved]
    found = rows(runtime, "SELECT batch, reason FROM transductions")
    assert len(found) == 2
    assert all(batch == "nothing" and reason.startswith("stage 1 unchanged: ") for batch, reason in found)


@pytest.mark.slow
@pytest.mark.parametrize("case", [*TEACHES_NOTHING, *ODD])
def test_every_method_gives_finite_answers(case: str, tmp_path: Path, runtime: Runtime) -> None:
    world = write(tmp_path, (TEACHES_NOTHING | ODD)[case](images_of(write_world(tmp_path / "source"))))
    run = run_spec(world.spec(transduction=ZERO_SHOT), runtime)
    for method, (_, chances) in said(run, runtime).items():
        assert np.isfinite(chances).all(), method
        np.testing.assert_allclose(chances.sum(axis=1), 1, atol=1e-4, err_msg=method)
    assert rows(runtime, "SELECT count(*) FROM transductions WHERE reason = ''") == [(0,)]


@pytest.mark.slow
def test_one_class_leaves_nothing_to_tell_apart(tmp_path: Path, runtime: Runtime) -> None:
    world = write_world(tmp_path, NAMES[:1])
    run_spec(world.spec(methods=["clip"], matrix={}, transduction=ZERO_SHOT), runtime)
    one_class = (
        "SELECT DISTINCT reason FROM transductions WHERE method NOT LIKE 'class_prior%' AND method NOT LIKE 'sink%'"
    )
    assert rows(runtime, one_class) == [("stage 1 unchanged: there is one class",)]


@pytest.mark.slow
def test_classes_whose_texts_are_equal_get_equal_answers(tmp_path: Path, runtime: Runtime) -> None:
    world = write(tmp_path, images_of(write_world(tmp_path / "source")))
    with np.load(world.folder / "texts.npz") as file:
        arrays = dict(file)
    texts = arrays["texts"].tolist()
    first, second = (
        next(row for row, text in enumerate(texts) if text == f"a photo of a {name}, a type of bird.")
        for name in NAMES[:2]
    )
    arrays["features"][second] = arrays["features"][first]
    np.savez(world.folder / "texts.npz", **arrays)
    run = run_spec(world.spec(transduction=ZERO_SHOT), runtime)
    for method, (best, chances) in said(run, runtime).items():
        assert np.isfinite(chances).all(), method
        if method == "stata_on_clip":  # counts every image for its best class, the first of equals
            continue
        tied = best <= 1
        np.testing.assert_allclose(chances[tied, 0], chances[tied, 1], atol=1e-3, err_msg=method)


def test_features_that_are_no_numbers_are_refused_with_their_row(tmp_path: Path, runtime: Runtime) -> None:
    arrays = images_of(write_world(tmp_path / "source"))
    arrays["features"][7] = np.nan
    world = write(tmp_path, arrays)
    with pytest.raises(FeatureFileError, match="NaN or infinity"):
        run_spec(world.spec(transduction=ZERO_SHOT), runtime)
