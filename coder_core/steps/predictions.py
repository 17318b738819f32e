"""Step 6: every method says what it sees. Texts and images go in; labels do not exist here.

One artifact per method, so that a method added later costs only itself. A task classifies one shard by all methods that
are still missing, reading each vector once.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from coder_core.coder.classifier import Classifier
from coder_core.evaluation.predictions import HONEST, STORED_CLASSES, Predictions, build_predictions
from coder_core.interruption import check_interruption
from coder_core.methods import build_classifier
from coder_core.report.progress import track
from coder_core.specs import Runtime
from coder_core.steps.encoding import EncoderHandle, open_ledger
from coder_core.steps.image_embeddings import Shard, ShardReport, plan_shards
from coder_core.steps.text_embeddings import read_text_embeddings
from coder_core.steps.texts import read_text_table
from coder_core.steps.workplace import Handle, Product, Stopwatch, open_store
from coder_core.storage.artifacts import Artifact, ArtifactPayload, ArtifactStore
from coder_core.storage.embedding_ledger import EmbeddingLedger
from coder_core.storage.tables import vectors_from_arrow
from coder_core.texts.layout import build_layout

STEP_VERSION = 1


class PredictionInputs(Handle):
    """Everything a prediction is made from."""

    texts: Artifact
    text_embeddings: Artifact
    image_embeddings: Artifact
    encoder: EncoderHandle
    logit_scale: float


def plan_predictions(inputs: PredictionInputs, methods: Sequence[str], runtime: Runtime) -> list[Shard]:
    """The shards to classify; none when every method's predictions are there."""
    return plan_shards(inputs.image_embeddings, runtime) if missing_methods(inputs, methods, runtime) else []


def missing_methods(inputs: PredictionInputs, methods: Sequence[str], runtime: Runtime) -> list[str]:
    """The methods whose predictions the store does not hold."""
    artifacts = open_store(runtime)
    return [method for method in methods if artifacts.find(_payload(inputs, method)) is None]


def predict_shard(
    shard: Shard, inputs: PredictionInputs, methods: Sequence[str], runtime: Runtime
) -> dict[str, ShardReport]:
    """Classify one shard by every method whose predictions are missing; the reports are by method."""
    watch, artifacts = Stopwatch(), open_store(runtime)
    methods = missing_methods(inputs, methods, runtime)
    classifiers = _build_classifiers(artifacts, inputs, methods)
    ledger = open_ledger(artifacts, "image_embeddings", inputs.encoder)
    writers = {method: artifacts.writer(_payload(inputs, method)) for method in methods}
    with track("classifying", total=shard.rows, unit="images") as progress:
        for part in shard.parts:
            check_interruption()
            if any(writer.found_part(part) is None for writer in writers.values()):
                listing = artifacts.read_part(inputs.image_embeddings, part)
                for method, table in _predict_part(listing, ledger, classifiers).items():
                    writers[method].write_part(part, table)
            progress.advance(shard.rows // len(shard.parts))
    return {
        method: ShardReport(
            records=tuple(writer.records(shard.parts)), seconds=watch.seconds / len(methods), computed=shard.rows
        )
        for method, writer in writers.items()
    }


def finish_predictions(
    inputs: PredictionInputs, methods: Sequence[str], reports: Sequence[Mapping[str, ShardReport]], runtime: Runtime
) -> dict[str, Product]:
    """Join the shards of every method; a method that was there already is found."""
    watch, artifacts = Stopwatch(), open_store(runtime)
    products = {}
    for method in methods:
        own = [report[method] for report in reports if method in report]
        payload = _payload(inputs, method)
        artifact = artifacts.find(payload)
        if artifact is None:
            writer = artifacts.writer(payload)
            writer.adopt([record for report in own for record in report.records])
            artifact = writer.commit()
        computed = artifact.rows if own else 0
        seconds = watch.seconds + sum(report.seconds for report in own)
        products[method] = Product(
            step=f"predict_{method}",
            artifact=artifact,
            seconds=seconds,
            computed=computed,
            reused=artifact.rows - computed,
        )
    return products


def read_predictions(artifacts: ArtifactStore, predictions: Artifact, method: str) -> Predictions:
    """The predictions of a `predictions` artifact."""
    table = artifacts.read(predictions, ["image_id", "top_ids", "top_probabilities"])
    protocol = str(predictions.summary.get("protocol", HONEST))
    return predictions_from_arrow(table, method, protocol=protocol)


def predictions_from_arrow(table: pa.Table, method: str, *, protocol: str = HONEST) -> Predictions:
    """Predictions from rows of a `predictions` artifact."""
    return Predictions(
        image_ids=tuple(table.column("image_id").to_pylist()),
        top_ids=np.array(vectors_from_arrow(table.column("top_ids"))),  # a copy: torch takes no read-only memory
        top_probabilities=np.array(vectors_from_arrow(table.column("top_probabilities"))),
        method=method,
        protocol=protocol,
    )


def predictions_to_arrow(predictions: Predictions) -> pa.Table:
    """Predictions as rows: image id, best classes, their probabilities."""
    width = predictions.top_ids.shape[1]
    return pa.table(
        {
            "image_id": pa.array(predictions.image_ids, type=pa.string()),
            "top_ids": _lists(predictions.top_ids, width),
            "top_probabilities": _lists(predictions.top_probabilities, width),
        }
    )


def _payload(inputs: PredictionInputs, method: str) -> ArtifactPayload:
    return ArtifactPayload(
        kind="predictions",
        step_version=STEP_VERSION,
        spec={"method": method, "logit_scale": inputs.logit_scale},
        inputs={
            "texts": inputs.texts.key,
            "text_embeddings": inputs.text_embeddings.key,
            "image_embeddings": inputs.image_embeddings.key,
        },
    )


def _build_classifiers(
    artifacts: ArtifactStore, inputs: PredictionInputs, methods: Sequence[str]
) -> dict[str, Classifier]:
    layout = build_layout(read_text_table(artifacts, inputs.texts))
    vectors = torch.from_numpy(read_text_embeddings(artifacts, inputs.text_embeddings, inputs.encoder))
    return {method: build_classifier(method, vectors, layout, logit_scale=inputs.logit_scale) for method in methods}


def _predict_part(
    listing: pa.Table, ledger: EmbeddingLedger, classifiers: Mapping[str, Classifier]
) -> dict[str, pa.Table]:
    usable = listing.filter(pc.is_null(listing.column("problem")))
    images = torch.from_numpy(ledger.read(usable.column("key").to_pylist()))
    image_ids = usable.column("image_id").to_pylist()
    return {
        method: predictions_to_arrow(
            build_predictions(classifier.logits(images), image_ids, method=method, k=STORED_CLASSES)
        )
        for method, classifier in classifiers.items()
    }


def _lists(matrix: np.ndarray, width: int) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(matrix.reshape(-1)), width)
