"""A small world: four classes, a text bank, and files of image and text features as another tool would write them."""

import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import yaml

from coder_core import steps
from coder_core.classes import ClassList
from coder_core.config import validate_spec
from coder_core.specs import EvalSpec, Runtime
from coder_core.steps.predictions import PredictionInputs
from coder_core.steps.results import EvalResult, Evidence
from coder_core.texts.bank_file import parse_text_bank
from coder_core.texts.domains import load_domains
from coder_core.texts.sentences import build_texts

DIM = 16
NAMES = ("red kite", "blue tit", "green finch", "wren")


class World(NamedTuple):
    """Files, and the settings of an evaluation that reads them."""

    folder: Path
    settings: dict[str, Any]

    def spec(self, **changes: Any) -> EvalSpec:
        return validate_spec({**self.settings, **changes}, place="test", base=str(self.folder))


class Outcome(NamedTuple):
    """What the steps made, in order."""

    evidence: Evidence
    result: EvalResult


def write_world(folder: Path, names: tuple[str, ...] = NAMES, *, images_per_class: int = 30) -> World:
    """Write bank, text features and image features for some classes; the same names always give the same rows."""
    bank = {
        "format": "coder-text-bank/1",
        "classes": [
            {
                "name": name,
                "attributes": [f"{name} mark {number}" for number in range(2 + len(name) % 3)],
                "analogous_classes": [f"{name} lookalike"],
                "synonyms": [f"{name} alias"] * (len(name) % 2),
            }
            for name in names
        ],
    }
    content = yaml.safe_dump(bank)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bank.yaml").write_text(content)
    classes = ClassList(names)
    table = build_texts(classes, parse_text_bank(content, place="bank", classes=classes), load_domains()["bird"])
    texts = table.unique_texts()
    vectors = np.stack([_vector(text) for text in texts])
    np.savez(folder / "texts.npz", texts=np.array(texts), features=vectors)
    labels = np.repeat(np.arange(len(names)), images_per_class)
    described = {row.class_id: texts.index(row.text) for row in table.rows if row.kind == "attribute"}
    noise = [_vector(f"{names[label]} {row % images_per_class}") for row, label in enumerate(labels)]
    images = np.stack([vectors[described[label]] for label in labels]) + 1.5 * np.stack(noise)
    np.savez(folder / "images.npz", features=images, labels=labels, class_names=np.array(names))
    settings = {
        "name": "world",
        "dataset": {"kind": "features", "path": str(folder / "images.npz")},
        "encoder": {"kind": "precomputed", "texts": [{"path": str(folder / "texts.npz")}]},
        "texts": {"bank": str(folder / "bank.yaml"), "domain": "bird"},
        "matrix": {"write": True},
    }
    return World(folder, settings)


def _vector(text: str) -> np.ndarray:
    vector = np.random.default_rng(zlib.crc32(text.encode())).standard_normal(DIM)
    return np.asarray(vector / np.linalg.norm(vector))


def run_steps(spec: EvalSpec, runtime: Runtime, run_id: str = "run-1") -> Outcome:
    """All steps in order, in this process and without a workflow engine."""
    dataset = steps.dataset.load_dataset(spec.dataset, runtime)
    encoder = steps.text_embeddings.open_encoder(spec.encoder)
    texts = steps.texts.write_texts(dataset.classes, spec.texts, steps.texts.kinds_needed(spec), runtime)
    text_embeddings = steps.text_embeddings.embed_texts(texts.artifact, encoder, runtime)
    images = dataset.images.artifact
    shards = steps.image_embeddings.plan_embedding(images, encoder, runtime)
    reports = [steps.image_embeddings.embed_image_shard(shard, images, encoder, runtime) for shard in shards]
    embedded = steps.image_embeddings.finish_image_embeddings(images, encoder, reports, runtime)
    matrix = None
    if spec.matrix.write:
        pair = (embedded.artifact, text_embeddings.artifact)
        shards = steps.coder_matrix.plan_matrix(*pair, runtime)
        written = [steps.coder_matrix.write_matrix_shard(shard, *pair, encoder, runtime) for shard in shards]
        matrix = steps.coder_matrix.finish_matrix(*pair, written, runtime)
    inputs = PredictionInputs(
        texts=texts.artifact,
        text_embeddings=text_embeddings.artifact,
        image_embeddings=embedded.artifact,
        encoder=encoder,
        logit_scale=spec.logit_scale,
    )
    shards = steps.predictions.plan_predictions(inputs, spec.methods, runtime)
    predicted = [steps.predictions.predict_shard(shard, inputs, spec.methods, runtime) for shard in shards]
    evidence = Evidence(
        run_id=run_id,
        started_at=datetime.now(UTC),
        dataset=dataset,
        encoder=encoder,
        texts=texts,
        text_embeddings=text_embeddings,
        image_embeddings=embedded,
        matrix=matrix,
        predictions=steps.predictions.finish_predictions(inputs, spec.methods, predicted, runtime),
    )
    return Outcome(evidence, steps.results.publish_results(spec, evidence, runtime))


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Four classes of thirty images."""
    return write_world(tmp_path / "world")


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    """A store of its own."""
    return Runtime(store=str(tmp_path / "store"), device="cpu")
