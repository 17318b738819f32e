"""The temperature of a transduction, without labels.

A discriminant that was fitted to a batch reads the same image again that stage 1 has read, so the product of both is
too sure. What it may be sure of is what stage 1 is sure of under the class prior of the batch, which uses every image
once: the temperature makes the mean probability of the best class equal to that. It moves no decision.
"""

import torch
from jaxtyping import Float, Float64
from torch import Tensor

__all__ = ["match_confidence"]

HALVINGS = 30
"""Of the interval in which the temperature is looked for: 1e-7 of it."""

HOTTEST = 100.0
"""At most: CLIP's own scale, under which logits are cosines."""


def match_confidence(
    logits: Float[Tensor, "sample classes"], own: Float[Tensor, "sample classes"], prior: Float64[Tensor, " classes"]
) -> float:
    """Find the temperature at which a classifier is as sure as its stage 1 under the batch's class prior.

    Args:
        logits: Of images of the batch, at temperature 1.
        own: Log-probabilities of stage 1 for them.
        prior: Logarithms of the classes' shares, times their weight.

    Returns:
        Between 1 (it is not surer than that) and `HOTTEST`.
    """
    wanted = _confidence(own + prior.to(own))
    low, high = 1.0, HOTTEST
    if _confidence(logits) <= wanted:
        return low
    for _ in range(HALVINGS):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if _confidence(logits / middle) > wanted else (low, middle)
    return float((low * high) ** 0.5)


def _confidence(logits: Float[Tensor, "images classes"]) -> float:
    """Mean probability of the best class."""
    return float(torch.softmax(logits, dim=1).amax(dim=1).mean())
