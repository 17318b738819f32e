"""Step 5, optional: the explicit CODER matrix, every image by every neighbour text, as Parquet.

Nobody needs it to classify; it is for those who want to look at the similarities, or train on them. It is written in
pieces of bounded size: neither the number of images nor their product with the texts is ever in memory.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from coder_core.coder.matrix import coder_matrix
from coder_core.interruption import check_interruption
from coder_core.report.progress import track
from coder_core.specs import Runtime
from coder_core.steps.encoding import EncoderHandle, open_ledger
from coder_core.steps.image_embeddings import Shard, ShardReport, plan_shards
from coder_core.steps.text_embeddings import read_text_embeddings
from coder_core.steps.workplace import Product, Stopwatch, open_store
from coder_core.storage.artifacts import Artifact, ArtifactPayload
from coder_core.storage.tables import vectors_to_arrow

STEP_VERSION = 1
MEBIBYTE = 2**20


def write_matrix_shard(
    shard: Shard, image_embeddings: Artifact, text_embeddings: Artifact, encoder: EncoderHandle, runtime: Runtime
) -> ShardReport:
    """Write the rows of one shard; columns are the unique texts, in the order of the text table."""
    watch, artifacts = Stopwatch(), open_store(runtime)
    writer = artifacts.writer(_payload(image_embeddings, text_embeddings))
    texts = torch.from_numpy(read_text_embeddings(artifacts, text_embeddings, encoder))
    ledger = open_ledger(artifacts, "image_embeddings", encoder)
    records, computed = [], 0
    with track("writing the CODER matrix", total=shard.rows, unit="images") as progress:
        for part in shard.parts:
            listing = artifacts.read_part(image_embeddings, part)
            for name, piece in _pieces(part, listing, len(texts), runtime):
                check_interruption()
                record = writer.found_part(name)
                if record is None:
                    images = torch.from_numpy(ledger.read(piece.column("key").to_pylist()))
                    record = writer.write_part(name, _as_arrow(piece, coder_matrix(images, texts).numpy()))
                    computed += record.rows
                records.append(record)
            progress.advance(len(listing))
    return ShardReport(records=tuple(records), seconds=watch.seconds, computed=computed)


def plan_matrix(image_embeddings: Artifact, text_embeddings: Artifact, runtime: Runtime) -> list[Shard]:
    """The shards to write; none when an earlier run has finished this very matrix."""
    is_done = open_store(runtime).find(_payload(image_embeddings, text_embeddings)) is not None
    return [] if is_done else plan_shards(image_embeddings, runtime)


def finish_matrix(
    image_embeddings: Artifact, text_embeddings: Artifact, reports: Sequence[ShardReport], runtime: Runtime
) -> Product:
    """Join the shards."""
    watch, artifacts = Stopwatch(), open_store(runtime)
    payload = _payload(image_embeddings, text_embeddings)
    artifact = artifacts.find(payload)
    if artifact is None:
        writer = artifacts.writer(payload)
        writer.adopt([record for report in reports for record in report.records])
        artifact = writer.commit({"texts": text_embeddings.rows})
    computed = sum(report.computed for report in reports)
    return Product(
        step="write_matrix",
        artifact=artifact,
        seconds=watch.seconds + sum(report.seconds for report in reports),
        computed=computed,
        reused=artifact.rows - computed,
    )


def _payload(image_embeddings: Artifact, text_embeddings: Artifact) -> ArtifactPayload:
    inputs = {"image_embeddings": image_embeddings.key, "text_embeddings": text_embeddings.key}
    return ArtifactPayload(kind="coder_matrix", step_version=STEP_VERSION, spec={}, inputs=inputs)


def _pieces(part: str, listing: pa.Table, text_count: int, runtime: Runtime) -> Iterator[tuple[str, pa.Table]]:
    """Cut a part so that no piece of the matrix is larger than `runtime.matrix_part_mb`; broken images are left out."""
    usable = listing.filter(pc.is_null(listing.column("problem")))
    rows = max(1, runtime.matrix_part_mb * MEBIBYTE // (4 * max(1, text_count)))
    for start in range(0, max(1, len(usable)), rows):
        yield f"{part}-{start:06d}-{rows}", usable.slice(start, rows)


def _as_arrow(piece: pa.Table, similarities: np.ndarray) -> pa.Table:
    return pa.table({"image_id": piece.column("image_id"), "similarities": vectors_to_arrow(similarities)})
