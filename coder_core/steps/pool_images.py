"""The labelled images that draws are made from, and augmented views of those that a draw takes as support."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from coder_core.encoders.base import IdentifiedEncoder
from coder_core.errors import DatasetError
from coder_core.pipeline.artifact_types import ImageEmbeddingsArtifact, ImagesArtifact, LabelsArtifact, TextsArtifact
from coder_core.pipeline.context import Context
from coder_core.steps.load_dataset import read_labels
from coder_core.steps.predict_images import read_vectors
from coder_core.storage.shared_work import Work, share_work

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float

    from coder_core.few_shot.draws import Draw
    from coder_core.few_shot.pool import Pool
    from coder_core.steps.few_shot_draw import OfDraw


@runtime_checkable
class ReadsPool(Protocol):
    """A step that draws from the pool."""

    drop_shared: bool
    texts: TextsArtifact
    test_images: ImageEmbeddingsArtifact
    pool: ImageEmbeddingsArtifact
    pool_labels: LabelsArtifact
    encoder: IdentifiedEncoder


class ReadPool(NamedTuple):
    """The pool's images that can be read, their content keys, and how many were left out as test images."""

    pool: "Pool"
    keys: dict[str, str]
    dropped: int


def read_pool(context: Context, step: ReadsPool) -> ReadPool:
    """Read the pool, without test images.

    Raises:
        LabelLeakError: A pool image is a test image, and `drop_shared` is off.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    from coder_core.few_shot.examples import refuse_shared
    from coder_core.few_shot.pool import build_pool

    listing = context.read(step.pool, ["image_id", "key", "problem"])
    listing = listing.filter(pc.is_null(listing.column("problem")))
    tested = set(context.read(step.test_images, ["key"]).column("key").to_pylist()) - {None}
    shared = pc.is_in(listing.column("key"), value_set=pa.array(sorted(tested), type=pa.string()))
    if not step.drop_shared:
        ids_by_key = dict(zip(*(listing.column(name).to_pylist() for name in ("key", "image_id")), strict=True))
        refuse_shared(ids_by_key, tested, what="few_shot.pool")
    kept = listing.filter(pc.invert(shared))
    labels = read_labels(context, step.pool_labels, "train")
    image_ids = kept.column("image_id").to_pylist()
    vectors = read_vectors(context, step.encoder, kept)
    pool = build_pool(image_ids, vectors, labels, class_count=step.texts.class_count)
    keys = dict(zip(image_ids, kept.column("key").to_pylist(), strict=True))
    return ReadPool(pool, keys, len(listing) - len(kept))


def with_views(context: Context, step: "OfDraw", read: ReadPool, draw: "Draw") -> "Pool":
    """The pool with support images at the mean of their augmented views."""
    import torch

    pool = read.pool
    keys = {pool.image_ids[row]: read.keys[pool.image_ids[row]] for row in draw.support.tolist()}
    views = torch.from_numpy(_embed_views(context, step, keys)).float()
    embeddings = pool.embeddings.float().clone()
    embeddings[torch.from_numpy(draw.support)] = torch.nn.functional.normalize(views.mean(dim=1), dim=1)
    return pool._replace(embeddings=embeddings)


def _embed_views(context: Context, step: "OfDraw", keys: dict[str, str]) -> "Float[np.ndarray, 'images views dim']":
    """Vectors of augmented views of some images, in the order of `keys` (image id -> content key)."""
    from coder_core.embedding.image_stream import view_key
    from coder_core.embedding.ledgers import open_ledger

    ledger = open_ledger(context, "image_embeddings", step.encoder)
    own = {name: [view_key(key, view) for view in range(step.views)] for name, key in keys.items()}

    def lacking(names: list[str]) -> set[str]:
        missing = set(ledger.missing([view for name in names for view in own[name]]))
        return {name for name in names if not missing.isdisjoint(own[name])}

    def embed(names: list[str]) -> None:
        _embed_lacking(context, step, names)

    work = Work(f"embedding views of images ({step.encoder.label})", own, lacking, embed)
    share_work(context.artifacts.store, ["embed_views", step.encoder.key], work)
    wanted = [view for views in own.values() for view in views]
    return ledger.read(wanted).reshape(len(keys), step.views, -1)


def _embed_lacking(context: Context, step: "OfDraw", lacking: Sequence[str]) -> None:
    from coder_core.embedding.image_stream import ImageItem, embed_images

    items = (ImageItem(name, source, step.views) for name, source in _sources(context, step.pool_images, lacking))
    embedded = embed_images(context, step.encoder, items)
    for image in context.each(embedded, "embedding views", total=len(lacking), unit="images"):
        if image.problem is not None:
            remedy = "Give the file back, or run again: the images of the pool are looked at anew."
            raise DatasetError(f"its views have no vector: {image.problem}.", str(image.item.place), remedy)


def _sources(context: Context, images: ImagesArtifact, wanted: Sequence[str]) -> list[tuple[str, str | bytes]]:
    """Where some images are, or their bytes, looked for part by part."""
    remaining = set(wanted)
    found: list[tuple[str, str | bytes]] = []
    for part in context.parts(images):
        if not remaining:
            break
        for row in context.read_part(images, part.name).to_pylist():
            if row["image_id"] in remaining:
                remaining.remove(row["image_id"])
                found.append((row["image_id"], row["content"] if "content" in row else row["location"]))
    return found
