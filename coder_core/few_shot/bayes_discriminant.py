"""The Bayes form: texts say how classes differ, images say how a class varies; the answer is a posterior prediction.

A two-covariance model of images x of class c, around the mean of the support:

    m_c ~ N(strength * t_c, B),  B = prior * C^gamma       (class means differ as texts do; t_c: the class's own text)
    x   ~ N(m_c, W),             W = (1 - shrinkage) S_w + shrinkage * (tr S_w / dim) I         (texts do not touch W)

With n images of mean v_c the posterior mean is `m = t + B (B + W/n)^-1 (v - t)`, its covariance
`V = B - B (B + W/n)^-1 B`, and a new image is scored by the predictive density N(m, W + V), with the V of the mean
number of images for all classes:

    score_c(x) = x P m - m P m / 2,      P = (W + V)^-1         (nats, up to a constant of the image: linear in x)

With one image per class W is a multiple of the identity and the score saturates in the spectrum, `B / (2 B + W)`; with
many it is linear discriminant analysis. So the texts smooth the MEANS where the discriminant under the text metric
(`discriminant`) lets them shrink the covariance. Ours; the model is that of two-covariance PLDA (Brümmer & de
Villiers, Odyssey 2010).

One eigen-decomposition makes B and W diagonal together and serves all priors and strengths.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from coder_core.few_shot.discriminant import FLOOR, LeftOut
from coder_core.few_shot.examples import Support, class_means
from coder_core.few_shot.gda import GdaClassifier
from coder_core.few_shot.search import Scored, Settings
from coder_core.few_shot.text_metric import TextMetric
from coder_core.loops import each

__all__ = ["PRIORS", "BayesDiscriminant"]

PRIORS = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0, 2.0)
"""Size of B, in units of the variance of the class means that the support shows."""

BAYES_SHRINKAGES = (0.95, 0.85, 0.7, 0.5, 0.3)
"""Shares of the identity in W."""

TEXT_STRENGTHS = (0.0, 0.5, 1.0)
"""How far a class's own text moves the prior mean, in lengths of a class mean."""

RIDGE = 1e-6
"""Of the largest variance: texts that do not vary in some direction leave class means a little room there."""


@dataclass(frozen=True, eq=False)
class BayesDiscriminant:
    """The method, before it has seen an image.

    Args:
        metric: The texts' metric.
        gamma: Power of it that is the shape of B.
        priors: Sizes of B to try.
        shrinkages: Shares of the identity in W to try, each in (0, 1].
        class_texts: `(classes, dim)` one text vector per class; None for none.
        strengths: How far those move the prior mean, to try.
    """

    metric: TextMetric
    gamma: float = 1.0
    priors: Sequence[float] = PRIORS
    shrinkages: Sequence[float] = BAYES_SHRINKAGES
    class_texts: Float[Tensor, "classes dim"] | None = None
    strengths: Sequence[float] = TEXT_STRENGTHS

    def prepare(self, support: Support) -> "_BayesScorer":
        """Estimate both covariances."""
        return _BayesScorer(self, support)


class _Joint(NamedTuple):
    """Coordinates in which B is a multiple of the identity and W is diagonal.

    Args:
        basis: Columns that bring rows into them.
        within: Diagonal of W, B of prior 1 being the identity.
        support_means: Class means of the support.
        text_means: Where the class texts lie; zeros without any.
        shrinkage: Of W.
    """

    basis: Float64[Tensor, "dim dim"]
    within: Float64[Tensor, " dim"]
    support_means: Float64[Tensor, "classes dim"]
    text_means: Float64[Tensor, "classes dim"]
    shrinkage: float

    def posterior(
        self,
        support_means: Float64[Tensor, "rows dim"],
        texts: Float64[Tensor, "rows dim"],
        counts: Tensor,
        prior: float,
    ) -> Float64[Tensor, "rows dim"]:
        """Posterior means, from support means of some numbers of images and prior means."""
        return texts + prior / (prior + self.within / counts) * (support_means - texts)

    def precision(self, count: float, prior: float) -> Float64[Tensor, " dim"]:
        """Diagonal of P."""
        noise = self.within / count
        return (self.within + prior * noise / (prior + noise)).reciprocal()


class _BayesScorer:
    def __init__(self, method: BayesDiscriminant, support: Support) -> None:
        self._method = method
        self._support = support
        rows = support.embeddings.double()
        self._offset = class_means(rows, support).mean(dim=0)
        self._rows = rows - self._offset
        self._means = class_means(self._rows, support)
        self._freedom = len(rows) - support.class_count
        apart = self._rows - self._means[support.label_ids]
        self._scatter = apart.T @ apart / max(1, self._freedom)
        shrinkages = method.shrinkages if self._freedom else (1.0,)
        if float(self._scatter.trace()) <= FLOOR:
            self._freedom = 0  # one image per class, or the same one again and again
        self._count = float(support.class_count / support.counts.double().reciprocal().sum())
        self._joints = {value: self._diagonalise(value) for value in each(shrinkages)}

    @property
    def default(self) -> Settings:
        """The middle of all settings; the class's text counts in full; scores are nats."""
        shrinkages = tuple(self._joints)
        return {
            "prior": self._method.priors[len(self._method.priors) // 2],
            "shrinkage": shrinkages[len(shrinkages) // 2],
            "strength": 0.0 if self._method.class_texts is None else 1.0,
            "weight": 1.0,
        }

    def classifier(self, settings: Settings) -> GdaClassifier:
        """Fold everything into one vector and one number per class."""
        joint, prior = self._joints[settings["shrinkage"]], settings["prior"]
        means, precision = self._posterior_means(joint, settings), joint.precision(self._count, prior)
        weights = (means * precision) @ joint.basis.T
        return GdaClassifier(weights, -(means * precision * means).sum(dim=1) / 2 - weights @ self._offset)

    def scored(self, queries: Float[Tensor, "queries dim"]) -> Iterator[Scored]:
        """Score images under every setting."""
        for settings in each(self._settings()):
            yield Scored(settings, self.classifier(settings).logits(queries))

    def leave_one_out_scores(self) -> Iterator[Scored] | None:
        """Score every support image by the posterior without it; V and what P says of the others stay as they are."""
        return None if int(self._support.counts.min()) < 2 else self._without_own_image()

    def _without_own_image(self) -> Iterator[Scored]:
        for settings in each(self._settings()):
            yield Scored(settings, self._left_out(settings).scores(is_cosine=False))

    def _left_out(self, settings: Settings) -> LeftOut:
        joint, labels = self._joints[settings["shrinkage"]], self._support.label_ids
        counts = self._support.counts[labels].double().unsqueeze(1)
        rows, own = self._rows @ joint.basis, joint.support_means[labels]
        without = (counts * own - rows) / (counts - 1)
        texts = settings["strength"] * joint.text_means[labels]
        lost = (1 - joint.shrinkage) * counts / (counts - 1) / max(1, self._freedom)
        return LeftOut(
            rows=rows,
            label_ids=labels,
            means=self._posterior_means(joint, settings),
            precision=joint.precision(self._count, settings["prior"]),
            apart=rows - own,
            lost=lost.squeeze(1),
            without=joint.posterior(without, texts, counts - 1, settings["prior"]),
        )

    def _posterior_means(self, joint: _Joint, settings: Settings) -> Float64[Tensor, "classes dim"]:
        counts = self._support.counts.double().unsqueeze(1)
        texts = settings["strength"] * joint.text_means
        return joint.posterior(joint.support_means, texts, counts, settings["prior"])

    def _settings(self) -> Iterator[dict[str, float]]:
        strengths = (0.0,) if self._method.class_texts is None else self._method.strengths
        for shrinkage, strength, prior in product(self._joints, strengths, self._method.priors):
            yield {"shrinkage": shrinkage, "strength": strength, "prior": prior}

    def _diagonalise(self, shrinkage: float) -> _Joint:
        """Whiten by the root of B, and turn to the eigenvectors of W there."""
        metric, dim = self._method.metric, len(self._offset)
        within, between = self._sizes()
        shape = metric.variances.clamp(min=RIDGE).pow(self._method.gamma)
        whitening = metric.axes.T / (between * shape / shape.sum()).sqrt()
        covariance = (1 - shrinkage) * self._scatter + shrinkage * within / dim * torch.eye(dim, dtype=torch.float64)
        mapped = whitening.T @ covariance @ whitening
        variances, vectors = torch.linalg.eigh((mapped + mapped.T) / 2)
        basis = whitening @ vectors
        return _Joint(basis, variances.clamp(min=FLOOR), self._means @ basis, self._texts() @ basis, shrinkage)

    def _sizes(self) -> tuple[float, float]:
        """Traces of W and of the class means' covariance; half and half where one image per class tells neither."""
        spread = float((self._means * self._means).sum(dim=1).mean())
        if self._freedom == 0:
            return max(spread / 2, FLOOR), max(spread / 2, FLOOR)
        within = float(self._scatter.trace())
        return within, max(spread - within / self._count, spread / 10, FLOOR)

    def _texts(self) -> Float64[Tensor, "classes dim"]:
        """The class texts around their mean, as long as class means are: texts point, images say how far."""
        if self._method.class_texts is None:
            return torch.zeros_like(self._means)
        texts = self._method.class_texts.double()
        texts = texts - texts.mean(dim=0)
        length = math.sqrt(self._sizes()[1])
        return length * texts / texts.square().sum(dim=1).mean().sqrt().clamp(min=FLOOR)
