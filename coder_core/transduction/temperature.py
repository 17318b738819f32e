"""The temperature of a transduction, without labels.

A discriminant that was fitted to a batch reads the same image again that stage 1 has read, so the product of both is
too sure. What it may be sure of is what stage 1 is sure of under the class prior of the batch, which uses every image
once: the temperature makes the mean probability of the best class equal to that. It moves no decision.
"""

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from coder_core.classifiers import TemperedClassifier
from coder_core.coder.classifier import Classifier
from coder_core.few_shot.text_metric import MetricSpace
from coder_core.transduction.image_batch import Parts, survey_batch, take_sample

__all__ = ["as_sure_as", "match_confidence"]

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


def as_sure_as(stage1: Classifier, found: Classifier, parts: Parts) -> TemperedClassifier:
    """Make a classifier as sure of a batch, on average, as the one that it stands on.

    Args:
        stage1: Whose probabilities are true.
        found: What the batch has made of it; never surer than at its own temperature.
        parts: The batch, which has a usable image.
    """
    sample = take_sample(parts, survey_batch(parts, MetricSpace(), stage1.shape.dim))
    own = stage1.logits(sample).float().log_softmax(dim=1)
    nothing = torch.zeros(stage1.shape.class_count, dtype=torch.float64)
    return TemperedClassifier(found, match_confidence(found.logits(sample).float(), own, nothing))


def _confidence(logits: Float[Tensor, "images classes"]) -> float:
    """Mean probability of the best class."""
    return float(torch.softmax(logits, dim=1).amax(dim=1).mean())
