"""Transduction: a discriminant fitted by expectation maximisation on unlabelled images, on top of any stage 1.

    z = softmax( log softmax(stage 1) + t g + pi log((n_c + alpha) / (N + alpha K)) - kappa log((e_c + e) / e) )
    n_c = sum_i z_ic       e_c = sum_i (1 - z_ic) softmax(stage 1)_ic       e: mean of e_c       g: `batch_discriminant`

A text that is near to everything claims images that others own (`e_c`), whether its class is frequent or not: that
tells a class that stage 1 favours from one that the batch has many of.

What the batch is decides how it starts and what its class prior may do (`batch_evidence`): where few classes share the
images, shares start from the estimated class prior and classes that no image claims are switched off; where all classes
are there, they start from stage 1; where the batch says nothing, stage 1 itself comes back, with the reason. Images
whose class is known enter as rows with known shares: zero-shot, few-shot and transductive are one estimator.

The batch is read part by part, once an iteration; memory does not grow with its size: what each image brings into an
iteration (its row, what stage 1 says of it) is kept where that is little, and computed anew where it is not. What is
learnt is a classifier like any other (`TransductiveClassifier`), which answers further images without looking at any
batch.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from jaxtyping import Float, Float32, Float64
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from coder_core.classifiers import TransductiveClassifier
from coder_core.coder.classifier import Classifier
from coder_core.errors import ConfigError
from coder_core.few_shot.text_metric import MetricSpace
from coder_core.loops import each
from coder_core.transduction.batch_discriminant import BatchDiscriminant, Statistics, fit_discriminant
from coder_core.transduction.batch_evidence import BatchKind, Evidence, effective_share, is_balanced, weigh_evidence
from coder_core.transduction.class_prior import claim_bias, claims_of, estimate_prior
from coder_core.transduction.image_batch import (
    SPREAD,
    BatchSurvey,
    KnownRows,
    Parts,
    centre_rows,
    survey_batch,
    take_sample,
    usable_parts,
)
from coder_core.transduction.stated_prior import scale_to_prior
from coder_core.transduction.temperature import match_confidence
from coder_core.transduction.transduced import CLAIMED, Transduced

__all__ = ["DEFAULTS", "METRIC_LEVEL", "TEXTS_PER_DIMENSION", "BatchSettings", "fit_batch"]

METRIC_LEVEL = 0.3
"""Of the text metric's saturating spectrum, `C / (C + level)`: docs/transduction.md."""

TEXTS_PER_DIMENSION = 2
"""A task's own texts make a metric where they are so many: fewer would leave directions of images out."""


class BatchSettings(NamedTuple):
    """The method's constants: one setting for all data sets and all kinds of batch (docs/transduction.md).

    Args:
        text_images: tau: for how many images the texts of a class count in its mean.
        shrinkage: s: the identity's share in the covariance.
        map_ridge: How strongly the map of texts to images is pulled towards a stretch, where all classes are there.
        weight: t: of the discriminant beside stage 1; below 1, because both look at the same image.
        prior_weight: pi, where all classes are there; 1, Bayes's rule, where few are.
        claim_weight: kappa, where all classes are there; else 0.
        concentration: alpha: images of every class that are taken for seen, where all classes are there.
        sparse_concentration: The same where few are.
        rounds: Of expectation maximisation.
    """

    text_images: float = 2.0
    shrinkage: float = 0.6
    map_ridge: float = 1.0
    weight: float = 0.25
    prior_weight: float = 0.5
    claim_weight: float = 0.5
    concentration: float = 1.0
    sparse_concentration: float = 0.05
    rounds: int = 8


DEFAULTS = BatchSettings()

EVIDENCE_TEXT_IMAGES = 1.0
"""For how many images the texts of a class count where images and texts compete: no more than one."""

KEPT_NUMBERS = 2**27
"""What a batch brings into an iteration is kept in memory up to so many numbers: 512 MB. 50,000 images of 512
dimensions and 1,000 classes bring 0.76e8 of them."""


def fit_batch(
    parts: Parts,
    stage1: Classifier,
    *,
    class_texts: Float[Tensor, "classes dim"] | None = None,
    space: MetricSpace | None = None,
    known: KnownRows | None = None,
    settings: BatchSettings = DEFAULTS,
) -> Transduced:
    """Learn from a batch of unlabelled images where classes lie and which of them are there.

    Args:
        parts: Gives the batch, part by part, each time it is called (`in_parts` cuts a tensor).
        stage1: A classifier of any kind, of two classes or more; its logits count as log-probabilities.
        class_texts: One vector per class, of unit length; None where the classes have no words.
        space: The text metric; None is the encoder's own space.
        known: Images whose class is known: the support of a few-shot run.
        settings: The method's constants.

    Raises:
        FeatureFileError: Rows have another dimension than stage 1.
        ConfigError: Class texts are not one per class.
    """
    shape = stage1.shape
    if class_texts is not None and tuple(class_texts.shape) != tuple(shape):
        raise ConfigError(f"class texts of shape {tuple(class_texts.shape)}.", "transduction", f"Give {shape}.")
    batch = _open(parts, stage1, class_texts, space or MetricSpace(), known, settings)
    problem = _find_problem(batch)
    if problem is not None:
        return _unchanged(batch, problem)
    sample = batch.sample()
    evidence = _weigh(batch, sample)
    if evidence.kind is BatchKind.NOTHING:
        return _unchanged(batch, evidence.reason, evidence)
    model = _maximise(batch, evidence.kind, sample)
    if model is None:
        return _unchanged(batch, "stage 1 unchanged: the images do not vary within classes", evidence)
    return _finish(batch, model, evidence, sample)


class _Prepared(NamedTuple):
    """What images bring into every iteration.

    Args:
        rows: Centred unit rows.
        own: Log-probabilities of stage 1.
    """

    rows: Float32[Tensor, "rows dim"]
    own: Float32[Tensor, "rows classes"]


@dataclass(frozen=True, eq=False)
class _Batch:
    """A batch, and what is known before anything is learnt from it."""

    parts: Parts
    stage1: Classifier
    space: MetricSpace
    texts: Float64[Tensor, "classes dim"] | None
    known: KnownRows | None
    survey: BatchSurvey
    settings: BatchSettings
    kept: list[_Prepared] = field(default_factory=list)

    @property
    def is_kept(self) -> bool:
        """Whether all that the batch brings into an iteration is kept in memory."""
        return self.survey.images * sum(self.stage1.shape) <= KEPT_NUMBERS

    def sample(self) -> _Prepared:
        """Images from all over the batch; all of a small one, which is read once and for all then."""
        sample = self.prepare(take_sample(self.parts, self.survey))
        if self.is_kept and len(sample.rows) == self.survey.images:
            self.kept.append(sample)
        return sample

    def prepared(self) -> Iterator[_Prepared]:
        """Go through the batch once, part by part; what is kept is computed the first time only."""
        if self.kept:
            yield from each(self.kept)
            return
        found = []
        for part in usable_parts(self.parts, self.stage1.shape.dim):
            prepared = self.prepare(part)
            found += [prepared] if self.is_kept else []
            yield prepared
        self.kept.extend(found)

    def prepare(self, embeddings: Float[Tensor, "rows dim"]) -> _Prepared:
        """What some images bring into every iteration."""
        return _Prepared(self.rows(embeddings), self.stage1.logits(embeddings).float().log_softmax(dim=1))

    def rows(self, embeddings: Float[Tensor, "rows dim"]) -> Float32[Tensor, "rows dim"]:
        """Centre rows."""
        return centre_rows(self.space, embeddings, self.survey.mean)

    def known_statistics(self) -> Statistics:
        """The sums of images whose class is known."""
        statistics = Statistics(*self.stage1.shape)
        if self.known is not None and len(self.known.label_ids):
            shares = one_hot(self.known.label_ids, self.stage1.shape.class_count)
            rows = self.rows(self.known.embeddings)
            statistics.add(rows, shares.to(rows))
        return statistics


class _Model(NamedTuple):
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

    def logits(self, batch: _Batch, images: _Prepared) -> Float32[Tensor, "rows classes"]:
        """The logits of images, as `classifier` gives them at temperature 1."""
        discriminant, weight = self.discriminant, batch.settings.weight
        bias = (self.prior + weight * discriminant.bias).to(images.own)
        return torch.addmm(images.own, images.rows, (weight * discriminant.weights).to(images.rows)).add_(bias)

    def shares(self, batch: _Batch, images: _Prepared) -> Float32[Tensor, "rows classes"]:
        """Their shares."""
        return self.logits(batch, images).softmax(dim=1)

    def classifier(self, batch: _Batch, temperature: float = 1.0) -> TransductiveClassifier:
        """Freeze it."""
        weight = batch.settings.weight
        return TransductiveClassifier(
            stage1=batch.stage1,
            bias=self.prior + weight * self.discriminant.bias,
            temperature=temperature,
            space=batch.space,
            offset=batch.survey.mean,
            weights=weight * self.discriminant.weights,
        )


def _open(
    parts: Parts,
    stage1: Classifier,
    class_texts: Float[Tensor, "classes dim"] | None,
    space: MetricSpace,
    known: KnownRows | None,
    settings: BatchSettings,
) -> _Batch:
    texts = None
    if class_texts is not None:
        mapped = space.map(class_texts).double().cpu()
        texts = normalize(mapped - mapped.mean(dim=0), dim=1, eps=1e-6)
    return _Batch(parts, stage1, space, texts, known, survey_batch(parts, space, stage1.shape.dim), settings)


def _find_problem(batch: _Batch) -> str | None:
    """Why nothing can be learnt, before anything is tried."""
    count, classes = batch.survey.images, batch.stage1.shape.class_count
    if classes < 2:
        return "stage 1 unchanged: there is one class"
    if count < 2:
        return f"stage 1 unchanged: {count} usable image{'' if count == 1 else 's'}"
    if batch.survey.spread < SPREAD:
        return f"stage 1 unchanged: all {count} images are the same"
    return None


def _unchanged(batch: _Batch, reason: str, evidence: Evidence | None = None) -> Transduced:
    survey, classes = batch.survey, batch.stage1.shape.class_count
    return Transduced(
        classifier=batch.stage1,
        kind=BatchKind.NOTHING,
        reason=reason,
        images=survey.images,
        unusable=survey.unusable,
        counts=torch.full((classes,), survey.images / classes, dtype=torch.float64),
        prior_evidence=0.0 if evidence is None else evidence.prior_evidence,
        image_evidence=0.0 if evidence is None else evidence.image_evidence,
    )


def _weigh(batch: _Batch, sample: _Prepared) -> Evidence:
    settings = batch.settings
    return weigh_evidence(
        sample.own.exp(),
        sample.rows,
        batch.known_statistics(),
        batch.texts,
        text_images=EVIDENCE_TEXT_IMAGES,
        shrinkage=settings.shrinkage,
        weight=settings.weight,
    )


def _maximise(batch: _Batch, kind: BatchKind, sample: _Prepared) -> _Model | None:
    """Go through the batch once an iteration; where it turns out to be balanced, once more with equal shares."""
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


def _iterate(batch: _Batch, kind: BatchKind, prior: Float64[Tensor, " classes"], sample: _Prepared) -> _Model | None:
    """Expectation maximisation from stage 1 and a prior on."""
    model = None
    for _ in each(range(batch.settings.rounds)):
        model = _improve(batch, kind, model, prior, sample)
        if model is None:
            return None
    return model


def _improve(
    batch: _Batch,
    kind: BatchKind,
    model: _Model | None,
    prior: Float64[Tensor, " classes"],
    sample: _Prepared,
) -> _Model | None:
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
    found = _Model(kind, discriminant, torch.zeros_like(prior), sums.counts)
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


def _expect(batch: _Batch, model: _Model | None, prior: Float64[Tensor, " classes"]) -> _Sums:
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


def _finish(batch: _Batch, model: _Model, evidence: Evidence, sample: _Prepared) -> Transduced:
    """Freeze the model at a temperature, and say what the batch was."""
    temperature = match_confidence(model.logits(batch, sample), sample.own, model.prior)
    off = int((model.counts < CLAIMED).sum())
    reason = f"{evidence.reason}; {off} of {len(model.counts)} classes claimed by no image"
    if model.kind is BatchKind.BALANCED:
        reason = f"{evidence.reason}; evenly shared, as if by {model.free_share:.0%} of the classes"
    return Transduced(
        classifier=model.classifier(batch, temperature),
        kind=model.kind,
        reason=reason,
        images=batch.survey.images,
        unusable=batch.survey.unusable,
        counts=model.counts,
        prior_evidence=evidence.prior_evidence,
        image_evidence=evidence.image_evidence,
    )
