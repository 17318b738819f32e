"""The temperature of a softmax, chosen by log-likelihood on labelled images that are not under test, or by a batch."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from coder_core.loops import each

__all__ = ["batch_temperature", "fit_temperature", "mean_loss"]

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
    return _search(lambda sharpness: mean_loss(logits, label_ids, sharpness))


def batch_temperature(logits: Float[Tensor, "images classes"], shares: Float[Tensor, "images classes"]) -> float:
    """Find the temperature that a batch of unlabelled images suggests, by what the batch has taught another classifier.

    Were every answer of that classifier right, the temperature of the greatest likelihood would be too low; were its
    doubts nothing but chance, the one of the greatest expected likelihood would be too high, for stage 1 is judged by
    answers that it has shaped. It is the geometric mean of both. Ours; docs/configuration.md has where it fails.

    Args:
        logits: Of the classifier whose temperature is wanted; at least one image.
        shares: Probabilities that the taught classifier gives the same images.

    Returns:
        In [1/64, 64].
    """
    numbers, wanted = logits.double(), shares.double()

    def expected_loss(sharpness: float) -> float:
        scaled = sharpness * numbers
        return float((torch.logsumexp(scaled, dim=1) - (wanted * scaled).sum(dim=1)).mean())

    return math.sqrt(_search(expected_loss) * fit_temperature(logits, shares.argmax(dim=1)))


def _search(loss: Callable[[float], float]) -> float:
    """The temperature at which a loss that is convex in its inverse is least."""
    low, high = 1 / HIGHEST, 1 / LOWEST
    for _ in each(range(ROUNDS)):
        left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        if loss(left) <= loss(right):
            high = right
        else:
            low = left
    return 2 / (low + high)


def mean_loss(logits: Float[Tensor, "images classes"], label_ids: Int[Tensor, " images"], sharpness: float) -> float:
    """The mean negative log-likelihood of `softmax(sharpness * logits)`, in nats."""
    own = logits.gather(1, label_ids.long().unsqueeze(1))
    return float(torch.logsumexp(sharpness * (logits - own).double(), dim=1).mean())
