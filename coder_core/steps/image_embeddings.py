"""Step 4: images get their places in the encoder's space, shard by shard.

A shard is a run of parts of the image listing; shards are independent, so they map onto threads, processes or machines.
A broken image is left out, counted and listed with its reason, and the run goes on.
"""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from coder_core.errors import DatasetError
from coder_core.interruption import check_interruption
from coder_core.report.progress import track
from coder_core.specs import Runtime
from coder_core.steps.encoding import EncoderHandle, open_ledger
from coder_core.steps.image_batches import PartEmbedder
from coder_core.steps.known_files import KnownFiles
from coder_core.steps.workplace import Handle, Product, Stopwatch, open_store
from coder_core.storage.artifacts import Artifact, ArtifactPayload, ArtifactStore, ArtifactWriter
from coder_core.storage.manifest import PartRecord

STEP_VERSION = 1


class Shard(Handle):
    """Parts of the image listing that one task works on."""

    parts: tuple[str, ...]
    rows: int

    @property
    def name(self) -> str:
        """First and last part, for people; one part is named once."""
        return "..".join(dict.fromkeys([self.parts[0], self.parts[-1]]))


class ShardReport(Handle):
    """What one task did."""

    records: tuple[PartRecord, ...]
    seconds: float
    computed: int = 0


def plan_shards(images: Artifact, runtime: Runtime) -> list[Shard]:
    """Group the parts of a listing into shards of about `runtime.shard_images`."""
    shards: list[Shard] = []
    for part in open_store(runtime).parts(images):
        last = shards[-1] if shards else None
        if last and last.rows + part.rows <= runtime.shard_images:
            shards[-1] = Shard(parts=(*last.parts, part.name), rows=last.rows + part.rows)
        else:
            shards.append(Shard(parts=(part.name,), rows=part.rows))
    return shards


def embed_image_shard(shard: Shard, images: Artifact, encoder: EncoderHandle, runtime: Runtime) -> ShardReport:
    """Embed the images of one shard that the ledger does not hold, or holds no more (a part of it was damaged).

    Raises:
        CheckpointError: The model cannot be loaded.
    """
    watch, artifacts = Stopwatch(), open_store(runtime)
    writer = artifacts.writer(_payload(images, encoder))
    ledger = open_ledger(artifacts, "image_embeddings", encoder)
    files = KnownFiles(artifacts, ledger)
    records, computed = [], 0
    with track("embedding images", total=shard.rows, unit="images") as progress:
        for name in shard.parts:
            check_interruption()
            record = writer.found_part(name)
            if record is None or ledger.missing(_embedded_keys(writer.read_part(name, ["key", "problem"]))):
                embedder = PartEmbedder(ledger, encoder, runtime)
                record = writer.write_part(name, files.embed(artifacts.read_part(images, name), embedder))
                computed += embedder.computed
            progress.advance(record.rows)
            records.append(record)
    return ShardReport(records=tuple(records), seconds=watch.seconds, computed=computed)


def plan_embedding(images: Artifact, encoder: EncoderHandle, runtime: Runtime) -> list[Shard]:
    """The shards to embed; none when this listing was finished before and the ledger still holds its vectors."""
    artifacts = open_store(runtime)
    done = artifacts.find(_payload(images, encoder))
    if done is None:
        return plan_shards(images, runtime)
    keys = _embedded_keys(artifacts.read(done, ["key", "problem"]))
    return plan_shards(images, runtime) if open_ledger(artifacts, "image_embeddings", encoder).missing(keys) else []


def finish_image_embeddings(
    images: Artifact, encoder: EncoderHandle, reports: Sequence[ShardReport], runtime: Runtime
) -> Product:
    """Join the shards: image ids and ledger keys in order, and what was left out.

    Raises:
        DatasetError: Not one image can be read.
    """
    watch, artifacts = Stopwatch(), open_store(runtime)
    payload = _payload(images, encoder)
    artifact = artifacts.find(payload) or _commit(artifacts.writer(payload), reports)
    computed = sum(report.computed for report in reports)
    return Product(
        step="embed_images",
        artifact=artifact,
        seconds=watch.seconds + sum(report.seconds for report in reports),
        computed=computed,
        reused=artifact.rows - int(artifact.summary["quarantined"]) - computed,
    )


def read_quarantine(artifacts: ArtifactStore, embeddings: Artifact) -> list[dict[str, str]]:
    """Images that could not be read: `image_id` and `problem`."""
    if not embeddings.summary["quarantined"]:
        return []
    table = artifacts.read(embeddings, ["image_id", "problem"])
    return [row for row in table.to_pylist() if row["problem"] is not None]


def _embedded_keys(embeddings: pa.Table) -> list[str]:
    """The keys whose vectors the ledger has to hold: those of broken images have none."""
    keys: list[str] = embeddings.filter(pc.is_null(embeddings.column("problem"))).column("key").to_pylist()
    return keys


def _payload(images: Artifact, encoder: EncoderHandle) -> ArtifactPayload:
    inputs = {"encoder": encoder.identity.key, "images": images.key}
    return ArtifactPayload(kind="image_embeddings", step_version=STEP_VERSION, spec={}, inputs=inputs)


def _commit(writer: ArtifactWriter, reports: Sequence[ShardReport]) -> Artifact:
    records = [record for report in reports for record in report.records]
    writer.adopt(records)
    problems: list[dict[str, Any]] = []
    for record in records:
        rows = writer.read_part(record.name, ["image_id", "problem"]).to_pylist()
        problems += [row for row in rows if row["problem"] is not None]
    if len(problems) == sum(record.rows for record in records):
        raise DatasetError(
            f"none of {len(problems)} images can be read ({problems[0]['problem']}).",
            problems[0]["image_id"],
            "Check the data set.",
        )
    return writer.commit({"quarantined": len(problems)})
