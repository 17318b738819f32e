"""ProKeR: kernel ridge regression of what the zero-shot classifier gets wrong on the support, in the text metric.

    f(x) = Z(x) + weight * k(x, S) (K + ridge I)^-1 (Y - Z'(S)),      k(x, y) = exp(-beta (1 - cos(x, y)))

Source: Bendou et al., "ProKeR: A Kernel Perspective on Few-Shot Adaptation of Large Vision-Language Models", CVPR 2025:
the function nearest to the zero-shot one, in the kernel's own norm, that fits the support. `Z'` is Z brought to the
scale of the one-hot Y: divided by a stated scale, its mean over classes taken off, as published; or the zero-shot
PROBABILITIES (ours: at one shot 3 points better on DTD, since an image that texts know already asks for nothing). Which
one is chosen like everything else. Images alone: Y less the even share, plain kernel ridge regression.

Ours is the space: the text metric, the support's mean taken off. The published method compares CLIP features.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import ClassVar

import torch
from jaxtyping import Float, Float32, Float64, Int64
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from coder_core.coder.classifier import Classifier, ClassifierShape
from coder_core.coder.storable import Storable
from coder_core.few_shot.examples import Support, class_means
from coder_core.few_shot.search import Scored, Settings
from coder_core.few_shot.text_metric import MetricSpace, TextMetric, spaces_of
from coder_core.loops import each

__all__ = ["KernelRidge", "KernelRidgeClassifier", "Keys", "invert_lifted", "keep_keys", "left_out_of", "residuals_of"]

BETAS = (1.0, 3.0)
"""Sharpness of the kernel; cosines of centred rows lie around 0, and within a class around 0.3."""

RIDGES = (0.01, 0.1, 1.0)
"""Noise, in units of the kernel's diagonal."""

PROBABILITIES = 0.0
"""The target that is one-hot labels less zero-shot probabilities."""

TARGETS = (PROBABILITIES, 10.0, 30.0, 100.0)
"""That, or scales that zero-shot logits are divided by."""


@dataclass(frozen=True, eq=False)
class KernelRidgeClassifier(Storable):
    """A kernel regression with everything chosen.

    Args:
        space: Where images are compared.
        offset: What is taken off every mapped row, before it is brought to unit length.
        keys: Support images there, unit rows.
        coefficients: One row per key.
        beta: Sharpness of the kernel, above 0.
    """

    kind: ClassVar[str] = "kernel_ridge"

    space: MetricSpace
    offset: Float32[Tensor, " dim"]
    keys: Float32[Tensor, "support dim"]
    coefficients: Float32[Tensor, "support classes"]
    beta: float

    @property
    def shape(self) -> ClassifierShape:
        """Classes of the coefficients, dimensions of the keys."""
        return ClassifierShape(self.coefficients.shape[1], self.keys.shape[1])

    def logits(self, image_embeddings: Float[Tensor, "images dim"]) -> Float32[Tensor, "images classes"]:
        """Score images: about 0 to 1 for images alone, a correction of the zero-shot answer beside it."""
        rows = normalize(self.space.map(image_embeddings) - self.offset, dim=1)
        return torch.exp(-self.beta * (1 - rows @ self.keys.T)) @ self.coefficients

    def find_problem(self) -> str | None:
        """Keys of another dimension than the space, or a beta that is not above 0."""
        if not self.beta > 0:
            return f"beta is {self.beta}"
        return None if self.space.dim in (None, self.shape.dim) else f"its space has {self.space.dim} dimensions"


@dataclass(frozen=True, eq=False)
class KernelRidge:
    """The method, before it has seen an image.

    Args:
        metric: The texts' metric; None is CLIP's own space.
        zero_shot: What is corrected; None for images alone.
        gammas: Powers of the metric to try.
        betas: Sharpnesses to try.
        ridges: Noise to try, each above 0.
        targets: Of `TARGETS`, to try beside a zero-shot classifier.
    """

    metric: TextMetric | None = None
    zero_shot: Classifier | None = None
    gammas: Sequence[float] = (0.5,)
    betas: Sequence[float] = BETAS
    ridges: Sequence[float] = RIDGES
    targets: Sequence[float] = TARGETS

    def prepare(self, support: Support) -> "_RidgeScorer":
        """Keep the support images as keys."""
        return _RidgeScorer(self, support)


@dataclass(frozen=True, eq=False)
class Keys:
    """The support under one gamma.

    Args:
        space: The metric to that power.
        offset: The support's mean there.
        rows: Its images around it, unit rows.
    """

    space: MetricSpace
    offset: Float32[Tensor, " dim"]
    rows: Float32[Tensor, "support dim"]

    def kernel(self, embeddings: Float[Tensor, "rows dim"], beta: float) -> Float64[Tensor, "rows support"]:
        """Likeness of images to the support, in (0, 1]."""
        rows = normalize(self.space.map(embeddings) - self.offset, dim=1)
        return torch.exp(-beta * (1 - rows.double() @ self.rows.double().T))


class _RidgeScorer:
    def __init__(self, method: KernelRidge, support: Support) -> None:
        self._method = method
        self._support = support
        spaces = spaces_of(method.metric, method.gammas)
        self._keys = {gamma: keep_keys(space, support) for gamma, space in each(spaces.items())}
        self._targets = _targets_of(method, support)

    @property
    def default(self) -> Settings:
        """The middle of all settings, the first target; zero-shot logits count as a correction of ten."""
        method = self._method
        middle = {"gamma": method.gammas, "beta": method.betas, "ridge": method.ridges}
        chosen = {name: values[len(values) // 2] for name, values in middle.items()}
        return {**chosen, "target": next(iter(self._targets)), "weight": 10.0}

    def classifier(self, settings: Settings) -> KernelRidgeClassifier:
        keys, beta = self._keys[settings["gamma"]], settings["beta"]
        inverse = self._inverse(keys, beta, settings["ridge"])
        coefficients = (inverse @ self._targets[settings["target"]]).float()
        return KernelRidgeClassifier(keys.space, keys.offset, keys.rows, coefficients, beta)

    def scored(self, queries: Float[Tensor, "queries dim"]) -> Iterator[Scored]:
        """Score images under every setting; a kernel is computed once per gamma and beta, inverted once per ridge."""
        for (gamma, keys), beta in each(product(self._keys.items(), self._method.betas)):
            kernel = keys.kernel(queries, beta)
            for ridge in self._method.ridges:
                smoother = kernel @ self._inverse(keys, beta, ridge)
                for target, residuals in self._targets.items():
                    settings = {"gamma": gamma, "beta": beta, "ridge": ridge, "target": target}
                    yield Scored(settings, (smoother @ residuals).float())

    def leave_one_out_scores(self) -> Iterator[Scored] | None:
        """Score every support image by the regression without it; None where a class would have none left."""
        return None if int(self._support.counts.min()) < 2 else self._without_own_image()

    def _without_own_image(self) -> Iterator[Scored]:
        """With `A = (K + ridge I)^-1` and `a = A y`, the prediction of image i without itself is `y_i - a_i / A_ii`."""
        for (gamma, keys), beta, ridge in each(product(self._keys.items(), self._method.betas, self._method.ridges)):
            inverse = self._inverse(keys, beta, ridge)
            for target, residuals in self._targets.items():
                settings = {"gamma": gamma, "beta": beta, "ridge": ridge, "target": target}
                yield Scored(settings, left_out_of(inverse, residuals))

    def _inverse(self, keys: Keys, beta: float, ridge: float) -> Float64[Tensor, "support support"]:
        return invert_lifted(keys.kernel(self._support.embeddings, beta), ridge)


def keep_keys(space: MetricSpace, support: Support) -> Keys:
    """Map the support, around the mean of its class means."""
    mapped = space.map(support.embeddings)
    offset = class_means(mapped, support).mean(dim=0).float()
    return Keys(space, offset, normalize(mapped - offset, dim=1))


def invert_lifted(kernel: Float64[Tensor, "support support"], ridge: float) -> Float64[Tensor, "support support"]:
    """`(K + ridge I)^-1`."""
    lifted = kernel + ridge * torch.eye(len(kernel), dtype=torch.float64)
    return torch.cholesky_inverse(torch.linalg.cholesky((lifted + lifted.T) / 2))


def left_out_of(
    inverse: Float64[Tensor, "support support"], residuals: Float64[Tensor, "support classes"]
) -> Float32[Tensor, "support classes"]:
    """With `A = (K + ridge I)^-1` and `a = A y`, the prediction of image i without itself is `y_i - a_i / A_ii`."""
    return (residuals - (inverse @ residuals) / inverse.diagonal().unsqueeze(1)).float()


def residuals_of(zero_shot: Classifier | None, support: Support) -> Float64[Tensor, "support classes"]:
    """One-hot labels less zero-shot probabilities; less the even share for images alone."""
    labels = _one_hot(support.label_ids, support.class_count)
    if zero_shot is None:
        return labels - 1 / support.class_count
    return labels - torch.softmax(zero_shot.logits(support.embeddings).double(), dim=1)


def _targets_of(method: KernelRidge, support: Support) -> dict[float, Float64[Tensor, "support classes"]]:
    """What is to be corrected, by target."""
    of_probabilities = residuals_of(method.zero_shot, support)
    if method.zero_shot is None:
        return {PROBABILITIES: of_probabilities}
    labels = _one_hot(support.label_ids, support.class_count)
    logits = method.zero_shot.logits(support.embeddings).double()
    centred = logits - logits.mean(dim=1, keepdim=True)
    return {scale: of_probabilities if scale == PROBABILITIES else labels - centred / scale for scale in method.targets}


def _one_hot(label_ids: Int64[Tensor, " support"], class_count: int) -> Float64[Tensor, "support classes"]:
    return one_hot(label_ids, class_count).double()
