"""Predictions: the best classes of every image, and nothing from which a label could be read.

There is no label field and no function here takes one: what predicts cannot know the truth, so permuting the test
labels cannot change a prediction. `protocol` says whether a row is honest or reproduces the reference's behaviour; it
follows the row into every table.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from coder_core.coder.gate import DEFAULT_THRESHOLD, is_gated
from coder_core.coder.pairs import CANDIDATES
from coder_core.coder.ranking import predict_topk, probabilities_of
from coder_core.coder.rerank import FoldedPairs, RerankCounts, Reranked, rerank
from coder_core.errors import DatasetError

__all__ = [
    "HONEST",
    "RERANK_METHOD",
    "STORED_CLASSES",
    "Predictions",
    "RerankedPredictions",
    "build_predictions",
    "reorder_predictions",
    "rerank_predictions",
]

HONEST = "honest"
"""The protocol of a result that no test label has touched."""

RERANK_METHOD = "coder_rerank"
"""CODER*, the method's name in every table."""

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
        log_probabilities: `(images, classes)` float32 natural logarithms over ALL classes in label order, or None: kept
            only when asked, for the exact log-likelihood. Which of them is the true class's is not known here.

    Raises:
        DatasetError: Not all have one row per image, or an id occurs twice.
    """

    image_ids: tuple[str, ...]
    top_ids: NDArray[np.int32]
    top_probabilities: NDArray[np.float32]
    method: str
    protocol: str = HONEST
    log_probabilities: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        shapes = (self.top_ids.shape, self.top_probabilities.shape)
        if shapes[0] != shapes[1] or self.top_ids.ndim != 2 or len(self.top_ids) != len(self.image_ids):
            raise DatasetError(
                f"{len(self.image_ids)} image ids, class ids of shape {shapes[0]}, probabilities of shape {shapes[1]}.",
                f"predictions of {self.method}",
                "Give one row per image and as many probabilities as classes.",
            )
        if self.log_probabilities is not None and len(self.log_probabilities) != len(self.image_ids):
            raise DatasetError(
                f"{len(self.image_ids)} image ids, log-probabilities of {len(self.log_probabilities)} images.",
                f"predictions of {self.method}",
                "Give one row per image.",
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
    keep_log_probabilities: bool = False,
) -> Predictions:
    """Keep the best classes of every image.

    Args:
        logits: Higher is more likely; float32.
        image_ids: One per row.
        method: Who made the logits.
        k: Classes to keep; more than there are means all.
        protocol: `"honest"` unless a reproduced protocol made the logits.
        keep_log_probabilities: Keep those of all classes as well (4 bytes per image and class).

    Returns:
        Predictions on the CPU; ties go to the lower class id.

    Raises:
        DatasetError: There are not as many ids as rows, or an id occurs twice.
    """
    class_ids = predict_topk(logits, k)
    probabilities = probabilities_of(logits, class_ids)
    logs = torch.log_softmax(logits, dim=1).cpu().numpy().astype(np.float32) if keep_log_probabilities else None
    return Predictions(
        image_ids=tuple(image_ids),
        top_ids=class_ids.cpu().numpy().astype(np.int32),
        top_probabilities=probabilities.cpu().numpy().astype(np.float32),
        method=method,
        protocol=protocol,
        log_probabilities=logs,
    )


class RerankedPredictions(NamedTuple):
    """CODER* and how it came about, image by image."""

    predictions: Predictions
    reranked: Reranked

    @property
    def counts(self) -> RerankCounts:
        """What happened, added up; counts of parts of a data set add up to those of the whole."""
        return self.reranked.counts


def rerank_predictions(
    stage1: Predictions,
    image_embeddings: Float[Tensor, "images dim"],
    pairs: FoldedPairs,
    *,
    threshold: float = DEFAULT_THRESHOLD,
    candidates: int = CANDIDATES,
    method: str = RERANK_METHOD,
) -> RerankedPredictions:
    """Let one-to-one texts decide between the best classes of uncertain images.

    Args:
        stage1: CODER's predictions, with at least `candidates` classes per image (all, where there are fewer).
        image_embeddings: L2-normalised rows, one per prediction, in the same order, on the device of the pairs.
        pairs: Made by `fold_pairs`.
        threshold: Images whose softmax gap is below it are looked at again.
        candidates: How many of the best compete.
        method: The name of the result.

    Returns:
        Reordered classes, each with the probability that STAGE 1 gave it (so a row need not descend any more), and
        counts of what was gated, changed and missing. Counts of parts of a data set add up.

    Raises:
        ConfigError: The threshold is negative.
        DatasetError: There are not as many embeddings as predictions.
    """
    if len(image_embeddings) != len(stage1):
        raise DatasetError(
            f"{len(image_embeddings)} image embeddings for {len(stage1)} predictions.",
            f"rerank of {stage1.method}",
            "Give the embeddings of the predicted images, in their order.",
        )
    gated = is_gated(torch.from_numpy(stage1.top_probabilities), threshold=threshold).to(image_embeddings.device)
    top_ids = torch.from_numpy(stage1.top_ids).to(image_embeddings.device)
    reranked = rerank(image_embeddings, top_ids, gated, pairs, candidates=candidates)
    predictions = reorder_predictions(stage1, reranked.order, method=method, protocol=stage1.protocol)
    return RerankedPredictions(predictions, reranked)


def reorder_predictions(
    predictions: Predictions, order: Int[Tensor, "images best"], *, method: str, protocol: str
) -> Predictions:
    """Put the kept classes of every image into another order, each with its probability.

    Args:
        predictions: What was predicted.
        order: Which old place stands at each new place.
        method: The name of the result.
        protocol: The protocol of the result.
    """
    places = order.cpu().numpy()
    return replace(
        predictions,
        top_ids=np.take_along_axis(predictions.top_ids, places, axis=1),
        top_probabilities=np.take_along_axis(predictions.top_probabilities, places, axis=1),
        method=method,
        protocol=protocol,
    )


def refuse_repeated(image_ids: Sequence[str], place: str) -> None:
    """Raise DatasetError when an image id occurs twice: a label could not be told from the other's."""
    if len(frozenset(image_ids)) == len(image_ids):
        return
    image_id, count = Counter(image_ids).most_common(1)[0]
    raise DatasetError(f"the image id {image_id!r} occurs {count} times.", place, "Give every image an id of its own.")
