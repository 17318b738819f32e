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

import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.nn.functional import normalize

from coder_core.coder.classifier import Classifier
from coder_core.errors import ConfigError
from coder_core.few_shot.text_metric import MetricSpace
from coder_core.transduction.batch_evidence import BatchKind, Evidence, weigh_evidence
from coder_core.transduction.batch_settings import DEFAULTS, BatchSettings
from coder_core.transduction.expectation_maximisation import BatchModel, maximise
from coder_core.transduction.image_batch import SPREAD, KnownRows, Parts, survey_batch
from coder_core.transduction.prepared_batch import PreparedBatch, PreparedImages
from coder_core.transduction.temperature import match_confidence
from coder_core.transduction.transduced import CLAIMED, Transduced

METRIC_LEVEL = 0.3
"""Of the text metric's saturating spectrum, `C / (C + level)`: docs/transduction.md."""

TEXTS_PER_DIMENSION = 2
"""A task's own texts make a metric where they are so many: fewer would leave directions of images out."""


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
    space = space or MetricSpace()
    batch = PreparedBatch(
        parts=parts,
        stage1=stage1,
        space=space,
        texts=None if class_texts is None else _centred(space, class_texts),
        known=known,
        survey=survey_batch(parts, space, shape.dim),
        settings=settings,
    )
    problem = _find_problem(batch)
    if problem is not None:
        return _unchanged(batch, problem)
    sample = batch.sample()
    evidence = weigh_evidence(sample, batch.known_statistics(), batch.texts, settings)
    if evidence.kind is BatchKind.NOTHING:
        return _unchanged(batch, evidence.reason, evidence)
    model = maximise(batch, evidence.kind, sample)
    if model is None:
        return _unchanged(batch, "stage 1 unchanged: the images do not vary within classes", evidence)
    return _finish(batch, model, evidence, sample)


def _centred(space: MetricSpace, class_texts: Float[Tensor, "classes dim"]) -> Float64[Tensor, "classes dim"]:
    """Class texts in the metric, as unit vectors about their mean."""
    mapped = space.map(class_texts).double().cpu()
    return normalize(mapped - mapped.mean(dim=0), dim=1, eps=1e-6)


def _find_problem(batch: PreparedBatch) -> str | None:
    """Why nothing can be learnt, before anything is tried."""
    count, classes = batch.survey.images, batch.stage1.shape.class_count
    if classes < 2:
        return "stage 1 unchanged: there is one class"
    if count < 2:
        return f"stage 1 unchanged: {count} usable image{'' if count == 1 else 's'}"
    if batch.survey.spread < SPREAD:
        return f"stage 1 unchanged: all {count} images are the same"
    return None


def _unchanged(batch: PreparedBatch, reason: str, evidence: Evidence | None = None) -> Transduced:
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


def _finish(batch: PreparedBatch, model: BatchModel, evidence: Evidence, sample: PreparedImages) -> Transduced:
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
