"""Expectation maximisation: from stage 1 and a class prior to a discriminant, pass after pass over a batch.

The formulae stand in `fit_batch`.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float32, Float64
from torch import Tensor

from coder_core.classifiers import TransductiveClassifier
from coder_core.loops import each
from coder_core.transduction.batch_discriminant import BatchDiscriminant, Statistics, fit_discriminant
from coder_core.transduction.batch_evidence import BatchKind, effective_share, is_balanced
from coder_core.transduction.batch_settings import BatchSettings
from coder_core.transduction.class_prior import claim_bias, claims_of, estimate_prior
from coder_core.transduction.prepared_batch import PreparedBatch, PreparedImages
from coder_core.transduction.stated_prior import scale_to_prior


class BatchModel(NamedTuple):
    """What expectation maximisation has found so far.

    Args:
        kind: What the batch was taken for.
        discriminant: Where classes lie.
        prior: What is added to each class for its share, its weight included.
        counts: Images of each class that led to it.
        free_share: Of a balanced batch: effective share of the classes before equal shares were imposed.
    """

    kind: BatchKind
    discriminant: BatchDiscriminant
    prior: Float64[Tensor, " classes"]
    counts: Float64[Tensor, " classes"]
    free_share: float = 0.0

    def logits(self, batch: PreparedBatch, images: PreparedImages) -> Float32[Tensor, "rows classes"]:
        """The logits of images, as `classifier` gives them at temperature 1."""
        discriminant, weight = self.discriminant, batch.settings.weight
        bias = (self.prior + weight * discriminant.bias).to(images.own)
        return torch.addmm(images.own, images.rows, (weight * discriminant.weights).to(images.rows)).add_(bias)

    def shares(self, batch: PreparedBatch, images: PreparedImages) -> Float32[Tensor, "rows classes"]:
        """Each image's shares in the classes; a row sums to 1."""
        return self.logits(batch, images).softmax(dim=1)

    def classifier(self, batch: PreparedBatch, temperature: float = 1.0) -> TransductiveClassifier:
        """A classifier of it, which needs the batch no more; logits are divided by the temperature."""
        weight = batch.settings.weight
        return TransductiveClassifier(
            stage1=batch.stage1,
            bias=self.prior + weight * self.discriminant.bias,
            temperature=temperature,
            space=batch.space,
            offset=batch.survey.mean,
            weights=weight * self.discriminant.weights,
        )


def maximise(batch: PreparedBatch, kind: BatchKind, sample: PreparedImages) -> BatchModel | None:
    """Go through the batch once an iteration; where it turns out to be balanced, once more with equal shares.

    Args:
        batch: At least two usable images that differ, and two classes.
        kind: What its evidence says it is; not `NOTHING`.
        sample: Images from all over it: the first prior, and the balance, rest on them.

    Returns:
        Where classes lie and how many images each has; None where images do not vary within classes.
    """
    settings = batch.settings
    probabilities = sample.own.exp()
    prior = -settings.claim_weight * claim_bias(claims_of(probabilities, probabilities))
    if kind is BatchKind.FEW_CLASSES:
        prior = estimate_prior(probabilities, concentration=settings.sparse_concentration).log()
    model = _iterate(batch, kind, prior, sample)
    doubt = 1 - float(probabilities.max(dim=1).values.mean())
    if model is None or kind is not BatchKind.ALL_CLASSES or not is_balanced(model.counts, doubt):
        return model
    equal = torch.full_like(prior, 1 / len(prior))
    balanced = _iterate(batch, BatchKind.BALANCED, scale_to_prior(probabilities, equal), sample)
    return model if balanced is None else balanced._replace(free_share=effective_share(model.counts))


def _iterate(
    batch: PreparedBatch, kind: BatchKind, prior: Float64[Tensor, " classes"], sample: PreparedImages
) -> BatchModel | None:
    """Expectation maximisation from stage 1 and a prior on."""
    model = None
    for _ in each(range(batch.settings.rounds)):
        model = _improve(batch, kind, model, prior, sample)
        if model is None:
            return None
    return model


def _improve(
    batch: PreparedBatch,
    kind: BatchKind,
    model: BatchModel | None,
    prior: Float64[Tensor, " classes"],
    sample: PreparedImages,
) -> BatchModel | None:
    """One iteration: shares under the model (under stage 1 and a prior, before there is one), then a better model."""
    settings = batch.settings
    sums = _expect(batch, model, prior)
    discriminant = fit_discriminant(
        sums.statistics,
        batch.texts,
        text_images=settings.text_images,
        shrinkage=settings.shrinkage,
        map_ridge=settings.map_ridge if kind is BatchKind.ALL_CLASSES else None,
    )
    if discriminant is None:
        return None
    found = BatchModel(kind, discriminant, torch.zeros_like(prior), sums.counts)
    if kind is BatchKind.BALANCED:
        shares = found.shares(batch, sample)
        return found._replace(prior=scale_to_prior(shares, torch.full_like(prior, 1 / len(prior))))
    return found._replace(prior=_prior(sums, kind, settings))


class _Sums(NamedTuple):
    """What one pass adds up.

    Args:
        statistics: Of the discriminant.
        counts: Images of the batch that each class has.
        claims: What stage 1 claims for each class of images that others own.
    """

    statistics: Statistics
    counts: Float64[Tensor, " classes"]
    claims: Float64[Tensor, " classes"]


def _expect(batch: PreparedBatch, model: BatchModel | None, prior: Float64[Tensor, " classes"]) -> _Sums:
    """One pass: the shares of every image under the model (under stage 1 and a prior, without one), summed up."""
    sums = _Sums(batch.known_statistics(), torch.zeros_like(prior), torch.zeros_like(prior))
    for images in batch.prepared():
        shares = (images.own + prior.to(images.own)).softmax(dim=1) if model is None else model.shares(batch, images)
        sums.statistics.add(images.rows, shares, sureness=shares.amax(dim=1, keepdim=True))
        sums.counts.add_(shares.sum(dim=0).double().cpu())
        sums.claims.add_(claims_of(images.own.exp(), shares))
    return sums


def _prior(sums: _Sums, kind: BatchKind, settings: BatchSettings) -> Float64[Tensor, " classes"]:
    """`pi log((n_c + alpha) / (N + alpha K)) - kappa log((e_c + e) / e)`."""
    is_sparse = kind is BatchKind.FEW_CLASSES
    concentration = settings.sparse_concentration if is_sparse else settings.concentration
    shares = (sums.counts + concentration) / (sums.counts.sum() + concentration * len(sums.counts))
    if is_sparse:
        return shares.log()
    return settings.prior_weight * shares.log() - settings.claim_weight * claim_bias(sums.claims)
