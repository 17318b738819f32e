"""Caches: support images as keys, their labels as values. Tip-Adapter, and CODER-Adapter with CODERs as keys.

    affinity = cos(phi(x), K)          scores = exp(-beta * (1 - affinity)) V          logits = Z + weight * scores

With phi CLIP's own feature this is training-free Tip-Adapter (Zhang et al., ECCV 2022, section 3.1); with phi the CODER
it is CODER-Adapter (Yi et al., CVPR 2024). Both are one class here: the metric of the texts to the power gamma. The
reference normalises affinities to [0, 1] per query (`min_max`); the paper's formula does not say so.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from coder_core.few_shot.examples import Support
from coder_core.few_shot.metric import TextMetric
from coder_core.few_shot.search import Scored, Settings

__all__ = ["BETAS", "Cache", "CacheScorer", "cache_scores", "min_max_rows"]

BETAS = tuple(10 ** (step / 6 - 1) for step in range(31))
"""0.1 to 10,000. Tip-Adapter searches up to 7; uncentred CODERs all lie within a hundredth of each other and want far
sharper ones: with 100 as the end the paper's adapter lost 30 points at 16 shots of Caltech-101. Ours."""


@dataclass(frozen=True, eq=False)
class Cache:
    """A cache under a metric.

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

    def prepare(self, support: Support) -> "CacheScorer":
        """Keep the support images as keys."""
        return CacheScorer(self, support)


class CacheScorer:
    """A cache that has its keys."""

    def __init__(self, cache: Cache, support: Support) -> None:
        self._cache = cache
        self._support = support
        self._keys = {gamma: self._map(support.embeddings, gamma) for gamma in cache.gammas}
        self._values = torch.nn.functional.one_hot(support.label_ids, support.class_count).float()

    @property
    def default(self) -> Settings:
        """The middle gamma, beta 5.5 and weight 1: what Tip-Adapter starts its search from."""
        return {"gamma": self._cache.gammas[len(self._cache.gammas) // 2], "beta": 5.5, "weight": 1.0}

    def scored(self, queries: Float[Tensor, "queries dim"]) -> Iterator[Scored]:
        """Score images under every gamma and beta; an affinity is computed once per gamma."""
        for gamma in self._cache.gammas:
            yield from self._over_betas(gamma, self._affinity(queries, gamma))

    def scores(self, queries: Float[Tensor, "queries dim"], settings: Settings) -> Float[Tensor, "queries classes"]:
        """Score images under one gamma and beta."""
        return cache_scores(self._affinity(queries, settings["gamma"]), self._values, beta=settings["beta"])

    def left_out(self) -> Iterator[Scored] | None:
        """Score every support image by the other keys; None where a class would have none left."""
        if int(self._support.counts.min()) < 2:
            return None
        return self._left_out()

    def _left_out(self) -> Iterator[Scored]:
        itself = torch.eye(len(self._support.label_ids), dtype=torch.bool)
        for gamma in self._cache.gammas:
            affinity = self._affinity(self._support.embeddings, gamma, hidden=itself)
            yield from self._over_betas(gamma, affinity.masked_fill(itself, -torch.inf))

    def _over_betas(self, gamma: float, affinity: Float[Tensor, "queries support"]) -> Iterator[Scored]:
        for beta in self._cache.betas:
            settings = {"gamma": gamma, "beta": beta}
            yield Scored(settings, cache_scores(affinity, self._values, beta=beta))

    def _affinity(
        self, queries: Float[Tensor, "queries dim"], gamma: float, *, hidden: Tensor | None = None
    ) -> Float[Tensor, "queries support"]:
        affinity = self._map(queries, gamma) @ self._keys[gamma].T
        return min_max_rows(affinity, hidden) if self._cache.is_min_max else affinity

    def _map(self, embeddings: Float[Tensor, "rows dim"], gamma: float) -> Float[Tensor, "rows dim"]:
        if self._cache.metric is None:
            return embeddings.float()
        return self._cache.metric.map(embeddings, gamma=gamma)


def cache_scores(
    affinity: Float[Tensor, "queries support"], values: Float[Tensor, "support classes"], *, beta: float
) -> Float[Tensor, "queries classes"]:
    """Sum over the keys of each class `exp(-beta * (1 - affinity))`; an affinity of minus infinity counts nothing."""
    return torch.exp(-beta * (1 - affinity)) @ values


def min_max_rows(
    affinity: Float[Tensor, "queries support"], hidden: Tensor | None = None
) -> Float[Tensor, "queries support"]:
    """Bring every row to [0, 1]; a row of equal values becomes 0. What is hidden does not count for the ends."""
    low = (affinity if hidden is None else affinity.masked_fill(hidden, torch.inf)).amin(dim=1, keepdim=True)
    high = (affinity if hidden is None else affinity.masked_fill(hidden, -torch.inf)).amax(dim=1, keepdim=True)
    return (affinity - low) / torch.where(high > low, high - low, 1.0)
