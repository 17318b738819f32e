"""The metric that speaks the task's own words: texts count as much as the support images are near them.

A metric is only as good as the words it is made of: names of dog breeds tell pets apart, household goods do not. Which
words a task is about can be read off a few images of it. With the support's class means `v_c` (their common mean taken
off, unit length) and the texts `u_k` (the mean of those that count taken off, unit length),

    w_k = mean over c of softmax_k(v_c . u_k / temperature)          C_task = covariance of the texts under w
    C = (1 - share) C_generic / tr C_generic + share C_task / tr C_task

The texts' mean is first that of all, then that under the weights of the first round. Ours. Neither names nor labels of
texts are read; a text that nobody is near keeps its part in `C_generic` alone. Weights that follow the nearest texts
too closely (a mixture fitted to convergence) are worse: they keep the few texts that explain the images and lose the
directions in which classes differ (docs/few-shot.md).
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.nn.functional import normalize

from coder_core.errors import ConfigError
from coder_core.few_shot.examples import Support, class_means
from coder_core.few_shot.text_metric import TextMetric, decompose, fit_metric

__all__ = ["NEIGHBOURS", "SHARE", "TEMPERATURE", "Vocabulary"]

TEMPERATURE = 0.02
"""Of the softmax over texts: a difference of 0.02 between two cosines makes a text count e times as much. 0.01 to 0.03
were alike on four data sets (development seeds)."""

SHARE = 0.9
"""Of the task's words in the metric: 0.7 to 0.97 were alike; the rest keeps directions that no word of the task has."""

NEIGHBOURS = 2048
"""Texts near a task, at most: a classifier over distributions has to keep them (4 MiB for 512 dimensions)."""

ROUNDS = 2
"""Of weighting: the second one centres the texts where the first one found the task."""


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Texts of which a metric can be made.

    Args:
        texts: `(texts, dim)` L2-normalised rows: the run's own and generic ones, in any order.
    """

    texts: Float[Tensor, "texts dim"]

    @cached_property
    def generic(self) -> TextMetric:
        """The metric of all texts alike.

        Raises:
            ConfigError: The texts do not vary.
        """
        return fit_metric(self.texts)

    def weights(self, support: Support, *, temperature: float = TEMPERATURE) -> Float64[Tensor, " texts"]:
        """How much every text counts for this task; they sum to 1."""
        means = class_means(support.embeddings, support)
        means = normalize(means - means.mean(dim=0), dim=1)
        texts = self.texts.double()
        weights = torch.full((len(texts),), 1 / max(1, len(texts)), dtype=torch.float64)
        for _ in range(ROUNDS):
            likeness = means @ normalize(texts - weights @ texts, dim=1).T
            weights = torch.softmax(likeness / temperature, dim=1).mean(dim=0)
        return weights

    def centred(self, support: Support | None = None) -> Float64[Tensor, "texts dim"]:
        """Unit rows: the texts as they lie around the mean of all, or of those that count for a task.

        Raises:
            ConfigError: The texts do not vary.
        """
        texts = self.texts.double()
        if not len(texts) or float((texts - texts[0]).abs().max()) < torch.finfo(torch.float32).eps:
            raise ConfigError(f"{len(texts)} texts do not vary.", "few_shot", "Describe the classes in words.")
        mean = texts.mean(dim=0) if support is None else self.weights(support) @ texts
        return normalize(texts - mean, dim=1)

    def nearest(self, support: Support, *, count: int = NEIGHBOURS) -> "Vocabulary":
        """The texts that count most for a task, in their order."""
        if len(self.texts) <= count:
            return self
        kept = self.weights(support).argsort(descending=True, stable=True)[:count].sort().values
        return Vocabulary(self.texts[kept])

    def fit_metric(self, support: Support, *, share: float = SHARE) -> TextMetric:
        """Make the metric of a task.

        Args:
            support: Images of the task.
            share: Of the task's words in [0, 1]; 0 is the generic metric.

        Raises:
            ConfigError: The texts do not vary.
        """
        if share == 0:
            return self.generic
        generic, own = self._covariance, _covariance(self.texts.double(), self.weights(support))
        return decompose((1 - share) * generic + share * own, count=len(self.texts))

    @cached_property
    def _covariance(self) -> Float64[Tensor, "dim dim"]:
        count = len(self.texts)
        return _covariance(self.texts.double(), torch.full((count,), 1 / max(1, count), dtype=torch.float64))


def _covariance(texts: Float64[Tensor, "texts dim"], weights: Float64[Tensor, " texts"]) -> Float64[Tensor, "dim dim"]:
    """Covariance under weights that sum to 1, brought to trace 1; zeros where the texts do not vary."""
    apart = texts - weights @ texts
    covariance = (apart * weights.unsqueeze(1)).T @ apart
    trace = covariance.trace()
    return covariance / trace if float(trace) > torch.finfo(torch.float32).eps else torch.zeros_like(covariance)
