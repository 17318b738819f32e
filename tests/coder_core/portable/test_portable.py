"""A classifier leaves its run: the same answers elsewhere, and a refusal wherever they would mean nothing."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from coder_core import load_classifier
from coder_core.errors import CheckpointError, ClassifierStateError, ConfigError, InputError
from coder_core.pipeline.context import Context
from coder_core.pipeline.run_manifest import RunManifest
from coder_core.pipeline.runner import inline_runner
from coder_core.recipes.evaluate import evaluate
from coder_core.recipes.export_classifier import export_classifier
from coder_core.recipes.predict import predict
from coder_core.recipes.published_runs import open_run
from coder_core.report.prediction_table import read_named
from coder_core.specs import Runtime
from coder_core.storage.store import Store
from tests.fixtures_inputs import NAMES, World, write_photos, write_tiny_clip

pytestmark = pytest.mark.slow

WITHOUT_STORE = """
import sys
from coder_core import load_classifier
classifier = load_classifier(sys.argv[1], device="cpu")
answers = classifier.predict(sys.argv[2:])
print([answer.label for answer in answers], [name for name in ("prefect", "duckdb") if name in sys.modules])
"""


class Published(NamedTuple):
    world: World
    runtime: Runtime
    manifest: RunManifest

    def export(self, folder: Path, **options: Any) -> Path:
        with inline_runner(self.runtime) as run:
            export_classifier(self.manifest, folder, run, **options)
        return folder

    @property
    def images(self) -> list[str]:
        return sorted(map(str, (self.world.folder / "images").rglob("*.png")))


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """A run with validation images and few-shot methods, whose encoder lies in a folder of its own."""
    root = tmp_path_factory.mktemp("published")
    (root / "clip").mkdir()
    clip = write_tiny_clip(root / "clip")
    world = write_photos(root / "test", clip, images_per_class=4)
    for name, first in (("validation", 10), ("pool", 20)):
        write_photos(root / name, clip, images_per_class=4, first_image=first)
    few_shot = {"pool": folder_of(root / "pool"), "shots": [2], "draws": 1, "methods": ["lda", "tip_adapter"]}
    spec = world.spec(validation=folder_of(root / "validation"), calibrate=True, few_shot=few_shot)
    runtime = Runtime(store=str(root / "store"), device="cpu")
    with inline_runner(runtime) as run:
        result = evaluate(spec, run)
    return Published(world, runtime, open_run(Store(runtime.store), result.run_id))


def folder_of(world: Path) -> dict[str, str]:
    return {"kind": "folder", "path": str(world / "images")}


@pytest.fixture
def exported(published: Published, tmp_path: Path) -> Path:
    return published.export(tmp_path / "out")


@pytest.mark.parametrize("method", ["coder", "clip", "vcd", "coder_calibrated", "lda", "tip_adapter"])
def test_the_answers_are_those_of_the_run(method: str, published: Published, tmp_path: Path) -> None:
    folder = published.export(tmp_path / "out", method=method)
    answers = load_classifier(folder, device="cpu").predict(published.images)
    with inline_runner(published.runtime, run_id=published.manifest.run_id) as run:
        table = predict(published.manifest, published.images, run, method=method).table
    rows = list(read_named(Context.open(published.runtime), table))
    assert [answer.label for answer in answers] == [row.class_name for row in rows]
    assert [[name for name, _ in answer.top] for answer in answers] == [row.top5 for row in rows]
    if method == "coder_calibrated":  # its probabilities were calibrated in the run; others are calibrated on the way
        found = [answer.probability for answer in answers]
        assert np.allclose(np.array(found), [row.probability for row in rows], atol=1e-5)


def test_probabilities_add_up_and_the_gap_is_theirs(exported: Path, published: Published) -> None:
    for answer in load_classifier(exported, device="cpu").predict(published.images):
        probabilities = [probability for _, probability in answer.top]
        assert len(probabilities) == len(NAMES)
        assert np.isclose(sum(probabilities), 1, atol=1e-5)
        assert answer.gap == probabilities[0] - probabilities[1]


def test_none_of_these_is_said_below_the_cut(exported: Path, published: Published) -> None:
    classifier = load_classifier(exported, device="cpu")
    answers = classifier.predict(published.images, none_below=0.5)
    assert [answer.is_none_of_these for answer in answers] == [(answer.probability or 0) < 0.5 for answer in answers]
    folder = published.export(exported.parent / "sure", precision=0.0)  # every answer is right often enough
    card = load_classifier(folder, device="cpu").card
    assert card.none_of_these is not None
    assert (card.none_of_these.kept, card.none_of_these.images) == (16, 16)
    assert card.contract.reads_labels == "validation"


def test_every_kind_of_image_is_taken_and_a_broken_one_is_told(exported: Path, published: Published) -> None:
    classifier, path = load_classifier(exported, device="cpu"), published.images[0]
    (exported.parent / "broken.png").write_bytes(b"no image")
    given = [path, Path(path), Path(path).read_bytes(), Image.open(path), exported.parent / "broken.png", "nowhere.png"]
    answers = list(classifier.stream(iter(given), batch_size=2, workers=2))
    assert len({answer.label for answer in answers[:4]}) == 1
    assert [answer.problem is None for answer in answers] == [True] * 4 + [False] * 2
    assert [answer.image for answer in answers][2:4] == ["image 2", "image 3"]


def test_a_stream_reads_no_further_ahead_than_some_batches(exported: Path, published: Published) -> None:
    read = 0

    def images() -> Iterator[str]:
        nonlocal read
        while True:
            read += 1
            yield published.images[0]

    stream = load_classifier(exported, device="cpu").stream(images(), batch_size=4, workers=2)
    assert [next(stream).problem for _ in range(9)] == [None] * 9
    stream.close()
    assert read <= 9 + 4 * 4


@pytest.mark.parametrize("method", ["coder", "clip", "coder_calibrated"])
def test_the_texts_add_up_to_the_margin(method: str, published: Published, tmp_path: Path) -> None:
    classifier = load_classifier(published.export(tmp_path / "out", method=method), device="cpu")
    for answer in classifier.predict(published.images[:3], explain=True):
        (_, best), (_, second), *_ = answer.top
        assert np.isclose(sum(share.share for share in answer.texts), np.log(best / second), atol=1e-3)
        assert {share.class_name for share in answer.texts} == {name for name, _ in answer.top[:2]}


def test_what_cannot_be_explained_says_so(published: Published, tmp_path: Path) -> None:
    bare = load_classifier(published.export(tmp_path / "bare", with_texts=False), device="cpu")
    with pytest.raises(ConfigError, match="exported without its texts"):
        bare.predict(published.images, explain=True)


def test_a_folder_moves_and_so_does_its_encoder(exported: Path, published: Published, tmp_path: Path) -> None:
    moved = shutil.copytree(exported, tmp_path / "elsewhere")
    clip = shutil.copytree(published.world.settings["encoder"]["checkpoint"], tmp_path / "my-clip")
    card = json.loads((moved / "classifier.json").read_text())
    assert card["encoder"]["preprocessing"]["image_size"] == 16
    answers = load_classifier(moved, encoder=str(clip), device="cpu").predict(published.images)
    assert answers == load_classifier(exported, device="cpu").predict(published.images)


def test_another_encoder_is_refused(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = write_tiny_clip(tmp_path / "other", seed=1)
    with pytest.raises(CheckpointError, match="weights, preprocessing or numerics differ"):
        load_classifier(exported, encoder=str(other))
    with pytest.raises(CheckpointError, match="no such folder"):
        load_classifier(exported, encoder=str(tmp_path / "nowhere"))


@pytest.mark.parametrize("file", ["classifier.json", "classifier.safetensors", "texts.safetensors"])
def test_what_was_edited_by_hand_is_refused(file: str, exported: Path, published: Published) -> None:
    place = exported / file
    content = place.read_bytes()
    place.write_bytes(content.replace(b'"wren"', b'"wrens"') if file.endswith("json") else content[:-1] + b"\x7f")
    with pytest.raises(ClassifierStateError, match="edited"):
        load_classifier(exported, device="cpu").predict(published.images[:1], explain=True)


def test_a_folder_is_no_classifier_or_holds_something_else(published: Published, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no exported classifier"):
        load_classifier(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="holds other files"):
        published.export(tmp_path)
    folder = published.export(tmp_path / "out")
    with pytest.raises(InputError, match="--force"):
        published.export(folder, method="clip")
    published.export(folder, method="clip", is_forced=True)
    assert load_classifier(folder, device="cpu").card.method == "clip"


@pytest.mark.parametrize("method", ["clip", "vcd", "clip_calibrated"])
def test_onnx_gives_the_same_probabilities(method: str, published: Published, tmp_path: Path) -> None:
    reference = pytest.importorskip("onnx.reference")
    folder = published.export(tmp_path / "out", method=method, with_onnx=True)
    classifier = load_classifier(folder, device="cpu")
    answers = classifier.predict(published.images)
    session = reference.ReferenceEvaluator(str(folder / "classifier.onnx"))
    generator = np.random.default_rng(0)
    vectors = generator.standard_normal((5, classifier.card.encoder.dim)).astype(np.float32)
    logits, probabilities = session.run(None, {"image_embeddings": vectors})
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    assert np.allclose(probabilities, shifted / shifted.sum(axis=1, keepdims=True), atol=1e-6)
    embedded = embeddings_of(classifier, published.images)
    _, probabilities = session.run(None, {"image_embeddings": embedded})
    assert np.allclose(probabilities.max(axis=1), [answer.probability for answer in answers], atol=1e-4)


def test_onnx_is_refused_where_there_is_no_single_matrix(published: Published, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not linear"):
        published.export(tmp_path / "out", method="tip_adapter", with_onnx=True)


@pytest.mark.thorough
def test_a_process_without_prefect_and_store_answers(exported: Path, published: Published) -> None:
    command = [sys.executable, "-c", WITHOUT_STORE, str(exported), *published.images[:2]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    labels = [answer.label for answer in load_classifier(exported, device="cpu").predict(published.images[:2])]
    assert done.stdout.strip() == f"{labels} []"


def embeddings_of(classifier: Any, images: list[str]) -> np.ndarray:
    from coder_core.portable.image_reading import prepare_batches

    (batch,) = prepare_batches(images, classifier._model, batch_size=len(images), workers=1)
    return np.asarray(classifier.embed(batch))
