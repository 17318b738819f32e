"""Predictions: the best classes of every image, and nothing from which a label could be read.

There is no label field and no function here takes one: what predicts cannot know the truth, so permuting the test
labels cannot change a prediction. `protocol` says whether a row is honest or reproduces the reference's behaviour; it
follows the row into every table.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from coder_core.coder.ranking import predict_topk, probabilities_of
from coder_core.errors import DatasetError

__all__ = ["HONEST", "STORED_CLASSES", "Predictions", "build_predictions"]

HONEST = "honest"
"""The protocol of a result that no test label has touched."""

STORED_CLASSES = 5
"""Classes kept per image: what top-5 accuracy needs."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """What one method said about a set of images.

    Args:
        image_ids: One id per image, all different.
        top_ids: `(images, k)` int32 class ids, best first; ties go to the lower id.
        top_probabilities: `(images, k)` float32; a row over ALL classes would sum to 1.
        method: A key of `METHODS`, or a variant's name.
        protocol: `"honest"`, or the name of the protocol that was reproduced.

    Raises:
        DatasetError: The three do not have one row per image, or an id occurs twice.
    """

    image_ids: tuple[str, ...]
    top_ids: NDArray[np.int32]
    top_probabilities: NDArray[np.float32]
    method: str
    protocol: str = HONEST

    def __post_init__(self) -> None:
        shapes = (self.top_ids.shape, self.top_probabilities.shape)
        if shapes[0] != shapes[1] or self.top_ids.ndim != 2 or len(self.top_ids) != len(self.image_ids):
            raise DatasetError(
                f"{len(self.image_ids)} image ids, class ids of shape {shapes[0]}, probabilities of shape {shapes[1]}.",
                f"predictions of {self.method}",
                "Give one row per image and as many probabilities as classes.",
            )
        refuse_repeated(self.image_ids, f"predictions of {self.method}")

    def __len__(self) -> int:
        return len(self.image_ids)


def build_predictions(
    logits: Float[Tensor, "images classes"],
    image_ids: Sequence[str],
    *,
    method: str,
    k: int = STORED_CLASSES,
    protocol: str = HONEST,
) -> Predictions:
    """Keep the best classes of every image.

    Args:
        logits: Higher is more likely; float32.
        image_ids: One per row.
        method: Who made the logits.
        k: Classes to keep; more than there are means all.
        protocol: `"honest"` unless a reproduced protocol made the logits.

    Returns:
        Predictions on the CPU; ties go to the lower class id.

    Raises:
        DatasetError: There are not as many ids as rows, or an id occurs twice.
    """
    class_ids = predict_topk(logits, k)
    probabilities = probabilities_of(logits, class_ids)
    return Predictions(
        image_ids=tuple(image_ids),
        top_ids=class_ids.cpu().numpy().astype(np.int32),
        top_probabilities=probabilities.cpu().numpy().astype(np.float32),
        method=method,
        protocol=protocol,
    )


def refuse_repeated(image_ids: Sequence[str], place: str) -> None:
    """Raise DatasetError when an image id occurs twice: a label could not be told from the other's."""
    if len(frozenset(image_ids)) == len(image_ids):
        return
    image_id, count = Counter(image_ids).most_common(1)[0]
    raise DatasetError(f"the image id {image_id!r} occurs {count} times.", place, "Give every image an id of its own.")
