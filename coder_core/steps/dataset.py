"""Step 1: what there is to classify. Classes, images and labels become three artifacts.

The listing of images is cut into parts of `LISTING_ROWS`; every later per-image artifact has the same parts: they are
the unit of work, of resuming and of memory. Labels are an artifact of their own that no prediction step receives.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from coder_core.classes import ClassList
from coder_core.errors import DatasetError
from coder_core.evaluation.labels import LabelTable
from coder_core.images.sources import ImageBatch, ImageSource, open_source
from coder_core.report.progress import track
from coder_core.specs import FeaturesDataset, FlagsDataset, FolderDataset, Runtime, SplitDataset
from coder_core.steps.workplace import Handle, Product, Stopwatch, open_store
from coder_core.storage.artifacts import Artifact, ArtifactPayload, ArtifactStore
from coder_core.storage.tables import vectors_to_arrow

STEP_VERSION = 1
IMAGES_VERSION = 2
"""Since 2 a listing of files says what changes when a file does."""
LISTING_ROWS = 4096
"""Images per part: 320 parts for ImageNet's 1.3 million images."""


class ImagesHandle(Handle):
    """Images in the store, of which nobody knows what they show."""

    images: Product


class DatasetHandle(ImagesHandle):
    """A data set in the store; `images` says nothing about `labels`."""

    classes: Artifact
    labels: Artifact


def load_dataset(
    dataset: FlagsDataset | FolderDataset | SplitDataset | FeaturesDataset, runtime: Runtime
) -> DatasetHandle:
    """List a data set, or find it listed.

    Raises:
        DatasetError: The data set is missing, empty or contradicts itself.
        FeatureFileError: A features file cannot be used.
    """
    watch, artifacts = Stopwatch(), open_store(runtime)
    source = open_source(dataset, settle_seconds=runtime.settle_seconds)
    images, labels = artifacts.find(_images_payload(source)), artifacts.find(_labels_payload(source))
    computed = 0
    if images is None or labels is None:
        images, labels = _write_listing(artifacts, source)
        computed = images.rows
    product = Product(
        step="load_dataset",
        artifact=images,
        seconds=watch.seconds,
        computed=computed,
        reused=images.rows - computed,
    )
    return DatasetHandle(classes=write_classes(artifacts, source), images=product, labels=labels)


def read_classes(artifacts: ArtifactStore, classes: Artifact) -> ClassList:
    """The class list of a `classes` artifact."""
    document = artifacts.read_document(classes)
    stable_ids = document.get("ids")
    return ClassList(tuple(document["names"]), None if stable_ids is None else tuple(stable_ids))


def read_labels(artifacts: ArtifactStore, labels: Artifact, split: str) -> LabelTable:
    """The labels of a `labels` artifact, as those of a split: `train`, `validation` or `test`."""
    table = artifacts.read(labels)
    label_ids = table.column("label_id").to_numpy().astype(np.int64)
    return LabelTable(tuple(table.column("image_id").to_pylist()), label_ids, split)


def check_same_classes(classes: Artifact, others: Artifact, runtime: Runtime, *, what: str) -> None:
    """Refuse a further data set whose class list is another one: its label ids would mean other classes.

    Args:
        classes: The class list of the evaluation.
        others: That of the further data set.
        runtime: Where the store is.
        what: The setting that names the further data set.

    Raises:
        DatasetError: The names, or their order, differ.
    """
    artifacts = open_store(runtime)
    names, found = (read_classes(artifacts, handle).names for handle in (classes, others))
    if names != found:
        difference = _first_difference(names, found)
        raise DatasetError(f"its class list is another one ({difference}).", what, "Give the same classes in order.")


def part_name(number: int) -> str:
    """Name of the part with the given number; names sort in the order of the images."""
    return f"part-{number:06d}"


def _images_payload(source: ImageSource) -> ArtifactPayload:
    return ArtifactPayload(kind="images", step_version=IMAGES_VERSION, spec={}, inputs={"source": source.identity})


def _labels_payload(source: ImageSource) -> ArtifactPayload:
    return ArtifactPayload(kind="labels", step_version=STEP_VERSION, spec={}, inputs={"source": source.labels_identity})


def write_classes(artifacts: ArtifactStore, source: ImageSource) -> Artifact:
    """The class list of a source as an artifact; no image is looked at."""
    document = {"names": list(source.classes.names)}
    if source.classes.stable_ids is not None:
        document["ids"] = list(source.classes.stable_ids)
    payload = ArtifactPayload(kind="classes", step_version=STEP_VERSION, spec=document)
    return artifacts.find(payload) or artifacts.write_document(payload, document)


def _write_listing(artifacts: ArtifactStore, source: ImageSource) -> tuple[Artifact, Artifact]:
    images = artifacts.writer(_images_payload(source))
    labels = artifacts.writer(_labels_payload(source))
    with track("reading the data set", total=source.image_count, unit="images") as progress:
        for number, batch in enumerate(source.batches(LISTING_ROWS)):
            images.write_part(part_name(number), _images_table(batch))
            label_ids = pa.array(batch.label_ids, type=pa.int32())
            labels.write_part(part_name(number), pa.table({"image_id": list(batch.image_ids), "label_id": label_ids}))
            progress.advance(len(batch.image_ids))
    return images.commit(), labels.commit()


def _images_table(batch: ImageBatch) -> pa.Table:
    values = vectors_to_arrow(batch.values) if isinstance(batch.values, np.ndarray) else pa.array(batch.values)
    table = pa.table({"image_id": pa.array(list(batch.image_ids), type=pa.string()), batch.column: values})
    return table if batch.tokens is None else table.append_column("token", pa.array(batch.tokens, type=pa.string()))


def _first_difference(names: Sequence[str], others: Sequence[str]) -> str:
    if len(names) != len(others):
        return f"{len(others)} classes instead of {len(names)}"
    place = next(place for place, (a, b) in enumerate(zip(names, others, strict=True)) if a != b)
    return f"class {place} is {others[place]!r} instead of {names[place]!r}"
