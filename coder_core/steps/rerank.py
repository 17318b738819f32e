"""Step 8b: uncertain images are looked at again, by the texts that tell their best classes apart.

One artifact with the parts of the images, like any method's predictions, and image by image what the second look was
worth: whether it was taken, and which comparisons had no texts. Missing pairs are counted, never hidden. Labels do not
exist here; under `protocol: reference`, and only there, they are an input by name, and so part of the key.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from coder_core.coder.rerank import FoldedPairs, RerankCounts, fold_pairs
from coder_core.evaluation.predictions import HONEST, RERANK_METHOD, RerankedPredictions, rerank_predictions
from coder_core.reference_protocol import REFERENCE, rerank_as_released
from coder_core.report.progress import track
from coder_core.specs import Runtime
from coder_core.steps.dataset import read_labels
from coder_core.steps.encoding import EncoderHandle, open_ledger
from coder_core.steps.image_embeddings import Shard, ShardReport, plan_shards
from coder_core.steps.predictions import predictions_from_arrow, predictions_to_arrow
from coder_core.steps.text_embeddings import read_text_embeddings
from coder_core.steps.texts import read_text_table
from coder_core.steps.workplace import Handle, Product, Stopwatch, open_store
from coder_core.storage.artifacts import Artifact, ArtifactPayload, ArtifactStore
from coder_core.texts.layout import build_layout

STEP_VERSION = 1


class RerankInputs(Handle):
    """Everything a rerank is made from; `labels` under the reference protocol only."""

    stage1: Artifact
    image_embeddings: Artifact
    texts: Artifact
    text_embeddings: Artifact
    encoder: EncoderHandle
    threshold: float
    candidates: int
    labels: Artifact | None = None

    @property
    def protocol(self) -> str:
        """Who steers: nobody, or the labels."""
        return HONEST if self.labels is None else REFERENCE


def plan_rerank(inputs: RerankInputs, runtime: Runtime) -> list[Shard]:
    """The shards to look at again; none when it has been done."""
    is_done = open_store(runtime).find(_payload(inputs)) is not None
    return [] if is_done else plan_shards(inputs.image_embeddings, runtime)


def rerank_shard(shard: Shard, inputs: RerankInputs, runtime: Runtime) -> ShardReport:
    """Rerank the images of one shard."""
    watch, artifacts = Stopwatch(), open_store(runtime)
    writer, computed = artifacts.writer(_payload(inputs)), 0
    look = SecondLook(artifacts, inputs)
    with track("reranking", total=shard.rows, unit="images") as progress:
        for part in shard.parts:
            record = writer.found_part(part)
            if record is None:
                record = writer.write_part(part, _as_arrow(look.rerank(part)))
                computed += record.rows
            progress.advance(record.rows)
    return ShardReport(records=tuple(writer.records(shard.parts)), seconds=watch.seconds, computed=computed)


def finish_rerank(inputs: RerankInputs, reports: Sequence[ShardReport], runtime: Runtime) -> Product:
    """Join the shards and count what happened."""
    watch, artifacts = Stopwatch(), open_store(runtime)
    payload = _payload(inputs)
    artifact = artifacts.find(payload)
    if artifact is None:
        writer = artifacts.writer(payload)
        writer.adopt([record for report in reports for record in report.records])
        artifact = writer.commit({"protocol": inputs.protocol})
    computed = sum(report.computed for report in reports)
    return Product(
        step=f"predict_{RERANK_METHOD}",
        artifact=artifact,
        seconds=watch.seconds + sum(report.seconds for report in reports),
        computed=computed,
        reused=artifact.rows - computed,
    )


def read_rerank_counts(artifacts: ArtifactStore, reranked: Artifact) -> RerankCounts:
    """What happened, added up from the rows of every image."""
    table = artifacts.read(reranked, ["gated", "changed", "pairs_wanted", "pairs_missing", "pairs_one_sided"])
    incomplete = pc.greater(pc.add(table.column("pairs_missing"), table.column("pairs_one_sided")), 0)
    sums = {name: int(pc.sum(table.column(name)).as_py() or 0) for name in table.column_names}
    return RerankCounts(images=len(table), images_incomplete=int(pc.sum(incomplete).as_py() or 0), **sums)


def _payload(inputs: RerankInputs) -> ArtifactPayload:
    return ArtifactPayload(
        kind="predictions",
        step_version=STEP_VERSION,
        spec={"method": RERANK_METHOD, "threshold": inputs.threshold, "candidates": inputs.candidates},
        inputs={
            "stage1": inputs.stage1.key,
            "image_embeddings": inputs.image_embeddings.key,
            "texts": inputs.texts.key,
            "text_embeddings": inputs.text_embeddings.key,
            **({} if inputs.labels is None else {"labels": inputs.labels.key}),
        },
    )


class SecondLook:
    """What the parts of a shard share: the folded pairs, the ledger, and labels under the reference protocol."""

    def __init__(self, artifacts: ArtifactStore, inputs: RerankInputs) -> None:
        self._artifacts, self._inputs = artifacts, inputs
        self._pairs = _read_pairs(artifacts, inputs)
        self._ledger = open_ledger(artifacts, "image_embeddings", inputs.encoder)
        self._labels = None if inputs.labels is None else read_labels(artifacts, inputs.labels, "test")

    def rerank(self, part: str) -> RerankedPredictions:
        """Look at the images of one part again."""
        inputs = self._inputs
        stage1 = predictions_from_arrow(self._artifacts.read_part(inputs.stage1, part), "coder")
        listing = self._artifacts.read_part(inputs.image_embeddings, part, ["key", "problem"])
        keys = listing.filter(pc.is_null(listing.column("problem"))).column("key").to_pylist()
        images = torch.from_numpy(self._ledger.read(keys))
        if self._labels is None:
            look = partial(rerank_predictions, stage1, images, self._pairs)
        else:
            look = partial(rerank_as_released, stage1, images, self._pairs, self._labels)
        return look(threshold=inputs.threshold, candidates=inputs.candidates)


def _read_pairs(artifacts: ArtifactStore, inputs: RerankInputs) -> FoldedPairs:
    layout = build_layout(read_text_table(artifacts, inputs.texts))
    vectors = read_text_embeddings(artifacts, inputs.text_embeddings, inputs.encoder)
    return fold_pairs(torch.from_numpy(vectors), layout)


def _as_arrow(outcome: RerankedPredictions) -> pa.Table:
    reranked = outcome.reranked
    gated = reranked.gated.cpu().numpy()
    columns = {
        "gated": gated,
        "changed": (reranked.order[:, 0] != 0).cpu().numpy(),
        "pairs_wanted": gated * np.int16(reranked.comparisons),
        "pairs_missing": reranked.missing.cpu().numpy().astype(np.int16),
        "pairs_one_sided": reranked.one_sided.cpu().numpy().astype(np.int16),
    }
    table = predictions_to_arrow(outcome.predictions)
    for name, column in columns.items():
        table = table.append_column(name, pa.array(column))
    return table
