"""Kernel ridge regression in which two images are alike by what they are and by which texts they have for neighbours.

    k(x, y) = (h(x) . h(y) + exp(cos(x, y) - 1)) / 2
    f(x) = k(x, S) (K + ridge I)^-1 (Y - Z)

`h` is the square root of a distribution over neighbour texts around the task's mean (`neighbour_distribution`), `cos`
is taken under the task's metric around the support's mean (`kernel_ridge`), and Z are the zero-shot probabilities of
the support. Neither kernel alone adds to a pool what both together do (development seeds). Ours; the regression is that
of ProKeR (Bendou et al., CVPR 2025).

`h . h` is linear in h, so that half of the answer is one vector over the texts for each class, and no key is kept for
it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from jaxtyping import Float, Float64
from torch import Tensor

from coder_core.classifiers import PooledClassifier
from coder_core.coder.classifier import Classifier
from coder_core.few_shot.examples import Support
from coder_core.few_shot.kernel_ridge import (
    KernelRidgeClassifier,
    Keys,
    invert_lifted,
    keep_keys,
    left_out_of,
    residuals_of,
)
from coder_core.few_shot.neighbour_distribution import (
    NeighbourDistributionClassifier,
    Neighbours,
    find_neighbours,
    root_probabilities,
)
from coder_core.few_shot.search import Scored, Settings
from coder_core.few_shot.task_vocabulary import Vocabulary
from coder_core.few_shot.text_metric import MetricSpace
from coder_core.loops import each

__all__ = ["NeighbourRidge"]

TEMPERATURE = 0.06
"""Of the softmax over texts: 0.06 and 0.08 were alike, 0.04 was less (development seeds)."""

BETA = 1.0
"""Sharpness of the other half."""

RIDGES = (0.01, 0.03, 0.1, 0.3, 1.0)
"""Noise, in units of the kernel's diagonal."""


@dataclass(frozen=True, eq=False)
class NeighbourRidge:
    """The method, before it has seen an image.

    Args:
        vocabulary: The neighbour texts.
        space: The task's metric to some power.
        zero_shot: What is corrected; None for images alone.
        ridges: Noise to try, each above 0.
    """

    vocabulary: Vocabulary
    space: MetricSpace
    zero_shot: Classifier | None = None
    ridges: Sequence[float] = RIDGES

    def prepare(self, support: Support) -> "_NeighbourRidgeScorer":
        """Keep the support images as keys, and find their neighbours."""
        return _NeighbourRidgeScorer(self, support)


class _NeighbourRidgeScorer:
    def __init__(self, method: NeighbourRidge, support: Support) -> None:
        self._method = method
        self._support = support
        self._near: Neighbours = find_neighbours(method.vocabulary, support, centre=True)
        self._rows = root_probabilities(self._near.cosines, TEMPERATURE)
        self._keys: Keys = keep_keys(method.space, support)
        self._residuals = residuals_of(method.zero_shot, support)
        alike = self._rows.double() @ self._rows.double().T
        self._kernel = (alike + self._keys.kernel(support.embeddings, BETA)) / 2

    @property
    def default(self) -> Settings:
        """The middle ridge; zero-shot logits count as a correction of ten."""
        return {"ridge": self._method.ridges[len(self._method.ridges) // 2], "weight": 10.0}

    def classifier(self, settings: Settings) -> PooledClassifier:
        """One half over texts, one over keys."""
        coefficients = self._inverse(settings["ridge"]) @ self._residuals / 2
        means = (coefficients.T @ self._rows.double()).float()
        near, keys = self._near, self._keys
        texts = NeighbourDistributionClassifier(near.texts, near.offset, means, TEMPERATURE)
        images = KernelRidgeClassifier(keys.space, keys.offset, keys.rows, coefficients.float(), BETA)
        return PooledClassifier(texts, 1.0, PooledClassifier(images, 1.0))

    def scored(self, queries: Float[Tensor, "queries dim"]) -> Iterator[Scored]:
        """Score images under every ridge."""
        for ridge in each(self._method.ridges):
            settings = {"ridge": ridge}
            yield Scored(settings, self.classifier(settings).logits(queries))

    def leave_one_out_scores(self) -> Iterator[Scored] | None:
        """Score every support image by the regression without it; None where a class would have none left."""
        return None if int(self._support.counts.min()) < 2 else self._without_own_image()

    def _without_own_image(self) -> Iterator[Scored]:
        """As in `kernel_ridge`; the words of the task stay as they are."""
        for ridge in each(self._method.ridges):
            yield Scored({"ridge": ridge}, left_out_of(self._inverse(ridge), self._residuals))

    def _inverse(self, ridge: float) -> Float64[Tensor, "support support"]:
        return invert_lifted(self._kernel, ridge)
