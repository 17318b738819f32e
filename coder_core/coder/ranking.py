"""From logits to classes: the best k, their probabilities. One rule for ties everywhere: the lower class id wins."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from coder_core.errors import ConfigError

__all__ = ["predict_topk", "probabilities_of"]


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
