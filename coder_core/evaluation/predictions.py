"""Predictions: the best classes of every image, and nothing from which a label could be read.

There is no label field: what predicts (`predicting`) cannot know the truth, so permuting the test labels cannot change
a prediction. `protocol` says whether a row is honest or reproduces the reference's behaviour; it follows the row into
every table. What reads predictions needs no torch, and nor does this module.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coder_core.errors import DatasetError
from coder_core.image_ids import ImageIds

__all__ = [
    "HONEST",
    "REFERENCE",
    "RERANK_METHOD",
    "STAGE1_METHOD",
    "STORED_CLASSES",
    "Predictions",
    "RerankCounts",
    "count_reranked",
    "refuse_repeated",
]

HONEST = "honest"
"""The protocol of a result that no test label has touched."""

REFERENCE = "reference"
"""The protocol of a row that test labels have steered, see `reference_protocol`."""

STAGE1_METHOD = "coder"
"""CODER, the method that the rerank starts from."""

RERANK_METHOD = "coder_rerank"
"""CODER*, the method's name in every table."""

STORED_CLASSES = 5
"""Classes kept per image: what top-5 accuracy needs."""

Details = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Predictions:
    """The decisions of one method on a set of images.

    Args:
        image_ids: One id per image, all different.
        top_ids: `(images, k)` int32 class ids, best first; ties go to the lower id.
        top_probabilities: `(images, k)` float32; a row over ALL classes would sum to 1.
        method: A key of `METHODS`, or a variant's name.
        protocol: `"honest"`, or the name of the protocol that was reproduced.
        details: Further `(images,)` columns on how the decisions came about; empty for most methods. Those of a rerank:
            see `coder.reranking.Reranked.details`.

    Raises:
        DatasetError: Not all have one row per image, or an id occurs twice.
    """

    image_ids: Sequence[str]
    top_ids: NDArray[np.int32]
    top_probabilities: NDArray[np.float32]
    method: str
    protocol: str = HONEST
    details: Details = field(default_factory=dict)

    def __post_init__(self) -> None:
        shapes = (self.top_ids.shape, self.top_probabilities.shape)
        if shapes[0] != shapes[1] or self.top_ids.ndim != 2 or len(self.top_ids) != len(self.image_ids):
            raise DatasetError(
                f"{len(self.image_ids)} image ids, class ids of shape {shapes[0]}, probabilities of shape {shapes[1]}.",
                f"predictions of {self.method}",
                "Give one row per image and as many probabilities as classes.",
            )
        wrong = [name for name, column in self.details.items() if column.shape != (len(self.image_ids),)]
        if wrong:
            raise DatasetError(
                f"{len(self.image_ids)} image ids, details {wrong[0]!r} of shape {self.details[wrong[0]].shape}.",
                f"predictions of {self.method}",
                "Give one value per image.",
            )
        refuse_repeated(self.image_ids, f"predictions of {self.method}")

    def __len__(self) -> int:
        return len(self.image_ids)


@dataclass(frozen=True)
class RerankCounts:
    """What a rerank did to a set of images.

    Args:
        images: All images.
        gated: Those looked at again.
        changed: Gated images whose best class is another one now.
        pairs_wanted: Comparisons that gated images asked for: ten per image with five candidates.
        pairs_missing: Those among them for which there is no text in either direction.
        pairs_one_sided: Those among them for which there are texts in one direction only.
        images_incomplete: Gated images with at least one missing or one-sided pair.
    """

    images: int
    gated: int
    changed: int
    pairs_wanted: int
    pairs_missing: int
    pairs_one_sided: int
    images_incomplete: int


def count_reranked(details: Details) -> RerankCounts:
    """Add up what a rerank did, from the columns that it leaves beside its predictions."""
    incomplete = (details["pairs_missing"] + details["pairs_one_sided"]) > 0
    return RerankCounts(
        images=len(incomplete),
        gated=int(details["gated"].sum()),
        changed=int(details["changed"].sum()),
        pairs_wanted=int(details["pairs_wanted"].sum()),
        pairs_missing=int(details["pairs_missing"].sum()),
        pairs_one_sided=int(details["pairs_one_sided"].sum()),
        images_incomplete=int(incomplete.sum()),
    )


def refuse_repeated(image_ids: Sequence[str], place: str) -> None:
    """Raise DatasetError when an image id occurs twice: a label could not be told from the other's."""
    is_unique = image_ids.is_unique if isinstance(image_ids, ImageIds) else len(frozenset(image_ids)) == len(image_ids)
    if is_unique:
        return
    image_id, count = Counter(image_ids).most_common(1)[0]
    raise DatasetError(f"the image id {image_id!r} occurs {count} times.", place, "Give every image an id of its own.")
