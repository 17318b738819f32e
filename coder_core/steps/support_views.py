"""Augmented views of support images in the encoder's space; like every vector, each is embedded once and kept."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from coder_core.encoders.loading import load_encoder
from coder_core.fingerprint import key_of
from coder_core.images.augmentation import augment
from coder_core.images.decoding import decode_image
from coder_core.specs import Runtime
from coder_core.steps.encoding import EncoderHandle, open_ledger
from coder_core.steps.image_batches import load_image
from coder_core.steps.workplace import open_store
from coder_core.storage.artifacts import Artifact, ArtifactStore

VIEWS_VERSION = 1
"""Goes up when `augment` makes other views."""


def embed_views(
    image_keys: dict[str, str], images: Artifact, views: int, encoder: EncoderHandle, runtime: Runtime
) -> Float[np.ndarray, "images views dim"]:
    """Embed augmented views of some images.

    Args:
        image_keys: Image id -> content key, all of images that can be decoded.
        images: The listing that says where their bytes are.
        views: Of each image, at least 1.
        encoder: Whose vectors.
        runtime: Device, batch size, store.

    Returns:
        In the order of `image_keys`.
    """
    artifacts = open_store(runtime)
    ledger = open_ledger(artifacts, "image_embeddings", encoder)
    wanted = {image_id: [view_key(key, view) for view in range(views)] for image_id, key in image_keys.items()}
    missing = set(ledger.missing([key for keys in wanted.values() for key in keys]))
    lacking = [image_id for image_id, keys in wanted.items() if missing & set(keys)]
    if lacking:
        model = load_encoder(encoder.spec, encoder.identity, device=runtime.device, batch_size=runtime.batch_size)
        for image_id, content in _read_contents(artifacts, images, lacking):
            image = decode_image(content)
            keys = wanted[image_id]
            prepared = [model.prepare_image(augment(image, seed=int(key[:16], 16))) for key in keys]
            ledger.append(keys, model.encode_images(prepared))
    vectors = ledger.read([key for keys in wanted.values() for key in keys])
    return np.array(vectors).reshape(len(wanted), views, -1)


def view_key(content_key: str, view: int) -> str:
    """Ledger key of one view of an image."""
    return key_of(["view", VIEWS_VERSION, content_key, view])


def _read_contents(artifacts: ArtifactStore, images: Artifact, wanted: Sequence[str]) -> list[tuple[str, bytes]]:
    """The bytes of some images, looked for part by part."""
    remaining, found = set(wanted), []
    for part in artifacts.parts(images):
        if not remaining:
            break
        for row in artifacts.read_part(images, part.name).to_pylist():
            if row["image_id"] in remaining:
                remaining.remove(row["image_id"])
                found.append((row["image_id"], load_image(row["content"] if "content" in row else row["location"])))
    return found
