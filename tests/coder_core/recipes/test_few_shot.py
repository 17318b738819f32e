"""Few-shot in the store: against NumPy on the same draw, blind to test labels, and what it refuses."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coder_core.encoders.loading import load_encoder
from coder_core.steps.support_views import view_key
from PIL import Image

from coder_core import steps
from coder_core.errors import CoderError, ConfigError, DatasetError, LabelLeakError
from coder_core.few_shot.draws import draw_examples
from coder_core.fingerprint import content_hash
from coder_core.images.augmentation import augment
from coder_core.images.decoding import decode_image
from coder_core.specs import Runtime
from tests.fixtures_inputs import NAMES, World, rewrite_features, write_image_class, write_world

from .conftest import run_steps
from .test_rerank_steps import permute_labels, rows

pytestmark = pytest.mark.slow


class Both:
    """A world to test on and another one to learn from."""

    def __init__(self, folder: Path) -> None:
        self.test = write_world(folder / "test")
        self.pool = write_world(folder / "pool", images_per_class=12, first_image=500)

    def spec(self, **few_shot: Any) -> Any:
        pool = {"kind": "features", "path": str(self.pool.folder / "images.npz")}
        settings = {"pool": pool, "shots": [1, 4], "draws": 2, **few_shot}
        return self.test.spec(methods=["clip"], matrix={"write": False}, few_shot=settings)


@pytest.fixture
def both(tmp_path: Path) -> Both:
    return Both(tmp_path)


def unit_features(world: World) -> tuple[np.ndarray, np.ndarray]:
    with np.load(world.folder / "images.npz") as file:
        features, labels = file["features"].astype(np.float64), file["labels"]
    return features / np.linalg.norm(features, axis=1, keepdims=True), labels


def said(runtime: Runtime, evidence: Any) -> dict[str, list[dict[str, Any]]]:
    artifacts = steps.workplace.open_store(runtime)
    return {product.artifact.key: artifacts.read(product.artifact).to_pylist() for product in evidence.few_shot}


def test_nearest_mean_in_the_store_equals_numpy(both: Both, runtime: Runtime) -> None:
    run_steps(both.spec(methods=["nearest_mean"], zero_shot="none"), runtime)
    (pool, pool_labels), (images, labels) = unit_features(both.pool), unit_features(both.test)
    for shots, seed, top1 in rows(runtime, "SELECT shots, seed, top1 FROM few_shot"):
        drawn = draw_examples(pool_labels, shots=shots, seed=seed).support
        means = np.stack([pool[drawn][pool_labels[drawn] == c].mean(axis=0) for c in range(4)])
        means /= np.linalg.norm(means, axis=1, keepdims=True)
        assert top1 == pytest.approx(((images @ means.T).argmax(axis=1) == labels).mean())
    summary = "SELECT shots, draws, top1, top1_std FROM few_shot_summary ORDER BY 1"
    for shots, draws, mean, spread in rows(runtime, summary):
        found = [row[0] for row in rows(runtime, f"SELECT top1 FROM few_shot WHERE shots = {shots}")]
        assert (draws, mean, spread) == (2, pytest.approx(np.mean(found)), pytest.approx(np.std(found, ddof=1)))


def test_every_method_is_better_than_chance_and_says_what_it_chose(both: Both, runtime: Runtime) -> None:
    run_steps(both.spec(), runtime)
    told = rows(runtime, "SELECT method, shots, top1, settings, chosen_on, chosen_n, chosen_accuracy FROM few_shot")
    assert len(told) == 9 * 2 * 2
    for method, shots, top1, settings, source, n, accuracy in told:
        assert top1 > 1.5 / len(NAMES), method
        assert (source, n) == ("validation", 48 - 4 * shots)
        assert 0 < accuracy <= 1
        assert "weight" in json.loads(settings)


def test_permuted_test_labels_leave_every_prediction_as_it_is(both: Both, runtime: Runtime) -> None:
    before = said(runtime, run_steps(both.spec(), runtime).evidence)
    permute_labels(both.test)
    other = Runtime(store=f"{runtime.store}-2")
    assert said(other, run_steps(both.spec(), other).evidence) == before
    permute_labels(both.pool)
    assert not set(said(runtime, run_steps(both.spec(), runtime, "run-3").evidence)) & set(before)


def test_a_second_run_fits_nothing_and_a_further_draw_costs_only_itself(both: Both, runtime: Runtime) -> None:
    run_steps(both.spec(), runtime, "run-1")
    again = run_steps(both.spec(), runtime, "run-2").evidence.few_shot
    more = run_steps(both.spec(draws=3), runtime, "run-3").evidence.few_shot
    assert [product.computed for product in again] == [0, 0, 0, 0]
    assert [product.computed for product in more] == [0, 0, 120, 0, 0, 120]


@pytest.mark.parametrize(("shots", "source"), [(1, "default"), (4, "leave_one_out")])
def test_without_validation_images_the_table_says_so(both: Both, runtime: Runtime, shots: int, source: str) -> None:
    methods = ["nearest_mean", "tip_adapter", "text_discriminant"]
    run_steps(both.spec(shots=[shots], validation_per_class=0, methods=methods), runtime)
    assert set(rows(runtime, "SELECT chosen_on FROM few_shot")) == {(source,)}


def test_test_images_in_the_pool_are_refused_or_left_out_and_counted(both: Both, runtime: Runtime) -> None:
    (pool, labels), (images, _) = unit_features(both.pool), unit_features(both.test)
    with np.load(both.test.folder / "images.npz") as file:
        leaked = file["features"][:3]
    rewrite_features(both.pool, features=np.vstack([leaked, pool[3:]]), labels=labels)
    assert len(images) == 120
    with pytest.raises(LabelLeakError, match=r"3 images of few_shot.pool are test images as well"):
        run_steps(both.spec(), runtime)
    run_steps(both.spec(drop_shared=True), runtime)
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
        run_steps(both.spec(**few_shot), runtime)


def test_a_pool_of_other_classes_is_refused(both: Both, tmp_path: Path, runtime: Runtime) -> None:
    shutil.rmtree(both.pool.folder)
    write_world(tmp_path / "pool", (*NAMES[:3], "robin"), images_per_class=12, first_image=500)
    with pytest.raises(DatasetError, match=r"few_shot\.pool.*its class list is another one.*'robin' instead of 'wren'"):
        run_steps(both.spec(), runtime)


def test_few_shot_can_stand_alone_with_texts_of_a_file(both: Both, runtime: Runtime) -> None:
    texts = {"path": str(both.test.folder / "texts.npz")}
    spec = both.spec(zero_shot="none", texts=texts).model_copy(update={"methods": ()})
    evidence = run_steps(spec, runtime).evidence
    assert evidence.text_embeddings.artifact.rows == 0
    assert len(rows(runtime, "SELECT * FROM few_shot")) == 36


def test_support_images_stand_at_the_mean_of_their_views(photos: World, tmp_path: Path, runtime: Runtime) -> None:
    for name in NAMES:
        write_image_class(tmp_path / "pool", f"{name}", 7)
    pool = {"kind": "folder", "path": str(tmp_path / "pool")}
    test = {"kind": "folder", "path": str(tmp_path / "test")}
    for name in NAMES:
        write_other_images(tmp_path / "test" / name, 5)
    few_shot = {"pool": pool, "shots": [2], "draws": 1, "methods": ["nearest_mean"], "zero_shot": "none", "views": 3}
    spec = photos.spec(dataset=test, methods=["clip"], few_shot=few_shot)
    (product,) = run_steps(spec, runtime).evidence.few_shot
    artifacts = steps.workplace.open_store(runtime)
    encoder = steps.encoding.open_encoder(spec.encoder)
    model = load_encoder(encoder.spec, encoder.identity, device="cpu", batch_size=8)

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
    order = sorted(NAMES)
    said = artifacts.read(product.artifact)
    for image_id, predicted in zip(*(said.column(name).to_pylist() for name in said.column_names), strict=True):
        image = embed(decode_image((tmp_path / "test" / image_id).read_bytes()))
        assert order[predicted] == order[int((means @ image).argmax())]
    again = run_steps(spec, runtime, "run-2").evidence.few_shot
    assert [found.computed for found in again] == [0]


def test_features_have_no_views(both: Both) -> None:
    with pytest.raises(ConfigError, match="augmented views need images"):
        both.spec(views=2)


def write_other_images(folder: Path, count: int) -> None:
    """Images that no other fixture writes."""
    folder.mkdir(parents=True)
    for number in range(count):
        generator = np.random.default_rng([number, len(folder.name)])
        Image.fromarray(generator.integers(0, 256, (18, 22, 3), dtype=np.uint8)).save(folder / f"{number}.png")
