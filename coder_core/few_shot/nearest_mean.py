"""Nearest class mean: cosine to the mean of each class's support images, under a power of the text metric.

The baseline that every other few-shot method has to beat; under the texts' metric it is a strong one already.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from coder_core.few_shot.discriminant import class_means
from coder_core.few_shot.examples import Support
from coder_core.few_shot.metric import TextMetric
from coder_core.few_shot.search import Scored, Settings

__all__ = ["NearestMean"]


@dataclass(frozen=True, eq=False)
class NearestMean:
    """Cosine to the class means.

    Args:
        metric: The texts' metric; None is CLIP's own space.
        gammas: Powers to try.
    """

    metric: TextMetric | None = None
    gammas: Sequence[float] = (0.0,)

    def prepare(self, support: Support) -> "_Means":
        """Average the support of each class."""
        return _Means(self, support)


class _Means:
    def __init__(self, method: NearestMean, support: Support) -> None:
        self._method = method
        self._support = support
        mapped = {gamma: self._map(support.embeddings, gamma) for gamma in method.gammas}
        self._means = {gamma: class_means(rows, support).float() for gamma, rows in mapped.items()}

    @property
    def default(self) -> Settings:
        return {"gamma": self._method.gammas[len(self._method.gammas) // 2], "weight": 100.0}

    def scored(self, queries: Float[Tensor, "queries dim"]) -> Iterator[Scored]:
        for gamma in self._method.gammas:
            yield Scored({"gamma": gamma}, self.scores(queries, {"gamma": gamma}))

    def scores(self, queries: Float[Tensor, "queries dim"], settings: Settings) -> Float[Tensor, "queries classes"]:
        means = torch.nn.functional.normalize(self._means[settings["gamma"]], dim=1)
        return self._map(queries, settings["gamma"]) @ means.T

    def left_out(self) -> Iterator[Scored] | None:
        if int(self._support.counts.min()) < 2:
            return None
        return (Scored({"gamma": gamma}, self._left_out_scores(gamma)) for gamma in self._method.gammas)

    def _left_out_scores(self, gamma: float) -> Float[Tensor, "support classes"]:
        """Take every image out of its own class's mean: n/(n-1) of the mean less 1/(n-1) of the image."""
        rows, labels = self._map(self._support.embeddings, gamma), self._support.label_ids
        scores = rows @ torch.nn.functional.normalize(self._means[gamma], dim=1).T
        counts = self._support.counts[labels].unsqueeze(1).float()
        without = (counts * self._means[gamma][labels] - rows) / (counts - 1)
        own = (rows * torch.nn.functional.normalize(without, dim=1)).sum(dim=1, keepdim=True)
        return scores.scatter(1, labels.unsqueeze(1), own)

    def _map(self, embeddings: Float[Tensor, "rows dim"], gamma: float) -> Float[Tensor, "rows dim"]:
        metric = self._method.metric
        return embeddings.float() if metric is None else metric.map(embeddings, gamma=gamma)
