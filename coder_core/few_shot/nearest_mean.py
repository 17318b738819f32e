"""Nearest class mean: cosine to the mean of each class's support images, under a power of the text metric.

The baseline that every other few-shot method has to beat; under the texts' metric it is a strong one already.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from coder_core.coder.classifier import ClassifierShape
from coder_core.coder.storable import Storable
from coder_core.few_shot.examples import Support, class_means
from coder_core.few_shot.search import Scored, Settings
from coder_core.few_shot.text_metric import MetricSpace, TextMetric, spaces_of
from coder_core.loops import each

__all__ = ["NearestMean", "NearestMeanClassifier"]


@dataclass(frozen=True, eq=False)
class NearestMeanClassifier(Storable):
    """Cosine to class means.

    Args:
        space: Where they lie.
        means: Unit rows.
    """

    kind: ClassVar[str] = "nearest_mean"

    space: MetricSpace
    means: Float32[Tensor, "classes dim"]

    @property
    def shape(self) -> ClassifierShape:
        """Classes and dimensions of the means."""
        return ClassifierShape(*self.means.shape)

    def logits(self, image_embeddings: Float[Tensor, "images dim"]) -> Float32[Tensor, "images classes"]:
        """Score images by their cosines, in [-1, 1]."""
        return self.space.map(image_embeddings) @ self.means.T

    def find_problem(self) -> str | None:
        """Means of another dimension than the space."""
        return None if self.space.dim in (None, self.shape.dim) else f"its space has {self.space.dim} dimensions"


@dataclass(frozen=True, eq=False)
class NearestMean:
    """The method, before it has seen an image.

    Args:
        metric: The texts' metric; None is CLIP's own space.
        gammas: Powers to try.
    """

    metric: TextMetric | None = None
    gammas: Sequence[float] = (0.0,)

    def prepare(self, support: Support) -> "_NearestMeanScorer":
        """Average the support of each class."""
        return _NearestMeanScorer(self, support)


class _NearestMeanScorer:
    def __init__(self, method: NearestMean, support: Support) -> None:
        self._gammas = method.gammas
        self._support = support
        self._spaces = spaces_of(method.metric, method.gammas)
        self._means = {
            gamma: class_means(space.map(support.embeddings), support).float()
            for gamma, space in each(self._spaces.items())
        }

    @property
    def default(self) -> Settings:
        return {"gamma": self._gammas[len(self._gammas) // 2], "weight": 100.0}

    def classifier(self, settings: Settings) -> NearestMeanClassifier:
        gamma = settings["gamma"]
        return NearestMeanClassifier(self._spaces[gamma], _unit(self._means[gamma]))

    def scored(self, queries: Float[Tensor, "queries dim"]) -> Iterator[Scored]:
        for gamma in each(self._gammas):
            settings = {"gamma": gamma}
            yield Scored(settings, self.classifier(settings).logits(queries))

    def leave_one_out_scores(self) -> Iterator[Scored] | None:
        if int(self._support.counts.min()) < 2:
            return None
        return (Scored({"gamma": gamma}, self._without_own_image(gamma)) for gamma in each(self._gammas))

    def _without_own_image(self, gamma: float) -> Float[Tensor, "support classes"]:
        """Take every image out of its own class's mean: n/(n-1) of the mean less 1/(n-1) of the image."""
        rows, labels = self._spaces[gamma].map(self._support.embeddings), self._support.label_ids
        scores = rows @ _unit(self._means[gamma]).T
        counts = self._support.counts[labels].unsqueeze(1).float()
        without = (counts * self._means[gamma][labels] - rows) / (counts - 1)
        own = (rows * _unit(without)).sum(dim=1, keepdim=True)
        return scores.scatter(1, labels.unsqueeze(1), own)


def _unit(rows: Float[Tensor, "rows dim"]) -> Float[Tensor, "rows dim"]:
    return torch.nn.functional.normalize(rows, dim=1)
