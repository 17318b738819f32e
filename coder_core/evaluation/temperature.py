"""The temperature of a softmax, chosen by log-likelihood on labelled images that are not under test, or by a batch.

Logits of zero-shot methods are cosines times 100: `fit_temperature` and `batch_temperature` search around 1. Scores of
few-shot methods are cosines, counts or nats: `fit_score_temperature` searches around their own spread.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from coder_core.loops import each

__all__ = ["batch_temperature", "fit_score_temperature", "fit_temperature", "mean_loss", "note_on_bound", "spread_of"]

LOWEST, HIGHEST = 1 / 64, 64.0
"""Bounds of the search. Where every image is right, the likelihood has no maximum: the answer is the lower bound, or
the temperature below which doubles tell no difference."""

AT_BOUND = 1e-6
"""Relative distance from a bound that is none: the search ends closer."""

CERTAIN = 1e-9
"""A mean loss, in nats, below which the likelihood hardly rises any more, however low the temperature."""

ROUNDS = 60
"""Of golden section: the last interval is a 10^-12th of the first."""

GOLDEN = 0.6180339887498949

SPREADS = 1024.0
"""Temperatures of scores are looked for between their spread over the classes divided by this and times this."""

SCORE_ROUNDS = 26
"""Of golden section on the logarithm of that range: a temperature is known to 0.005 %."""

VALUES_AT_MOST = 4_000_000
"""Images x classes that a temperature of scores is found on; of more images, evenly spaced ones are taken."""


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


def note_on_bound(temperature: float, loss: float | None = None) -> str | None:
    """What to know of a temperature that is no best one, because the search has ended first; None of any other.

    Args:
        temperature: By `fit_temperature` or `batch_temperature`.
        loss: The mean negative log-likelihood at it, in nats, where it is known.
    """
    if loss is not None and loss < CERTAIN:
        return "every image is right: no temperature is the best, and probabilities next to 1 promise nothing"
    if temperature <= LOWEST * (1 + AT_BOUND):
        return "it is the lowest that is looked for, and a lower one would fit better: is logit_scale far too low?"
    if temperature >= HIGHEST * (1 - AT_BOUND):
        return (
            "it is the highest that is looked for, and a higher one would fit better: are answers no better than "
            "chance, or is logit_scale far too high?"
        )
    return None


def fit_score_temperature(scores: Float[Tensor, "images classes"], label_ids: Int[Tensor, " images"]) -> float:
    """Find the temperature of scores of any scale, also where the labelled images are few.

    Beside the n images counts one more that shows any class alike: each image's target is its label with weight
    n / (n + 1), and every class alike with the rest. Five images that are all right do not promise that the sixth
    is; without that further image the likelihood would make it certain. Source: Platt, Probabilistic Outputs for
    Support Vector Machines, 1999, section 2.2, which smooths targets by the rule of succession.

    Args:
        scores: Higher is more likely; at least one image.
        label_ids: Their classes.

    Returns:
        Above 0, within a factor of 1024 of the scores' spread over the classes.
    """
    step = max(1, -(-scores.numel() // VALUES_AT_MOST))
    numbers, labels = scores[::step].double(), label_ids[::step].long()
    count = len(labels)
    own = numbers.gather(1, labels.unsqueeze(1)).squeeze(1)
    wanted = (count * own + numbers.mean(dim=1)) / (count + 1)
    apart = numbers - wanted.unsqueeze(1)

    def loss(logarithm: float) -> float:
        return float(torch.logsumexp(math.exp(-logarithm) * apart, dim=1).mean())

    middle, reach = math.log(spread_of(numbers)), math.log(SPREADS)
    return math.exp(_golden_section(loss, middle - reach, middle + reach))


def spread_of(scores: Float[Tensor, "images classes"]) -> float:
    """The standard deviation over the classes, on average over the images; 1 where scores do not differ."""
    spread = float(scores.double().std(dim=1, correction=0).mean())
    return spread if spread > torch.finfo(torch.float32).tiny else 1.0


def _golden_section(loss: Callable[[float], float], low: float, high: float) -> float:
    """Where a loss with one minimum is least; it is computed once a round."""
    left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    losses = [loss(left), loss(right)]
    for _ in each(range(SCORE_ROUNDS)):
        if losses[0] <= losses[1]:
            high, right = right, left
            left = high - GOLDEN * (high - low)
            losses = [loss(left), losses[0]]
        else:
            low, left = left, right
            right = low + GOLDEN * (high - low)
            losses = [losses[1], loss(right)]
    return (low + high) / 2


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
