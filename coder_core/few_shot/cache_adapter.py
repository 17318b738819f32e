"""Caches: support images as keys, their labels as values. Tip-Adapter, and CODER-Adapter with CODERs as keys.

    affinity = cos(phi(x), K)          scores = exp(-beta * (1 - affinity)) V          logits = Z + weight * scores

With phi CLIP's own feature this is training-free Tip-Adapter (Zhang et al., ECCV 2022, section 3.1); with phi the CODER
it is CODER-Adapter (Yi et al., CVPR 2024). Both are one class here: the metric of the texts to the power gamma. The
reference normalises affinities to [0, 1] per query (`min_max`); the paper's formula does not say so.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor

from coder_core.coder.classifier import ClassifierShape
from coder_core.coder.storable import Storable
from coder_core.few_shot.examples import Support
from coder_core.few_shot.search import Scored, Settings
from coder_core.few_shot.text_metric import MetricSpace, TextMetric, spaces_of
from coder_core.loops import each

__all__ = ["BETAS", "Cache", "CacheClassifier"]

BETAS = tuple(10 ** (step / 6 - 1) for step in range(31))
"""0.1 to 10,000. Tip-Adapter searches up to 7; uncentred CODERs all lie within a hundredth of each other and want far
sharper ones: with 100 as the end the paper's adapter lost 30 points at 16 shots of Caltech-101. Ours."""


@dataclass(frozen=True, eq=False)
class CacheClassifier(Storable):
    """A cache under one power of the metric.

    Args:
        space: Where keys and queries are compared.
        keys: Support images in that space, unit rows.
        label_ids: Their classes.
        class_count: Classes.
        beta: Sharpness, above 0.
        is_min_max: Whether affinities are brought to [0, 1] per query, as in the reference.
    """

    kind: ClassVar[str] = "cache"

    space: MetricSpace
    keys: Float32[Tensor, "support dim"]
    label_ids: Int64[Tensor, " support"]
    class_count: int
    beta: float
    is_min_max: bool

    @property
    def shape(self) -> ClassifierShape:
        """Classes, and dimensions of the keys."""
        return ClassifierShape(self.class_count, self.keys.shape[1])

    def logits(self, image_embeddings: Float[Tensor, "images dim"]) -> Float32[Tensor, "images classes"]:
        """Score images by the keys of each class: 0 or more, the more the nearer the keys are."""
        affinity = _compare(self.space.map(image_embeddings), self.keys, is_min_max=self.is_min_max)
        return _sum_over_keys(affinity, self._values, beta=self.beta)

    def find_problem(self) -> str | None:
        """Labels of no class, keys of another dimension than the space, or a beta that is not above 0."""
        if not bool(((self.label_ids >= 0) & (self.label_ids < self.class_count)).all()):
            return f"a label is not in 0..{self.class_count - 1}"
        if not self.beta > 0:
            return f"beta is {self.beta}"
        return None if self.space.dim in (None, self.shape.dim) else f"its space has {self.space.dim} dimensions"

    @cached_property
    def _values(self) -> Float32[Tensor, "support classes"]:
        return _one_hot(self.label_ids, self.class_count)


@dataclass(frozen=True, eq=False)
class Cache:
    """The method, before it has seen an image.

    Args:
        metric: The texts' metric; None is CLIP's own space, whatever the gammas.
        gammas: Powers to try; (0,) is Tip-Adapter, (1,) under an uncentred metric the paper's CODER-Adapter.
        betas: Sharpnesses to try.
        is_min_max: Whether affinities are brought to [0, 1] per query, as in the reference.
    """

    metric: TextMetric | None = None
    gammas: Sequence[float] = (0.0,)
    betas: Sequence[float] = BETAS
    is_min_max: bool = False

    def prepare(self, support: Support) -> "_CacheScorer":
        """Keep the support images as keys."""
        return _CacheScorer(self, support)


class _CacheScorer:
    """A cache that has its keys."""

    def __init__(self, method: Cache, support: Support) -> None:
        self._method = method
        self._support = support
        self._spaces = spaces_of(method.metric, method.gammas)
        self._keys = {gamma: space.map(support.embeddings) for gamma, space in each(self._spaces.items())}
        self._values = _one_hot(support.label_ids, support.class_count)

    @property
    def default(self) -> Settings:
        """The middle gamma, beta 5.5 and weight 1: what Tip-Adapter starts its search from."""
        return {"gamma": self._method.gammas[len(self._method.gammas) // 2], "beta": 5.5, "weight": 1.0}

    def classifier(self, settings: Settings) -> CacheClassifier:
        gamma, labels, count = settings["gamma"], self._support.label_ids, self._support.class_count
        is_min_max = self._method.is_min_max
        return CacheClassifier(self._spaces[gamma], self._keys[gamma], labels, count, settings["beta"], is_min_max)

    def scored(self, queries: Float[Tensor, "queries dim"]) -> Iterator[Scored]:
        """Score images under every gamma and beta; an affinity is computed once per gamma."""
        for gamma, keys in each(self._keys.items()):
            affinity = _compare(self._spaces[gamma].map(queries), keys, is_min_max=self._method.is_min_max)
            yield from self._over_betas(gamma, affinity)

    def leave_one_out_scores(self) -> Iterator[Scored] | None:
        """Score every support image by the other keys; None where a class would have none left."""
        return None if int(self._support.counts.min()) < 2 else self._without_own_image()

    def _without_own_image(self) -> Iterator[Scored]:
        itself = torch.eye(len(self._support.label_ids), dtype=torch.bool)
        for gamma, keys in each(self._keys.items()):
            queries = self._spaces[gamma].map(self._support.embeddings)
            affinity = _compare(queries, keys, is_min_max=self._method.is_min_max, hidden=itself)
            yield from self._over_betas(gamma, affinity.masked_fill(itself, -torch.inf))

    def _over_betas(self, gamma: float, affinity: Float[Tensor, "queries support"]) -> Iterator[Scored]:
        for beta in each(self._method.betas):
            yield Scored({"gamma": gamma, "beta": beta}, _sum_over_keys(affinity, self._values, beta=beta))


def _compare(
    queries: Float[Tensor, "queries dim"],
    keys: Float[Tensor, "support dim"],
    *,
    is_min_max: bool,
    hidden: Bool[Tensor, "queries support"] | None = None,
) -> Float[Tensor, "queries support"]:
    """Compute affinities; what is hidden does not count for the ends of a row that is brought to [0, 1]."""
    affinity = queries @ keys.T
    return _min_max_rows(affinity, hidden) if is_min_max else affinity


def _sum_over_keys(
    affinity: Float[Tensor, "queries support"], values: Float[Tensor, "support classes"], *, beta: float
) -> Float[Tensor, "queries classes"]:
    """Sum over the keys of each class `exp(-beta * (1 - affinity))`; an affinity of minus infinity counts nothing."""
    return torch.exp(-beta * (1 - affinity)) @ values


def _min_max_rows(
    affinity: Float[Tensor, "queries support"], hidden: Bool[Tensor, "queries support"] | None = None
) -> Float[Tensor, "queries support"]:
    """Bring every row to [0, 1]; a row of equal values becomes 0."""
    low = (affinity if hidden is None else affinity.masked_fill(hidden, torch.inf)).amin(dim=1, keepdim=True)
    high = (affinity if hidden is None else affinity.masked_fill(hidden, -torch.inf)).amax(dim=1, keepdim=True)
    return (affinity - low) / torch.where(high > low, high - low, 1.0)


def _one_hot(label_ids: Int64[Tensor, " support"], class_count: int) -> Float32[Tensor, "support classes"]:
    return torch.nn.functional.one_hot(label_ids, class_count).float()
