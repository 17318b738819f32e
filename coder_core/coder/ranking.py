"""From logits to classes: the best k, their probabilities, and which images are uncertain.

One rule for ties everywhere: the lower class id wins. An image is gated, that is looked at again, when the softmax
probabilities of its two best classes are closer than a threshold: there the first decision is least certain. A second
look at it may help or hurt; what it does is counted and compared, never assumed. Where the threshold comes from is
`evaluation.threshold`'s concern. Source of the gate: Yi et al., CVPR 2024, one-to-one rerank.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from coder_core.errors import ConfigError

__all__ = ["DEFAULT_THRESHOLD", "is_gated", "predict_topk", "probabilities_of"]

DEFAULT_THRESHOLD = 0.1
"""The median, and the commonest, of the nine values that the released code sets by hand, one per data set (see
`reference_protocol.REFERENCE_THRESHOLDS`); the paper gives none. Not tuned here on anything."""


def predict_topk(logits: Float[Tensor, "images classes"], k: int) -> Int[Tensor, "images best"]:
    """Find the k best classes of every image.

    Args:
        logits: Higher is more likely.
        k: How many, at least 1; more than there are classes means all of them.

    Returns:
        Class ids, best first; among equal logits the lower id comes first.

    Raises:
        ConfigError: k is below 1.
    """
    if k < 1:
        raise ConfigError(f"k is {k}.", "predict_topk", "Ask for at least one class per image.")
    clipped = min(k, logits.shape[1])
    top = torch.topk(logits, min(clipped + 1, logits.shape[1]), dim=1)
    ids = top.indices[:, :clipped].clone()
    # topk leaves the order of equal values open: rows with a tie among the best k + 1 are sorted again, stably.
    tied = (top.values[:, 1:] == top.values[:, :-1]).any(dim=1).nonzero().squeeze(1)
    ids[tied] = torch.sort(logits[tied], dim=1, descending=True, stable=True).indices[:, :clipped]
    return ids


def probabilities_of(
    logits: Float[Tensor, "images classes"], class_ids: Int[Tensor, "images best"]
) -> Float[Tensor, "images best"]:
    """Compute the softmax probabilities of chosen classes.

    Args:
        logits: Over all classes.
        class_ids: The classes to report per image.

    Returns:
        Probabilities in [0, 1]; they sum to 1 over ALL classes, so to at most 1 here.
    """
    return torch.exp(logits.gather(1, class_ids) - torch.logsumexp(logits, dim=1, keepdim=True))


def is_gated(top_probabilities: Float[Tensor, "images best"], *, threshold: float) -> Bool[Tensor, " images"]:
    """Tell which images are looked at again. Only probabilities are read.

    Args:
        top_probabilities: Stage-1 probabilities of the best classes, best first.
        threshold: The gap below which (strictly) an image is gated: 0 gates none, anything above 1 every image that
            has a rival class.

    Raises:
        ConfigError: The threshold is negative or not a number.
    """
    if not threshold >= 0:
        raise ConfigError(f"the threshold is {threshold}.", "rerank gate", "Give a gap of probabilities, 0 or more.")
    return _softmax_gap(top_probabilities) < threshold


def _softmax_gap(top_probabilities: Float[Tensor, "images best"]) -> Float[Tensor, " images"]:
    """How far the best class is ahead of the second, in [0, 1]; infinite where there is no second."""
    if top_probabilities.shape[1] < 2:
        return top_probabilities.new_full((top_probabilities.shape[0],), float("inf"))
    return top_probabilities[:, 0] - top_probabilities[:, 1]
