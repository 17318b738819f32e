"""Images whose true class is not among those that a prediction keeps: few, and looked at once more by who measures."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from coder_core.encoders.base import IdentifiedEncoder
from coder_core.loops import each
from coder_core.pipeline.artifact_handle import ArtifactHandle
from coder_core.pipeline.artifact_types import ImageEmbeddingsArtifact
from coder_core.pipeline.context import Context
from coder_core.steps.predict_images import read_vectors, usable_images

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from jaxtyping import Bool, Float, Float64, Int, Int64
    from torch import Tensor

ROWS_AT_ONCE = 262_144
"""Images whose likelihoods are computed at a time: all at once would take twice the memory of the predictions."""


def read_again(
    context: Context,
    said: ArtifactHandle,
    images: ImageEmbeddingsArtifact,
    encoder: IdentifiedEncoder,
    image_ids: Sequence[str],
    is_wanted: "Bool[np.ndarray, ' images']",
) -> "Iterator[tuple[Int64[np.ndarray, ' some'], Float[Tensor, 'some dim']]]":
    """The vectors of some of the images that were predicted, part by part, and which rows of the predictions they are.

    Args:
        context: The store.
        said: The predictions, in the parts of the images.
        images: Embeddings.
        encoder: Whose.
        image_ids: In the order of the predictions.
        is_wanted: Which of them.
    """
    import numpy as np
    import pyarrow as pa

    parts, start = context.parts(said), 0
    for part in context.each(parts, "scoring", total=len(parts), unit="parts"):
        rows = start + np.flatnonzero(is_wanted[start : start + part.rows])
        if len(rows):
            own = _in_order(usable_images(context, images, part.name), image_ids[start : start + part.rows])
            yield rows, read_vectors(context, encoder, own.take(pa.array(rows - start)))
        start += part.rows


def kept_log_shares(
    label_ids: "Int64[np.ndarray, ' images']",
    top_ids: "Int[np.ndarray, 'images best']",
    top_probabilities: "Float[np.ndarray, 'images best']",
) -> "Float64[np.ndarray, ' images']":
    """The natural logarithms of the true classes' probabilities; NaN where the class is not among those kept.

    Args:
        label_ids: True class of each image.
        top_ids: Its best classes.
        top_probabilities: Their probabilities, 0..1.
    """
    import numpy as np

    found = np.empty(len(label_ids))
    for start in each(range(0, len(label_ids), ROWS_AT_ONCE)):
        block = slice(start, start + ROWS_AT_ONCE)
        is_true = top_ids[block] == label_ids[block, None]
        kept = np.where(is_true, top_probabilities[block], 0).sum(axis=1).astype(np.float64)
        found[block] = np.where(is_true.any(axis=1), np.log(np.maximum(kept, np.finfo(np.float32).tiny)), np.nan)
    return found


def log_shares(
    logits: "Float[Tensor, 'images classes']", label_ids: "Int64[np.ndarray, ' images']"
) -> "Float64[np.ndarray, ' images']":
    """The natural logarithms of the probabilities of some classes, one of each image."""
    import numpy as np

    scores = logits.double().numpy()
    highest = scores.max(axis=1)
    total = np.log(np.exp(scores - highest[:, None]).sum(axis=1))
    return np.asarray(scores[np.arange(len(label_ids)), label_ids] - highest - total, dtype=np.float64)


def _in_order(usable: "pa.Table", image_ids: Sequence[str]) -> "pa.Table":
    """The images of a part in the order of its predictions, which is theirs, as a rule."""
    import pyarrow as pa

    from coder_core.storage.tables import ids_from_arrow

    listed = ids_from_arrow(usable.column("image_id"))
    return usable if listed == image_ids else usable.take(pa.array(listed.find(image_ids)))
