"""The temperature of a softmax, chosen by log-likelihood on labelled images that are not under test."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from coder_core.loops import each

__all__ = ["fit_temperature", "mean_loss"]

LOWEST, HIGHEST = 1 / 64, 64.0
"""Bounds of the search. Where every image is right, the likelihood has no maximum: the answer is the lower bound."""

ROUNDS = 60
"""Of golden section: the last interval is a 10^-12th of the first."""

GOLDEN = 0.6180339887498949


def fit_temperature(logits: Float[Tensor, "images classes"], label_ids: Int[Tensor, " images"]) -> float:
    """Find the temperature of the greatest likelihood.

    The mean loss of `softmax(logits / temperature)` is convex in `1 / temperature`, so it has one minimum.
    Source: Guo et al., ICML 2017, section 4.2.

    Args:
        logits: Of images that nothing was fitted on; at least one image.
        label_ids: Their classes.

    Returns:
        In [1/64, 64].
    """
    low, high = 1 / HIGHEST, 1 / LOWEST
    for _ in each(range(ROUNDS)):
        left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        if mean_loss(logits, label_ids, left) <= mean_loss(logits, label_ids, right):
            high = right
        else:
            low = left
    return 2 / (low + high)


def mean_loss(logits: Float[Tensor, "images classes"], label_ids: Int[Tensor, " images"], sharpness: float) -> float:
    """The mean negative log-likelihood of `softmax(sharpness * logits)`, in nats."""
    own = logits.gather(1, label_ids.long().unsqueeze(1))
    return float(torch.logsumexp(sharpness * (logits - own).double(), dim=1).mean())
