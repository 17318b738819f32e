"""What is the batch? How many classes there are, how unequal they are, whether it is too small to say anything.

Two questions, each answered on images left out (no label, no constant of a data set):

* Are some classes there and others not? The estimated class prior explains images left out `prior_evidence` nats
  better than equal shares: `FEW_CLASSES` of it is a batch that falls upon half of the classes or fewer.
* Do images say where classes lie? A discriminant that is fitted to the other images should agree with stage 1 on those
  left out better than one whose class means are the texts' alone; else the batch is too small, and moving the means by
  it adds noise: `image_evidence`, in nats per image, is the mean difference of

      log sum_c softmax(stage 1)_ic softmax(g)_ic

  and has to be `SURE` standard errors above 0, of `LEAST_IMAGES` images in all or `LEAST_OF_EACH` of each class.

Where neither is so, stage 1 stays as it is. A third question is asked of what was learnt, once all classes are there:

* Do they share the images evenly? The effective number of classes (exp of the entropy of their shares) that a
  discriminant finds which was free to find any is `BALANCED_SHARE` of all or more, and `is_balanced` expects more from
  equal shares (Sinkhorn's scaling), against classes that are popular without reason, than they cost.
"""

import math
from enum import StrEnum
from typing import NamedTuple

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from coder_core.counted import counted
from coder_core.loops import each
from coder_core.transduction.batch_discriminant import Statistics, fit_discriminant
from coder_core.transduction.batch_settings import BatchSettings
from coder_core.transduction.class_prior import FOLDS, fold_numbers, prior_evidence
from coder_core.transduction.prepared_batch import PreparedImages

__all__ = ["FEW_CLASSES", "BatchKind", "Evidence", "effective_share", "is_balanced", "weigh_evidence"]

EVIDENCE_TEXT_IMAGES = 1.0
"""For how many images the texts of a class count where images and texts compete: no more than one."""

FEW_CLASSES = 0.5
"""Nats per image from which on classes are taken for missing: as if exp(-0.5), three fifths of them, shared the images.
Between 0.1 and 0.4 lie long-tailed batches, whose rare classes must not be switched off, above 0.6 batches of a tenth.
"""

SURE = 2.0
"""Standard errors that the images' evidence has to be above 0."""

LEAST_IMAGES = 200
LEAST_OF_EACH = 8.0
"""Images from which on a discriminant is fitted: in all, or of each class on average. Of fewer the covariance is noise,
and what images left out say does not tell gains from losses (measured: 64 to 192 images of 47 classes lose a point, at
two standard errors as at four)."""

BALANCED_SHARE = 0.8
"""Of the classes, effectively. Balanced batches are found with 0.84 to 1, batches with Dirichlet(1) shares with 0.76 at
most, on five real sets."""

BALANCED_IMAGES = 4
"""Of each class, on average."""

EVEN_BY_CHANCE = 0.001
"""How rarely counts of a random draw are as even as those that pass for stated shares."""


class BatchKind(StrEnum):
    """What a batch was taken for; `STATED` where a method assumes it and asks nothing."""

    BALANCED = "balanced"
    ALL_CLASSES = "all_classes"
    FEW_CLASSES = "few_classes"
    NOTHING = "nothing"
    STATED = "stated"


class Evidence(NamedTuple):
    """What images left out say.

    Args:
        kind: What the batch is taken for.
        prior_evidence: Nats per image that the estimated class prior is better than equal shares.
        image_evidence: Nats per image that means moved by images are better than those of texts.
        reason: In words, with the numbers.
    """

    kind: BatchKind
    prior_evidence: float
    image_evidence: float
    reason: str


def weigh_evidence(
    sample: PreparedImages,
    known: Statistics,
    class_texts: Float64[Tensor, "classes dim"] | None,
    settings: BatchSettings,
) -> Evidence:
    """Find out what a batch is.

    Args:
        sample: Images from all over it.
        known: Sums of images whose class is known; of none, maybe.
        class_texts: Places of the class texts; None for none.
        settings: The method's constants; `text_images` is another one here.
    """
    rows, probabilities = sample.rows, sample.own.exp()
    prior = prior_evidence(probabilities)
    left_out = [
        _agreement(sample, known, class_texts, settings, fold)
        for fold in each(range(FOLDS if len(rows) >= FOLDS else 0))
    ]
    nats = torch.cat(left_out) if left_out else torch.zeros(1)
    images, error = float(nats.mean()), float(nats.std(correction=0)) / math.sqrt(len(nats))
    if prior > FEW_CLASSES:
        share = math.exp(-prior)
        reason = f"few classes: a class prior explains images left out {prior:.2f} nats better than equal shares"
        return Evidence(
            BatchKind.FEW_CLASSES, prior, images, f"{reason} (as if {share:.0%} of the classes shared them)"
        )
    enough = len(rows) + known.rows >= min(LEAST_IMAGES, LEAST_OF_EACH * probabilities.shape[1])
    if enough and images > SURE * error:
        reason = f"images say where classes lie: {images:.2f} nats per image left out more than texts do"
        return Evidence(BatchKind.ALL_CLASSES, prior, images, reason)
    said, classes = counted(len(rows), "image says", "images say"), counted(probabilities.shape[1], "class")
    reason = f"stage 1 unchanged: {said} too little about {classes}"
    return Evidence(BatchKind.NOTHING, prior, images, f"{reason} ({images:.2f} ± {error:.2f} nats per image left out)")


def effective_share(counts: Float64[Tensor, " classes"]) -> float:
    """The effective number of classes (exp of the entropy of their shares) as a share of all."""
    shares = counts / counts.sum()
    return math.exp(float(torch.special.entr(shares).sum())) / len(counts)


def is_balanced(counts: Float64[Tensor, " classes"], doubt: float) -> bool:
    """Whether to hold a batch for one with as many images of every class.

    A random draw from balanced classes has uneven counts (their variance is their mean), and equal shares would push
    images over. They are worth it where stage 1 distorts the counts more than a draw does, or where the counts are more
    even than a draw's would be.

    Args:
        counts: What a discriminant found that was free to find any.
        doubt: Mean probability, by stage 1, that its answer is wrong.
    """
    mean, freedom = float(counts.mean()), len(counts) - 1
    if mean < BALANCED_IMAGES or effective_share(counts) < BALANCED_SHARE:
        return False
    from scipy.stats import chi2

    is_distorted = (doubt * mean) ** 2 >= mean
    return is_distorted or float(counts.var()) <= mean * float(chi2.ppf(EVEN_BY_CHANCE, freedom)) / freedom


def _agreement(
    sample: PreparedImages,
    known: Statistics,
    class_texts: Float64[Tensor, "classes dim"] | None,
    settings: BatchSettings,
    fold: int,
) -> Float[Tensor, " left_out"]:
    """By how many nats, image by image of a fold, the discriminant of the others is better than that of texts."""
    rows, probabilities = sample.rows, sample.own.exp()
    is_out = fold_numbers(len(rows)) == fold
    statistics = known.copy()
    statistics.add(rows[~is_out], probabilities[~is_out])
    nats = []
    for reads_images in (True, False):
        discriminant = fit_discriminant(
            statistics,
            class_texts,
            text_images=EVIDENCE_TEXT_IMAGES,
            shrinkage=settings.shrinkage,
            reads_images=reads_images,
        )
        if discriminant is None:
            return torch.zeros(int(is_out.sum()))
        own = (settings.weight * discriminant.scores(rows[is_out])).softmax(dim=1)
        agreed = (own * probabilities[is_out]).sum(dim=1)
        nats.append(agreed.clamp(min=torch.finfo(agreed.dtype).tiny).log())
    return (nats[0] - nats[1]).cpu()
