"""What a method says about new images, in words: a table of names instead of numbers, and the images left out.

Written part by part as an artifact, so that a million images are never in memory, and copied to a file of the user's
where one is asked for.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from coder_core.specs import Runtime
from coder_core.steps.dataset import read_classes
from coder_core.steps.past_classifiers import PastClassifier
from coder_core.steps.workplace import Handle, Product, open_store
from coder_core.storage.artifacts import Artifact, ArtifactPayload, ArtifactStore
from coder_core.storage.exports import export_table
from coder_core.storage.manifest import artifact_folder
from coder_core.storage.tables import vectors_from_arrow

STEP_VERSION = 1
SCHEMA = pa.schema(
    [
        ("image", pa.string()),
        ("class_name", pa.string()),
        ("probability", pa.float32()),
        ("top5", pa.list_(pa.string())),
        ("top5_probabilities", pa.list_(pa.float32())),
        ("problem", pa.string()),
    ]
)


class Answers(Handle):
    """What came out.

    Attributes:
        run_id: Whose classes, texts and encoder.
        method: The method.
        artifact: One row per image, in the order of the images.
        images: Images classified.
        broken: Images that could not be read and were left out: they have a `problem` and no class.
        location: Where the table is: the file that was asked for, or the artifact's folder.
    """

    run_id: str
    method: str
    artifact: Artifact
    images: int
    broken: int
    location: str


class Answer(NamedTuple):
    """One row: the best classes, best first, or what is wrong with the image."""

    image: str
    class_name: str | None
    probability: float | None
    top5: list[str] | None
    top5_probabilities: list[float] | None
    problem: str | None


def write_answers(
    past: PastClassifier, image_embeddings: Artifact, predictions: Product, out: str | None, runtime: Runtime
) -> Answers:
    """Put names to predictions, and copy the table to `out` where that is given.

    Args:
        past: Who predicted.
        image_embeddings: The images, with those left out.
        predictions: What was predicted.
        out: A `.parquet` file to write, path or fsspec URL.
        runtime: Where the store is.

    Raises:
        ConfigError: `out` is no `.parquet` file.
        InputError: `out` cannot be written.
    """
    artifacts = open_store(runtime)
    payload = ArtifactPayload(
        kind="answers",
        step_version=STEP_VERSION,
        spec={},
        inputs={"predictions": predictions.artifact.key, "classes": past.classes.key, "images": image_embeddings.key},
    )
    artifact = artifacts.find(payload) or _write(artifacts, payload, past, image_embeddings, predictions.artifact)
    if out is not None:
        export_table(artifacts, artifact, out)
    broken = int(image_embeddings.summary["quarantined"])
    return Answers(
        run_id=past.run_id,
        method=past.method,
        artifact=artifact,
        images=artifact.rows - broken,
        broken=broken,
        location=out or artifacts.store.url(artifact_folder(artifact.kind, artifact.key)),
    )


def read_answers(answers: Answers, runtime: Runtime) -> Iterator[Answer]:
    """The rows, a few thousand in memory at a time."""
    for batch in open_store(runtime).iter_batches(answers.artifact):
        yield from (Answer(**row) for row in batch.to_pylist())


def _write(
    artifacts: ArtifactStore, payload: ArtifactPayload, past: PastClassifier, images: Artifact, predictions: Artifact
) -> Artifact:
    names = pa.array(read_classes(artifacts, past.classes).names, type=pa.string())
    writer = artifacts.writer(payload)
    for part in artifacts.parts(images):
        listing = artifacts.read_part(images, part.name, ["image_id", "problem"])
        writer.write_part(part.name, _name_part(listing, artifacts.read_part(predictions, part.name), names))
    return writer.commit()


def _name_part(listing: pa.Table, predicted: pa.Table, names: pa.Array) -> pa.Table:
    """Bring predictions, which only usable images have, back beside all images of the part."""
    usable = pc.is_null(listing.column("problem")).to_numpy()
    row_of = pa.array(np.where(usable, np.cumsum(usable) - 1, 0), mask=~usable)
    top_ids = vectors_from_arrow(predicted.column("top_ids"))
    probabilities = vectors_from_arrow(predicted.column("top_probabilities"))
    width = top_ids.shape[1]
    top_names = _lists(names.take(pa.array(top_ids.reshape(-1))), width)
    columns = [
        listing.column("image_id"),
        names.take(pa.array(top_ids[:, 0])).take(row_of),
        pa.array(probabilities[:, 0]).take(row_of),
        top_names.take(row_of),
        _lists(pa.array(probabilities.reshape(-1)), width).take(row_of),
        listing.column("problem"),
    ]
    return pa.table(columns, names=SCHEMA.names).cast(SCHEMA)


def _lists(values: pa.Array, width: int) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array(np.arange(0, len(values) + 1, max(width, 1), dtype=np.int32)), values)
