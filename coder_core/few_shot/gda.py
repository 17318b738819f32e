"""GDA: Gaussian discriminant analysis with one shared covariance on CLIP features, the baseline "hard to beat".

Source: Wang et al., "A Hard-to-Beat Baseline for Training-free CLIP-based Adaptation", ICLR 2024, section 3: class
means, the shared covariance, its inverse by an empirical-Bayes ridge estimate (Kubokawa and Srivastava 2008),

    P = dim * ((n - 1) S + tr(S) I)^-1,    w_c = P mu_c,    b_c = log(1 / classes) - mu_c P mu_c / 2

and logits `Z + weight * (x w + b)`, the weight searched on validation. One image per class leaves S = 0, which has no
such inverse: P is then the identity (ours).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Float32, Float64
from torch import Tensor

from coder_core.coder.classifier import ClassifierShape
from coder_core.coder.storable import Storable
from coder_core.coder.vectors import repeatable
from coder_core.few_shot.discriminant import FLOOR
from coder_core.few_shot.examples import Support, class_means
from coder_core.few_shot.search import Scored, Settings

__all__ = ["GDA_WEIGHTS", "Gda", "GdaClassifier"]

GDA_WEIGHTS = (0.0, *(10 ** (step / 4 - 4) for step in range(33)))
"""0, then 0.0001 to 10,000: its scores are nats of a distribution and not cosines."""


@dataclass(frozen=True, eq=False)
class GdaClassifier(Storable):
    """One weight vector and one bias per class: what GDA is, and the Bayes form (`bayes_discriminant`).

    Args:
        weights: `w`, in label order.
        bias: `b`.
    """

    kind: ClassVar[str] = "gda"

    weights: Float64[Tensor, "classes dim"]
    bias: Float64[Tensor, " classes"]

    @property
    def shape(self) -> ClassifierShape:
        """Classes and dimensions of the weights."""
        return ClassifierShape(*self.weights.shape)

    def logits(self, image_embeddings: Float[Tensor, "images dim"]) -> Float32[Tensor, "images classes"]:
        """Score images: log-likelihood of each class in nats, up to a constant of the image."""
        return (repeatable(image_embeddings.double()) @ self.weights.T + self.bias).float()


@dataclass(frozen=True, eq=False)
class Gda:
    """The published discriminant; it has no setting but the weight beside the zero-shot logits."""

    def prepare(self, support: Support) -> "_GdaScorer":
        """Estimate means and covariance."""
        return _GdaScorer(support)


class _GdaScorer:
    def __init__(self, support: Support) -> None:
        means = class_means(support.embeddings, support)
        within = support.embeddings.double() - means[support.label_ids]
        count, dim = within.shape
        covariance = within.T @ within / max(1, count - 1)
        trace = float(covariance.trace())
        identity = torch.eye(dim, dtype=torch.float64)
        precision = identity
        if trace > FLOOR:
            precision = dim * torch.linalg.inv((count - 1) * covariance + trace * identity)
        weights = means @ precision
        prior = torch.log(torch.tensor(float(support.class_count)))
        self._classifier = GdaClassifier(weights, -prior - (weights * means).sum(1) / 2)

    @property
    def default(self) -> Settings:
        return {"weight": 1.0}

    def classifier(self, settings: Settings) -> GdaClassifier:
        del settings  # there is none
        return self._classifier

    def scored(self, queries: Float[Tensor, "queries dim"]) -> Iterator[Scored]:
        yield Scored({}, self._classifier.logits(queries))

    def leave_one_out_scores(self) -> Iterator[Scored] | None:
        """Not offered: the published method chooses on validation images or not at all."""
        return None
