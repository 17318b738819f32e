"""Few-shot, beside zero-shot: methods that see a few labelled images per class, draw after draw.

A cell is one number of shots and one draw: every method is fitted on its support, selected on its validation images,
and asked about the test images part by part. What it says is an artifact without a label in it, like any prediction;
how its settings were chosen stands in the artifact's summary. Pool labels decide here, so they are part of the key;
test labels do not exist here.
"""

import json
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from jaxtyping import Float
from torch import Tensor

from coder_core.coder.classifier import LinearClassifier
from coder_core.encoders.precomputed import read_text_features
from coder_core.errors import ConfigError
from coder_core.few_shot.draws import Draw, draw_examples
from coder_core.few_shot.examples import refuse_shared
from coder_core.few_shot.fitting import Selected, ZeroShot
from coder_core.few_shot.protocol import Pool, build_pool, select_methods
from coder_core.few_shot.registry import plan_methods
from coder_core.fingerprint import content_hash
from coder_core.locations import open_location
from coder_core.methods import build_classifier
from coder_core.specs import FewShotSpec, Runtime
from coder_core.steps.dataset import read_labels
from coder_core.steps.encoding import EncoderHandle, open_ledger
from coder_core.steps.predictions import PredictionInputs
from coder_core.steps.support_views import VIEWS_VERSION, embed_views
from coder_core.steps.text_embeddings import read_text_embeddings
from coder_core.steps.texts import METRIC_KINDS, read_text_table
from coder_core.steps.workplace import Handle, Product, Stopwatch, open_store
from coder_core.storage.artifacts import Artifact, ArtifactPayload, ArtifactStore
from coder_core.storage.inputs import read_input
from coder_core.texts.layout import build_layout

STEP_VERSION = 1


class Cell(Handle):
    """One number of shots and one draw."""

    shots: int
    seed: int

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.shots}-shot-{self.seed}"


class FewShotInputs(Handle):
    """What few-shot methods see: the test images, the texts, and the pool (vectors, listing, labels)."""

    seen: PredictionInputs
    pool: Artifact
    pool_images: Artifact
    pool_labels: Artifact
    class_count: int


class _Arrays:
    """Everything in memory that a cell needs; test images are read part by part."""

    def __init__(self, artifacts: ArtifactStore, inputs: FewShotInputs, spec: FewShotSpec) -> None:
        self.pool, self.keys, self.dropped = _read_pool(artifacts, inputs, spec)
        self._layout = build_layout(read_text_table(artifacts, inputs.seen.texts))
        vectors = read_text_embeddings(artifacts, inputs.seen.text_embeddings, inputs.seen.encoder)
        self._vectors = torch.from_numpy(np.array(vectors))
        self._scale = inputs.seen.logit_scale
        self._spec = spec

    def zero_shot(self) -> ZeroShot | None:
        """The zero-shot classifier to fuse with."""
        if self._spec.zero_shot == "none":
            return None
        built = build_classifier(self._spec.zero_shot, self._vectors, self._layout, logit_scale=self._scale)
        if not isinstance(built, LinearClassifier):
            raise ConfigError(f"{self._spec.zero_shot} is not one vector per class.", "few_shot.zero_shot", "Use clip.")
        return ZeroShot(built.weights, self._scale)

    def texts(self) -> Float[Tensor, "texts dim"]:
        """The texts that make the metric, each once."""
        if self._spec.texts is not None:
            return torch.nn.functional.normalize(torch.from_numpy(read_text_features(self._spec.texts)).float(), dim=1)
        columns = np.unique(self._layout.segments(METRIC_KINDS).columns)
        return self._vectors[torch.from_numpy(columns)]


def plan_cells(spec: FewShotSpec) -> list[Cell]:
    """Every number of shots with every draw."""
    return [Cell(shots=shots, seed=spec.seed + draw) for shots in spec.shots for draw in range(spec.draws)]


def predict_cell(cell: Cell, inputs: FewShotInputs, spec: FewShotSpec, runtime: Runtime) -> Product:
    """Fit and select every method on one draw, and classify the test images.

    Raises:
        LabelLeakError: A pool image is a test image, and `few_shot.drop_shared` is off.
        DatasetError: A class has too few images in the pool.
        ConfigError: The texts give no metric.
    """
    watch, artifacts = Stopwatch(), open_store(runtime)
    payload = _payload(cell, inputs, spec)
    artifact = artifacts.find(payload)
    computed = 0
    if artifact is None:
        arrays = _Arrays(artifacts, inputs, spec)
        selected = _select(arrays, cell, inputs, spec, runtime)
        writer = artifacts.writer(payload)
        for part in artifacts.parts(inputs.seen.image_embeddings):
            listing = artifacts.read_part(inputs.seen.image_embeddings, part.name)
            writer.write_part(part.name, _predict_part(artifacts, listing, inputs.seen.encoder, selected))
        chosen = {name: json.dumps(_told(method)) for name, method in selected.items()}
        artifact = writer.commit({"shots": cell.shots, "seed": cell.seed, "dropped": arrays.dropped, **chosen})
        computed = artifact.rows
    return Product(
        step=f"few_shot_{cell.shots}",
        artifact=artifact,
        seconds=watch.seconds,
        computed=computed,
        reused=artifact.rows - computed,
    )


def _select(
    arrays: _Arrays, cell: Cell, inputs: FewShotInputs, spec: FewShotSpec, runtime: Runtime
) -> dict[str, Selected]:
    draw = draw_examples(
        arrays.pool.label_ids,
        shots=cell.shots,
        seed=cell.seed,
        validation_per_class=spec.validation_per_class,
        allow_fewer=spec.allow_fewer,
    )
    pool = arrays.pool
    if spec.views:
        pool = _with_views(arrays, draw, inputs, spec, runtime)
    zero_shot = arrays.zero_shot()
    methods = plan_methods(spec.methods, arrays.texts(), zero_shot=zero_shot)
    return select_methods(pool, draw, methods, zero_shot=zero_shot)


def _with_views(arrays: _Arrays, draw: Draw, inputs: FewShotInputs, spec: FewShotSpec, runtime: Runtime) -> Pool:
    """The pool with support images at the mean of their augmented views."""
    ids = [arrays.pool.image_ids[row] for row in draw.support.tolist()]
    keys = {image_id: arrays.keys[image_id] for image_id in ids}
    views = embed_views(keys, inputs.pool_images, spec.views, inputs.seen.encoder, runtime)
    embeddings = arrays.pool.embeddings.float().clone()
    means = torch.nn.functional.normalize(torch.from_numpy(views).float().mean(dim=1), dim=1)
    embeddings[torch.from_numpy(draw.support)] = means
    return arrays.pool._replace(embeddings=embeddings)


def _told(method: Selected) -> dict[str, object]:
    choice = method.choice
    told = {"settings": choice.settings, "source": choice.source, "n": choice.n, "accuracy": choice.accuracy}
    return {**told, "tried": 0 if choice.accuracies is None else int(choice.accuracies.size)}


def _payload(cell: Cell, inputs: FewShotInputs, spec: FewShotSpec) -> ArtifactPayload:
    """What decides: the pool and the texts' file enter by content, shots and seed by the cell."""
    told = spec.model_dump(mode="json", exclude={"pool", "shots", "draws", "seed", "texts"})
    return ArtifactPayload(
        kind="few_shot_predictions",
        step_version=STEP_VERSION,
        spec={
            "few_shot": told,
            "views_version": VIEWS_VERSION,
            "cell": cell.model_dump(),
            "logit_scale": inputs.seen.logit_scale,
        },
        inputs={
            "texts": inputs.seen.texts.key,
            "text_embeddings": inputs.seen.text_embeddings.key,
            "image_embeddings": inputs.seen.image_embeddings.key,
            "pool": inputs.pool.key,
            "pool_labels": inputs.pool_labels.key,
            **(
                {} if spec.texts is None else {"metric_texts": content_hash(read_input(open_location(spec.texts.path)))}
            ),
        },
    )


def _texts_identity(spec: FewShotSpec) -> dict[str, str]:
    if spec.texts is None:
        return {}
    return {"metric_texts": content_hash(read_input(open_location(spec.texts.path))), "column": spec.texts.features}


def _read_pool(artifacts: ArtifactStore, inputs: FewShotInputs, spec: FewShotSpec) -> tuple[Pool, dict[str, str], int]:
    """The pool's images that can be read, their content keys, and how many were left out as test images."""
    listing = artifacts.read(inputs.pool, ["image_id", "key", "problem"])
    listing = listing.filter(pc.is_null(listing.column("problem")))
    tested = set(artifacts.read(inputs.seen.image_embeddings, ["key"]).column("key").to_pylist()) - {None}
    shared = pc.is_in(listing.column("key"), value_set=pa.array(sorted(tested), type=pa.string()))
    if not spec.drop_shared:
        refuse_shared(listing.column("key").to_pylist(), tested, what="few_shot.pool")
    kept = listing.filter(pc.invert(shared))
    vectors = open_ledger(artifacts, "image_embeddings", inputs.seen.encoder).read(kept.column("key").to_pylist())
    labels = read_labels(artifacts, inputs.pool_labels, "train")
    image_ids = kept.column("image_id").to_pylist()
    pool = build_pool(image_ids, torch.from_numpy(np.array(vectors)), labels, class_count=inputs.class_count)
    return pool, dict(zip(image_ids, kept.column("key").to_pylist(), strict=True)), len(listing) - len(kept)


def _predict_part(
    artifacts: ArtifactStore, listing: pa.Table, encoder: EncoderHandle, selected: Mapping[str, Selected]
) -> pa.Table:
    usable = listing.filter(pc.is_null(listing.column("problem")))
    keys: Sequence[str] = usable.column("key").to_pylist()
    images = torch.from_numpy(np.array(open_ledger(artifacts, "image_embeddings", encoder).read(keys)))
    said = {
        name: pa.array(method.logits(images).argmax(dim=1).numpy().astype(np.int32))
        for name, method in selected.items()
    }
    return pa.table({"image_id": usable.column("image_id"), **said})
