"""From logits to predictions, and from one order of the best classes to another. No function here takes a label."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from coder_core.coder.pairs import CANDIDATES
from coder_core.coder.ranking import DEFAULT_THRESHOLD, is_gated, predict_topk, probabilities_of
from coder_core.coder.reranking import FoldedPairs, Reranked, rerank
from coder_core.errors import DatasetError
from coder_core.evaluation.predictions import HONEST, RERANK_METHOD, STORED_CLASSES, Predictions
from coder_core.image_ids import ImageIds

__all__ = ["build_predictions", "reorder_predictions", "rerank_predictions"]


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
        image_ids=image_ids if isinstance(image_ids, ImageIds) else tuple(image_ids),
        top_ids=class_ids.cpu().numpy().astype(np.int32),
        top_probabilities=probabilities.cpu().numpy().astype(np.float32),
        method=method,
        protocol=protocol,
    )


def rerank_predictions(
    stage1: Predictions,
    image_embeddings: Float[Tensor, "images dim"],
    pairs: FoldedPairs,
    *,
    threshold: float = DEFAULT_THRESHOLD,
    candidates: int = CANDIDATES,
    method: str = RERANK_METHOD,
) -> Predictions:
    """Let one-to-one texts decide between the best classes of uncertain images.

    Args:
        stage1: CODER's predictions, with at least `candidates` classes per image (all, where there are fewer).
        image_embeddings: L2-normalised rows, one per prediction, in the same order, on the device of the pairs.
        pairs: Made by `fold_pairs`.
        threshold: Images whose softmax gap is below it are looked at again.
        candidates: How many of the best compete.
        method: The name of the result.

    Returns:
        Reordered classes, each with the probability that STAGE 1 gave it (so a row need not descend any more). Its
        `details` say image by image what was gated, changed and missing; `count_reranked` adds them up.

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
    return reorder_predictions(stage1, reranked, method=method, protocol=stage1.protocol)


def reorder_predictions(predictions: Predictions, reranked: Reranked, *, method: str, protocol: str) -> Predictions:
    """Put the kept classes of every image into the order of a rerank, each with its probability.

    Args:
        predictions: What was reranked.
        reranked: The outcome, of the same images in the same order.
        method: The name of the result.
        protocol: The protocol of the result.
    """
    places = reranked.order.cpu().numpy()
    return replace(
        predictions,
        top_ids=np.take_along_axis(predictions.top_ids, places, axis=1),
        top_probabilities=np.take_along_axis(predictions.top_probabilities, places, axis=1),
        method=method,
        protocol=protocol,
        details=reranked.details,
    )
