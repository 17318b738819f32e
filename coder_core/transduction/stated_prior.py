"""Baselines that move nothing but the shares of the classes: re-estimated, or stated.

`build_class_prior`: the class prior of the batch, re-estimated by expectation maximisation (Saerens, Latinne &
Decaestecker, Neural Computation 2002). `build_sinkhorn`: images are transported to classes so that every class gets its
stated share (entropic optimal transport by Sinkhorn's scaling, with the costs of OTTER: Shin et al., NeurIPS 2024,
-log p). Both come out as one number per class beside stage 1, so they answer further images as well.
"""

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from coder_core.classifiers import TransductiveClassifier
from coder_core.coder.classifier import Classifier
from coder_core.few_shot.text_metric import MetricSpace
from coder_core.loops import each
from coder_core.transduction.batch_evidence import BatchKind
from coder_core.transduction.class_prior import estimate_prior
from coder_core.transduction.image_batch import Parts, survey_batch, take_sample, usable_parts
from coder_core.transduction.transduced import Transduced

__all__ = ["build_class_prior", "build_sinkhorn", "describe_prior", "scale_to_prior"]

SCALINGS = 200
"""Of Sinkhorn at most: shares are within `CLOSE` of the stated ones long before on both real sets."""

CLOSE = 1e-3
"""Of a class's share."""


def build_class_prior(parts: Parts, stage1: Classifier) -> TransductiveClassifier:
    """Re-estimate the class prior from a batch (a sample of it, where it is large)."""
    shares = estimate_prior(_sample_probabilities(parts, stage1), concentration=0.0)
    return _shifted(stage1, shares.clamp(min=torch.finfo(torch.float32).tiny).log())


def describe_prior(parts: Parts, stage1: Classifier, *, assumes_balance: bool) -> Transduced:
    """One of the two, as any other transduction: equal shares that are stated, or shares that are estimated."""
    built = build_sinkhorn(parts, stage1) if assumes_balance else build_class_prior(parts, stage1)
    survey = survey_batch(parts, MetricSpace(), stage1.shape.dim)
    counts = torch.zeros(stage1.shape.class_count, dtype=torch.float64)
    for rows in usable_parts(parts, stage1.shape.dim):
        counts += built.logits(rows).softmax(dim=1).sum(dim=0).double().cpu()
    reason = "equal shares of all classes, assumed" if assumes_balance else "shares of the classes, re-estimated"
    return Transduced(built, BatchKind.STATED, reason, survey.images, survey.unusable, counts)


def build_sinkhorn(
    parts: Parts, stage1: Classifier, *, prior: Float64[Tensor, " classes"] | None = None
) -> TransductiveClassifier:
    """Give every class its stated share of a batch (of a sample of it, where it is large).

    Args:
        parts: The batch.
        stage1: Its logits count as log-probabilities.
        prior: Shares, above 0, that sum to 1; None for equal ones.
    """
    classes = stage1.shape.class_count
    stated = torch.full((classes,), 1 / classes, dtype=torch.float64) if prior is None else prior
    return _shifted(stage1, scale_to_prior(_sample_probabilities(parts, stage1), stated))


def scale_to_prior(
    probabilities: Float[Tensor, "images classes"], prior: Float64[Tensor, " classes"]
) -> Float64[Tensor, " classes"]:
    """Find what to add to log-probabilities so that classes get their shares of the images.

    Returns:
        The logarithms of Sinkhorn's column scalings; zeros where there is no image.
    """
    shift = torch.zeros_like(prior)
    if not len(probabilities):
        return shift
    tiny = torch.finfo(torch.float32).tiny
    for _ in each(range(SCALINGS)):
        scaled = shift.exp().to(probabilities)
        shares = scaled * (probabilities.T @ (probabilities @ scaled).clamp(min=tiny).reciprocal()) / len(probabilities)
        ratio = prior / shares.double().cpu().clamp(min=tiny)
        shift += ratio.log()
        shift -= shift.max()
        if float((ratio - 1).abs().max()) < CLOSE:
            break
    return shift


def _sample_probabilities(parts: Parts, stage1: Classifier) -> Float[Tensor, "sample classes"]:
    survey = survey_batch(parts, MetricSpace(), stage1.shape.dim)
    if not survey.images:
        return torch.zeros(0, stage1.shape.class_count)
    return stage1.logits(take_sample(parts, survey)).float().softmax(dim=1)


def _shifted(stage1: Classifier, shift: Float64[Tensor, " classes"]) -> TransductiveClassifier:
    return TransductiveClassifier(stage1=stage1, bias=shift, temperature=1.0, space=MetricSpace())
