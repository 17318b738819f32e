"""Few-shot in the store: against NumPy on the same draw, blind to test labels, and what it refuses."""

import json
import shutil
import zlib
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from PIL import Image

from coder_core.embedding.image_stream import VIEWS_VERSION, view_key
from coder_core.encoders.registry import load_encoder
from coder_core.errors import CoderError, ConfigError, DatasetError, LabelLeakError
from coder_core.few_shot.draws import draw_examples
from coder_core.fingerprint import content_hash
from coder_core.images.augmentation import augment
from coder_core.images.decoding import decode_image
from coder_core.pipeline.context import Context
from coder_core.specs import FewShotMethodName, Runtime, TransductionSpec
from coder_core.steps import few_shot_draw
from coder_core.steps.build_classifier import read_classifier
from coder_core.steps.predict_few_shot import read_few_shot_predictions
from tests.fixtures_inputs import NAMES, World, rewrite_features, write_image_class, write_world

from .runs import Run, counted_passes, permute_labels, rows, run_spec

QUICK = ("nearest_mean", "text_discriminant")
"""One method that reads images alone, and one that reads the texts of the metric."""


class Both:
    """A world to test on and another one to learn from."""

    def __init__(self, folder: Path) -> None:
        self.test = write_world(folder / "test")
        self.pool = write_world(folder / "pool", images_per_class=12, first_image=500)

    def spec(self, **few_shot: Any) -> Any:
        pool = {"kind": "features", "path": str(self.pool.folder / "images.npz")}
        settings = {"pool": pool, "shots": [2], "draws": 1, "methods": QUICK, **few_shot}
        return self.test.spec(methods=["clip"], matrix={"write": False}, few_shot=settings)


@pytest.fixture
def both(tmp_path: Path) -> Both:
    return Both(tmp_path)


def unit_features(world: World) -> tuple[np.ndarray, np.ndarray]:
    with np.load(world.folder / "images.npz") as file:
        features, labels = file["features"].astype(np.float64), file["labels"]
    return features / np.linalg.norm(features, axis=1, keepdims=True), labels


def said(runtime: Runtime, run: Run) -> dict[str, list[dict[str, Any]]]:
    """Key of each draw's predictions -> their rows."""
    assert run.manifest.few_shot is not None
    context = Context.open(runtime)
    return {draw.predictions.key: context.read(draw.predictions).to_pylist() for draw in run.manifest.few_shot.draws}


def test_nearest_mean_in_the_store_equals_numpy(both: Both, runtime: Runtime) -> None:
    run_spec(both.spec(shots=[1, 4], draws=2, methods=["nearest_mean"], zero_shot="none"), runtime)
    (pool, pool_labels), (images, labels) = unit_features(both.pool), unit_features(both.test)
    drawn = set()
    for shots, seed, top1 in rows(runtime, "SELECT shots, seed, top1 FROM few_shot"):
        support = draw_examples(pool_labels, shots=shots, seed=seed).support
        means = np.stack([pool[support][pool_labels[support] == c].mean(axis=0) for c in range(4)])
        means /= np.linalg.norm(means, axis=1, keepdims=True)
        assert top1 == pytest.approx(((images @ means.T).argmax(axis=1) == labels).mean())
        drawn.add((shots, seed))
    assert drawn == {(1, 1), (1, 2), (4, 1), (4, 2)}
    summary = "SELECT shots, draws, top1, top1_std FROM few_shot_summary ORDER BY 1"
    for shots, draws, mean, spread in rows(runtime, summary):
        found = [row[0] for row in rows(runtime, f"SELECT top1 FROM few_shot WHERE shots = {shots}")]
        assert (draws, mean, spread) == (2, pytest.approx(np.mean(found)), pytest.approx(np.std(found, ddof=1)))


@pytest.mark.slow
def test_every_method_is_better_than_chance_and_says_what_it_chose(both: Both, runtime: Runtime) -> None:
    everyone = get_args(FewShotMethodName)
    run = run_spec(both.spec(methods=everyone, shots=[1, 4]), runtime)
    found = rows(runtime, "SELECT method, shots, top1, settings, chosen_on, chosen_n, chosen_accuracy FROM few_shot")
    assert sorted(row[:2] for row in found) == sorted((method, shots) for method in everyone for shots in (1, 4))
    for method, shots, top1, settings, source, n, accuracy in found:
        assert top1 > 1.5 / len(NAMES), method
        assert (source, n) == ("validation", 48 - 4 * shots)
        assert 0 < accuracy <= 1
        assert any(name.endswith("weight") for name in json.loads(settings))
    counted = "SELECT method, shots, avg(is_correct::INT) FROM few_shot_predictions GROUP BY ALL ORDER BY ALL"
    reported = rows(runtime, "SELECT method, shots, top1 FROM few_shot ORDER BY 1, 2")
    assert rows(runtime, counted) == [(method, shots, pytest.approx(top1)) for method, shots, top1 in reported]
    assert run.record("predict_few_shot_1").computed == 120


def test_permuted_test_labels_leave_every_prediction_as_it_is(both: Both, runtime: Runtime) -> None:
    before = said(runtime, run_spec(both.spec(), runtime))
    permute_labels(both.test)
    other = Runtime(store=f"{runtime.store}-2", device="cpu")
    assert said(other, run_spec(both.spec(), other)) == before
    permute_labels(both.pool)
    assert not set(said(runtime, run_spec(both.spec(), runtime, "run-3"))) & set(before)


@pytest.mark.slow
def test_a_second_run_fits_nothing_and_a_further_draw_costs_only_itself(both: Both, runtime: Runtime) -> None:
    run_spec(both.spec(shots=[1, 4]), runtime, "run-1")
    again = run_spec(both.spec(shots=[1, 4]), runtime, "run-2")
    more = run_spec(both.spec(shots=[1, 4], draws=2), runtime, "run-3")
    assert again.computed == {}
    assert [record.computed for record in more.records("predict_few_shot")] == [0, 120, 0, 120]
    assert [record.computed > 0 for record in more.records("fit_few_shot")] == [False, True] * 2


@pytest.mark.slow
@pytest.mark.parametrize(("shots", "source"), [(1, "default"), (2, "leave_one_out")])
def test_without_validation_images_the_table_says_so(both: Both, runtime: Runtime, shots: int, source: str) -> None:
    methods = ["nearest_mean", "tip_adapter"]
    run_spec(both.spec(shots=[shots], validation_per_class=0, methods=methods), runtime)
    assert set(rows(runtime, "SELECT chosen_on FROM few_shot")) == {(source,)}


@pytest.mark.slow
def test_test_images_in_the_pool_are_refused_or_left_out_and_counted(both: Both, runtime: Runtime) -> None:
    (pool, labels), (images, _) = unit_features(both.pool), unit_features(both.test)
    with np.load(both.test.folder / "images.npz") as file:
        leaked = file["features"][:3]
    rewrite_features(both.pool, features=np.vstack([leaked, pool[3:]]), labels=labels)
    assert len(images) == 120
    with pytest.raises(LabelLeakError, match=r"3 images of few_shot.pool are test images as well"):
        run_spec(both.spec(), runtime)
    run_spec(both.spec(drop_shared=True), runtime)
    assert set(rows(runtime, "SELECT pool_images_dropped FROM few_shot")) == {(3,)}


@pytest.mark.parametrize(
    ("few_shot", "error", "message"),
    [
        ({"shots": [13]}, DatasetError, "class 0 has 12 labelled images, 13 shots"),
        ({"zero_shot": "clip_ensemble", "texts": {"path": "nowhere.npz"}}, CoderError, "nowhere.npz"),
    ],
)
def test_what_cannot_be_learnt_from_is_refused(
    both: Both, runtime: Runtime, few_shot: dict[str, Any], error: type[CoderError], message: str
) -> None:
    with pytest.raises(error, match=message):
        run_spec(both.spec(**few_shot), runtime)


def test_a_pool_of_other_classes_is_refused(both: Both, tmp_path: Path, runtime: Runtime) -> None:
    shutil.rmtree(both.pool.folder)
    write_world(tmp_path / "pool", (*NAMES[:3], "robin"), images_per_class=12, first_image=500)
    with pytest.raises(DatasetError, match=r"few_shot\.pool.*its class list is another one.*'robin' instead of 'wren'"):
        run_spec(both.spec(), runtime)


def test_few_shot_can_stand_alone_with_texts_of_a_file(both: Both, runtime: Runtime) -> None:
    texts = {"path": str(both.test.folder / "texts.npz")}
    spec = both.spec(zero_shot="none", texts=texts).model_copy(update={"methods": ()})
    run = run_spec(spec, runtime)
    assert run.manifest.text_embeddings.rows == 0
    assert len(rows(runtime, "SELECT * FROM few_shot")) == len(QUICK)


@pytest.mark.slow
def test_support_images_stand_at_the_mean_of_their_views(photos: World, tmp_path: Path, runtime: Runtime) -> None:
    for name in NAMES:
        write_image_class(tmp_path / "pool", name, 7)
        write_other_images(tmp_path / "test" / name, 5)
    pool = {"kind": "folder", "path": str(tmp_path / "pool")}
    test = {"kind": "folder", "path": str(tmp_path / "test")}
    few_shot = {"pool": pool, "shots": [2], "draws": 1, "methods": ["nearest_mean"], "zero_shot": "none", "views": 3}
    spec = photos.spec(dataset=test, methods=["clip"], few_shot=few_shot)
    with counted_passes() as passes:
        manifest = run_spec(spec, runtime).manifest
    assert sum(passes.images) == 20 + 28 + 8 * 3
    assert len(passes.images) == 3, "test, pool and all views: one pass each"
    assert manifest.few_shot is not None
    model = load_encoder(manifest.encoder, device="cpu")

    def embed(image: Image.Image) -> np.ndarray:
        return model.encode_images([model.prepare_image(image)])[0].astype(np.float64)

    labels = np.repeat(np.arange(4), 7)
    files = sorted((tmp_path / "pool").rglob("*.png"))
    means = np.zeros((4, 16))
    for row in draw_examples(labels, shots=2, seed=1).support:
        content = files[row].read_bytes()
        seeds = [int(view_key(content_hash(content), view)[:16], 16) for view in range(3)]
        views = np.mean([embed(augment(decode_image(content), seed=seed)) for seed in seeds], axis=0)
        means[labels[row]] += views / np.linalg.norm(views) / 2
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    (draw,) = manifest.few_shot.draws
    predictions = read_few_shot_predictions(Context.open(runtime), draw.predictions, "nearest_mean").predictions
    for image_id, predicted in zip(predictions.image_ids, predictions.top_ids[:, 0], strict=True):
        image = embed(decode_image((tmp_path / "test" / image_id).read_bytes()))
        assert predicted == int((means @ image).argmax())
    assert run_spec(spec, runtime, "run-2").computed == {}
    further = spec.few_shot.model_copy(update={"views": 5})
    with counted_passes() as passes:
        run_spec(spec.model_copy(update={"few_shot": further}), runtime, "run-3")
    assert passes.images == [8 * 2], "two views more of every support image; three are known"


def test_the_key_of_a_fit_knows_the_version_of_its_views() -> None:
    assert few_shot_draw.VIEWS_VERSION == VIEWS_VERSION


def test_features_have_no_views(both: Both) -> None:
    with pytest.raises(ConfigError, match="augmented views need images"):
        both.spec(views=2)


def write_other_images(folder: Path, count: int) -> None:
    """Images that no other fixture writes."""
    folder.mkdir(parents=True)
    for number in range(count):
        generator = np.random.default_rng([number, zlib.crc32(folder.name.encode())])
        Image.fromarray(generator.integers(0, 256, (18, 22, 3), dtype=np.uint8)).save(folder / f"{number}.png")


def losses_by_hand(scores: np.ndarray, labels: np.ndarray, temperature: float) -> tuple[float, float, np.ndarray]:
    """Calibration error and likelihood of cosines at a temperature, and the probabilities, image by image."""
    chances = np.exp(scores / temperature - (scores / temperature).max(axis=1, keepdims=True))
    chances /= chances.sum(axis=1, keepdims=True)
    sure, hits = chances.max(axis=1), scores.argmax(axis=1) == labels
    error = 0.0
    for place in range(15):
        own = [row for row in range(len(labels)) if place < max(sure[row] * 15, 1e-9) <= place + 1]
        error += abs(sum(hits[row] - sure[row] for row in own)) / len(labels)
    return error, -np.log(chances[np.arange(len(labels)), labels]).mean(), sure


def test_calibration_in_the_store_equals_numpy(both: Both, runtime: Runtime) -> None:
    """A nearest mean of cosines: temperature by a scan, error and likelihood before and after by hand."""
    run_spec(both.spec(methods=["nearest_mean"], zero_shot="none"), runtime)
    (pool, pool_labels), (images, labels) = unit_features(both.pool), unit_features(both.test)
    draw = draw_examples(pool_labels, shots=2, seed=1)
    means = np.stack([pool[draw.support][pool_labels[draw.support] == c].mean(axis=0) for c in range(4)])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    own, own_labels = pool[draw.validation] @ means.T, pool_labels[draw.validation]
    n = len(own)

    def smoothed(temperature: float) -> float:
        scaled = own / temperature
        shares = scaled - np.log(np.exp(scaled).sum(axis=1, keepdims=True))
        return float(-(n * shares[np.arange(n), own_labels] + shares.mean(axis=1)).mean() / (n + 1))

    scanned = min(np.geomspace(1e-3, 10, 4000), key=smoothed)
    error = "expected_calibration_error"
    columns = (
        f"temperature, {error}, negative_log_likelihood, {error}_uncalibrated, negative_log_likelihood_uncalibrated"
    )
    ((temperature, *found),) = rows(runtime, f"SELECT {columns} FROM few_shot")
    assert temperature == pytest.approx(scanned, rel=0.003)
    after, before = (losses_by_hand(images @ means.T, labels, heat) for heat in (temperature, 1.0))
    assert found == pytest.approx([*after[:2], *before[:2]], abs=1e-4)
    assert after[1] < before[1]
    assert after[0] < before[0]
    told = rows(
        runtime, "SELECT probability, probability_uncalibrated FROM few_shot_predictions ORDER BY image_id::INT"
    )
    np.testing.assert_allclose(np.array(told), np.stack([after[2], before[2]], axis=1), atol=1e-4)
    share = "sum(n * abs(confidence - accuracy)) / sum(n)"
    counted = f"SELECT is_calibrated, sum(n), {share} FROM few_shot_reliability GROUP BY 1 ORDER BY 1"
    assert rows(runtime, counted) == [(False, 120, pytest.approx(found[2])), (True, 120, pytest.approx(found[0]))]
    low, high, chance = rows(runtime, f"SELECT {error}_low, {error}_high, {error}_by_chance FROM few_shot")[0]
    assert 0 <= low <= found[0] <= high <= 1
    assert 0 < chance < 0.2
    summary = f"SELECT calibrated_on, {columns.removeprefix('temperature, ')} FROM few_shot_summary"
    assert rows(runtime, summary) == [("validation", *found)]


@pytest.mark.slow
@pytest.mark.parametrize("shots", [1, 4])
def test_a_temperature_helps_every_method_and_moves_no_decision(both: Both, runtime: Runtime, shots: int) -> None:
    everyone = get_args(FewShotMethodName)
    transduction = {"methods": ["batch_discriminant", "sinkhorn"], "stage1": ["lda"]}
    spec = both.spec(methods=everyone, shots=[shots], zero_shot="clip")
    run = run_spec(spec.model_copy(update={"transduction": TransductionSpec(**transduction)}), runtime)
    loss = "negative_log_likelihood"
    found = rows(runtime, f"SELECT method, calibrated_on, {loss}, {loss}_uncalibrated FROM few_shot")
    assert len(found) == len(everyone) + 2
    sources = {"stated": "none", "nothing": "validation"}
    moved = {m: sources.get(batch, "stage1") for m, batch in rows(runtime, "SELECT method, batch FROM transductions")}
    for method, source, after, before in found:
        assert source == moved.get(method, "validation"), method
        assert after < before + 0.02, method
    context = Context.open(runtime)
    assert run.manifest.few_shot is not None
    images = torch.from_numpy(unit_features(both.test)[0]).float()
    for draw in run.manifest.few_shot.draws:
        for method in draw.fits.choices:
            said = read_few_shot_predictions(context, draw.predictions, method)
            classifier = read_classifier(context, draw.fits, method)
            inner = getattr(classifier, "inner", classifier)
            assert said.predictions.top_ids[:, 0].tolist() == inner.logits(images).argmax(dim=1).tolist()
            chances = classifier.logits(images).softmax(dim=1).amax(dim=1).numpy()
            np.testing.assert_allclose(said.predictions.top_probabilities[:, 0], chances, atol=2e-5)


@pytest.mark.slow
def test_without_validation_scores_stay_as_they_are_or_the_batch_says(both: Both, runtime: Runtime) -> None:
    """The batch is a guess: it speaks where it is of all classes, and its rows say that they have read it."""
    columns = "calibrated_on, temperature = 1, reads_labels, reads_unlabelled_images, chosen_on"
    equal = "bool_and(probability = probability_uncalibrated)"
    spec = both.spec(validation_per_class=0)
    run_spec(spec, runtime)
    assert set(rows(runtime, f"SELECT {columns} FROM few_shot")) == {("none", True, "support", False, "leave_one_out")}
    assert rows(runtime, f"SELECT {equal} FROM few_shot_predictions") == [(True,)]
    assert rows(runtime, "SELECT DISTINCT is_calibrated FROM few_shot_reliability") == [(False,)]
    by_batch = spec.model_copy(update={"calibrate": "batch"})
    told = "SELECT method, image_id, predicted, probability FROM few_shot_predictions ORDER BY ALL"
    stores = [Runtime(store=f"{runtime.store}-{number}", device="cpu") for number in (2, 3)]
    run_spec(by_batch, stores[0])
    assert set(rows(stores[0], f"SELECT {columns} FROM few_shot")) == {
        ("batch", False, "support", True, "leave_one_out")
    }
    permute_labels(both.test)
    run_spec(by_batch, stores[1])
    assert rows(stores[0], told) == rows(stores[1], told)
    decided = "SELECT method, image_id, predicted FROM few_shot_predictions ORDER BY ALL"
    assert rows(runtime, decided) == rows(stores[0], decided)


@pytest.mark.slow
def test_intervals_are_over_groups_where_images_come_in_groups(both: Both, runtime: Runtime) -> None:
    crops = np.array([f"bird_{row // 2}_crop_{row % 2}" for row in range(120)])
    features, labels = unit_features(both.test)
    rewrite_features(both.test, features=features, labels=labels, image_ids=crops)
    source = {**both.test.settings["dataset"], "image_ids": "image_ids"}
    pool = both.spec().few_shot
    widths = []
    for groups in (None, {"pattern": r"^bird_(\d+)"}):
        store = Runtime(store=f"{runtime.store}-{bool(groups)}", device="cpu")
        run_spec(both.test.spec(methods=["clip"], few_shot=pool.model_dump(), dataset=source, groups=groups), store)
        ((n, low, high, *_),) = rows(
            store, "SELECT DISTINCT groups, ci_low, ci_high FROM few_shot WHERE method = 'nearest_mean'"
        )
        widths.append((n, high - low))
    assert [n for n, _ in widths] == [None, 60]
    assert widths[0][1] != widths[1][1]
