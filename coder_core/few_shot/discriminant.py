"""Linear discriminant analysis in the space of the text metric: texts as prior, support images as evidence.

Ours (third finding of `method.md`, section 5). Features are mapped by `C^(gamma/2)`, the mean of the support is taken
off (images of one data set share a large offset that tells no class from another), and the shared within-class
covariance is shrunk towards the identity OF THAT SPACE:

    Sigma = (1 - shrinkage) S_w + shrinkage * (tr S_w / dim) I        score_c(x) = x P mu_c - mu_c P mu_c / 2

with `P` the inverse of Sigma, scaled to mean 1 so that scores stay comparable across shrinkages. In CLIP's own
coordinates the identity is `C^-gamma`: the metric of the texts is the prior of the discriminant. With one image per
class there is no within-class covariance, and this is the nearest mean under the text metric; with more, the images say
what texts cannot know. With no metric (gamma 0, nothing taken off) it is plain LDA on CLIP features.

One eigen-decomposition of S_w serves all shrinkages, and leaving a support image out is a rank-one change with a closed
form (Sherman and Morrison), so nothing is refitted anywhere.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from coder_core.few_shot.examples import Support
from coder_core.few_shot.metric import TextMetric
from coder_core.few_shot.search import Scored, Settings

__all__ = ["GAMMAS", "SHRINKAGES", "Discriminant", "class_means"]

GAMMAS = (0.25, 0.5, 0.75)
"""Powers around 0.5, which won on all three real data sets (docs/few-shot.md)."""

SHRINKAGES = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05)


@dataclass(frozen=True, eq=False)
class Discriminant:
    """LDA under a metric.

    Args:
        metric: The texts' metric; None is CLIP's own space, whatever the gammas.
        gammas: Powers to try.
        shrinkages: Shares of the prior to try, each in (0, 1].
        takes_mean_off: Whether the support's mean (of class means) is subtracted, and rows brought to unit length again.
    """

    metric: TextMetric | None = None
    gammas: Sequence[float] = GAMMAS
    shrinkages: Sequence[float] = SHRINKAGES
    takes_mean_off: bool = True

    def prepare(self, support: Support) -> "_DiscriminantScorer":
        """Estimate means and covariance under every gamma."""
        return _DiscriminantScorer(self, support)


class _Fit(NamedTuple):
    """Everything that one gamma needs, in the eigenvectors' coordinates of its within-class covariance."""

    offset: Float[Tensor, " dim"]
    axes: Float[Tensor, "dim dim"]
    variances: Float[Tensor, " dim"]
    means: Float[Tensor, "classes dim"]
    freedom: int

    def precision(self, shrinkage: float) -> Float[Tensor, " dim"]:
        """Diagonal of P, scaled to mean 1."""
        if self.freedom == 0:
            return torch.ones_like(self.variances)
        spread = (1 - shrinkage) * self.variances + shrinkage * self.variances.mean()
        return (1 / spread) / (1 / spread).mean()


class _DiscriminantScorer:
    def __init__(self, method: Discriminant, support: Support) -> None:
        self._method = method
        self._support = support
        self._fits = {gamma: self._fit(gamma) for gamma in method.gammas}

    @property
    def default(self) -> Settings:
        gammas, shrinkages = self._method.gammas, self._shrinkages(self._fits[self._method.gammas[0]])
        middle = {"gamma": gammas[len(gammas) // 2], "shrinkage": shrinkages[len(shrinkages) // 2]}
        return {**middle, "weight": 10.0}

    def scored(self, queries: Float[Tensor, "queries dim"]) -> Iterator[Scored]:
        for gamma, fit in self._fits.items():
            rows = self._rows(queries, gamma, fit)
            for shrinkage in self._shrinkages(fit):
                yield Scored({"gamma": gamma, "shrinkage": shrinkage}, _scores(rows, fit, fit.precision(shrinkage)))

    def scores(self, queries: Float[Tensor, "queries dim"], settings: Settings) -> Float[Tensor, "queries classes"]:
        fit = self._fits[settings["gamma"]]
        return _scores(self._rows(queries, settings["gamma"], fit), fit, fit.precision(settings["shrinkage"]))

    def left_out(self) -> Iterator[Scored] | None:
        if int(self._support.counts.min()) < 2:
            return None
        return self._left_out()

    def _left_out(self) -> Iterator[Scored]:
        for gamma, fit in self._fits.items():
            rows = self._rows(self._support.embeddings, gamma, fit)
            for shrinkage in self._shrinkages(fit):
                scores = left_out_scores(rows, self._support, fit, shrinkage)
                yield Scored({"gamma": gamma, "shrinkage": shrinkage}, scores)

    def _shrinkages(self, fit: _Fit) -> Sequence[float]:
        """One image per class leaves nothing to shrink: all shrinkages are one."""
        return self._method.shrinkages if fit.freedom else (1.0,)

    def _fit(self, gamma: float) -> _Fit:
        mapped = self._map(self._support.embeddings, gamma)
        offset = torch.zeros(mapped.shape[1], dtype=torch.float64)
        if self._method.takes_mean_off:
            offset = class_means(mapped, self._support).mean(dim=0)
        rows = self._centred(mapped, offset)
        means = class_means(rows, self._support)
        within = rows - means[self._support.label_ids]
        freedom = len(rows) - self._support.class_count
        variances, axes = torch.linalg.eigh(within.T @ within / max(1, freedom))
        freedom = freedom if float(variances.max()) > FLOOR else 0  # the same image again and again spreads nothing
        return _Fit(offset, axes, variances.clamp(min=0), means @ axes, freedom)

    def _rows(self, queries: Float[Tensor, "queries dim"], gamma: float, fit: _Fit) -> Float[Tensor, "queries dim"]:
        return self._centred(self._map(queries, gamma), fit.offset) @ fit.axes

    def _centred(self, mapped: Float[Tensor, "rows dim"], offset: Float[Tensor, " dim"]) -> Float[Tensor, "rows dim"]:
        moved = mapped.double() - offset
        return torch.nn.functional.normalize(moved, dim=1) if self._method.takes_mean_off else moved

    def _map(self, embeddings: Float[Tensor, "rows dim"], gamma: float) -> Float[Tensor, "rows dim"]:
        metric = self._method.metric
        return embeddings.float() if metric is None else metric.map(embeddings, gamma=gamma)


FLOOR = 1e-12
"""Variances of unit vectors below this are rounding."""


def class_means(rows: Float[Tensor, "support dim"], support: Support) -> Float[Tensor, "classes dim"]:
    """Average the rows of each class, in float64."""
    sums = torch.zeros(support.class_count, rows.shape[1], dtype=torch.float64)
    sums.index_add_(0, support.label_ids, rows.double())
    return sums / support.counts.unsqueeze(1)


def left_out_scores(
    rows: Float[Tensor, "support dim"], support: Support, fit: _Fit, shrinkage: float
) -> Float[Tensor, "support classes"]:
    """Score every support image by the discriminant without it.

    Without image x of a class of n images, d = x - mu: the class mean moves by -d/(n-1) and the within-class scatter
    loses n/(n-1) d d^T. The offset, the degrees of freedom, the prior's size and the scale of P stay as they are.
    """
    precision = fit.precision(shrinkage)
    unscaled = ((1 - shrinkage) * fit.variances + shrinkage * fit.variances.mean()).reciprocal()
    scale = float(precision.mean() / unscaled.mean()) if fit.freedom else 1.0
    labels, counts = support.label_ids, support.counts[support.label_ids].double()
    moved = rows - fit.means[labels]
    lost = (1 - shrinkage) * counts / ((counts - 1) * max(1, fit.freedom)) / scale
    towards = (moved * precision) @ fit.means.T
    size, reach = (moved * precision * moved).sum(1), (rows * precision * moved).sum(1)
    change = 1 / (1 / lost.clamp(min=FLOOR) - size)
    base, norms = (rows * precision) @ fit.means.T, (fit.means * precision * fit.means).sum(1)
    own, step = labels.unsqueeze(1), 1 / (counts - 1)

    def scored(cross: Tensor, pull: Tensor, square: Tensor) -> Tensor:
        gain = change.unsqueeze(1)
        return cross + gain * reach.unsqueeze(1) * pull - (square + gain * pull * pull) / 2

    scores = scored(base, towards, norms.unsqueeze(0))
    pull = towards.gather(1, own) - (step * size).unsqueeze(1)
    cross = base.gather(1, own) - (step * reach).unsqueeze(1)
    square = norms[own] - 2 * step.unsqueeze(1) * towards.gather(1, own) + (step * step * size).unsqueeze(1)
    return scores.scatter(1, own, scored(cross, pull, square)).float()


def _scores(
    rows: Float[Tensor, "queries dim"], fit: _Fit, precision: Float[Tensor, " dim"]
) -> Float[Tensor, "queries classes"]:
    weights = fit.means * precision
    return (rows @ weights.T - (weights * fit.means).sum(1) / 2).float()
