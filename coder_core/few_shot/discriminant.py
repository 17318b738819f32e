"""A discriminant in the space of the text metric: texts as prior, support images as evidence.

Ours (it starts from the third finding of `method.md`, section 5). Features are mapped by `C^(gamma/2)`, the mean of the
support is taken off (images of one data set share a large offset that tells no class from another), and the shared
within-class covariance is shrunk towards the identity OF THAT SPACE, which in CLIP's own coordinates is `C^-gamma`:

    Sigma = (1 - shrinkage) S_w + shrinkage * (tr S_w / dim) I            P = Sigma^-1, scaled to mean 1
    score_c(x) = x P mu_c / sqrt(mu_c P mu_c)                             (`is_cosine`: a class is a direction)
    score_c(x) = x P mu_c - mu_c P mu_c / 2                               (linear discriminant analysis)

Class texts, where there are any, count like `strength` further images of their class: mapped, their own mean taken off
(the modality gap), they move the class mean. With one image per class there is no within-class covariance, and this is
the nearest mean under the text metric; with more, the images say what texts cannot know. With no metric and nothing
taken off it is plain LDA on CLIP features.

One eigen-decomposition of S_w serves all shrinkages and strengths.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from coder_core.few_shot.examples import Support
from coder_core.few_shot.metric import TextMetric
from coder_core.few_shot.search import Scored, Settings

__all__ = ["FLOOR", "GAMMAS", "SHRINKAGES", "STRENGTHS", "Discriminant", "DiscriminantFit", "class_means", "score"]

GAMMAS = (0.25, 0.5, 0.75)
"""Powers around 0.5, which won on all three real data sets (docs/few-shot.md)."""

SHRINKAGES = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05)
"""Shares of the prior in the covariance."""

STRENGTHS = (0.0, 0.5, 1.0, 2.0, 4.0)
"""How many images the texts of a class count for."""

FLOOR = 1e-12
"""Variances of unit vectors below this are rounding."""

Rows = Float[Tensor, "rows dim"]


@dataclass(frozen=True, eq=False)
class Discriminant:
    """A discriminant under a metric.

    Args:
        metric: The texts' metric; None is CLIP's own space, whatever the gammas.
        gammas: Powers to try.
        shrinkages: Shares of the prior to try, each in (0, 1].
        takes_mean_off: Whether the support's mean (of class means) is subtracted, and rows brought to unit length.
        is_cosine: Whether a class is a direction rather than a point.
        class_texts: `(classes, dim)` one text vector per class (CLIP's zero-shot weights, say); None for none.
        strengths: How many images those count for, to try; each 0 or more.
    """

    metric: TextMetric | None = None
    gammas: Sequence[float] = GAMMAS
    shrinkages: Sequence[float] = SHRINKAGES
    takes_mean_off: bool = True
    is_cosine: bool = True
    class_texts: Float[Tensor, "classes dim"] | None = None
    strengths: Sequence[float] = STRENGTHS

    def prepare(self, support: Support) -> "_DiscriminantScorer":
        """Estimate means and covariance under every gamma."""
        return _DiscriminantScorer(self, support)

    def map(self, embeddings: Rows, gamma: float) -> Rows:
        """Bring embeddings into the metric's space, in float64."""
        metric = self.metric
        return (embeddings if metric is None else metric.map(embeddings, gamma=gamma)).double()

    def centre(self, mapped: Rows, offset: Float[Tensor, " dim"]) -> Rows:
        """Take an offset off, and bring what is left to unit length."""
        return torch.nn.functional.normalize(mapped - offset, dim=1) if self.takes_mean_off else mapped


class DiscriminantFit(NamedTuple):
    """Everything that one gamma needs, in the eigenvectors' coordinates of its within-class covariance.

    Args:
        offset: What is taken off every mapped row, in the metric's coordinates.
        axes: Eigenvectors of the within-class covariance, in columns.
        variances: Its eigenvalues.
        means: Class means of the support, `(classes, dim)`.
        text_means: Where the class texts lie, `(classes, dim)`; None without any.
        freedom: Images less classes; 0 where the support does not vary within its classes.
    """

    offset: Float[Tensor, " dim"]
    axes: Float[Tensor, "dim dim"]
    variances: Float[Tensor, " dim"]
    means: Float[Tensor, "classes dim"]
    text_means: Float[Tensor, "classes dim"] | None
    freedom: int

    def precision(self, shrinkage: float) -> tuple[Float[Tensor, " dim"], float]:
        """Diagonal of P, and the factor that brought its mean to 1."""
        if self.freedom == 0:
            return torch.ones_like(self.variances), 1.0
        inverse = ((1 - shrinkage) * self.variances + shrinkage * self.variances.mean()).reciprocal()
        factor = 1 / float(inverse.mean())
        return inverse * factor, factor


class _DiscriminantScorer:
    def __init__(self, method: Discriminant, support: Support) -> None:
        self._method = method
        self._support = support
        self._fits = {gamma: _fit(method, support, gamma) for gamma in method.gammas}

    @property
    def default(self) -> Settings:
        """The middle gamma and shrinkage; texts count as one image, zero-shot logits ten times less than a cosine."""
        gammas = self._method.gammas
        gamma = gammas[len(gammas) // 2]
        shrinkages = self._shrinkages(self._fits[gamma])
        strength = 0.0 if self._method.class_texts is None else 1.0
        return {
            "gamma": gamma,
            "strength": strength,
            "shrinkage": shrinkages[len(shrinkages) // 2],
            "weight": 10.0,
        }

    def scored(self, queries: Float[Tensor, "queries dim"]) -> Iterator[Scored]:
        """Score images under every gamma, strength and shrinkage; they are mapped once per gamma."""
        for gamma, fit in self._fits.items():
            rows = self._rows(queries, gamma)
            for settings in self._settings(gamma):
                yield Scored(settings, self._score(rows, fit, settings))

    def scores(self, queries: Float[Tensor, "queries dim"], settings: Settings) -> Float[Tensor, "queries classes"]:
        """Score images under one setting."""
        gamma = settings["gamma"]
        return self._score(self._rows(queries, gamma), self._fits[gamma], settings)

    def left_out(self) -> Iterator[Scored] | None:
        """Score every support image by the discriminant without it; None where a class has a single image."""
        return None if int(self._support.counts.min()) < 2 else self._left_out()

    def _left_out(self) -> Iterator[Scored]:
        for gamma, fit in self._fits.items():
            rows = self._rows(self._support.embeddings, gamma)
            for settings in self._settings(gamma):
                yield Scored(settings, left_out_scores(rows, self._support, fit, settings, self._method.is_cosine))

    def _settings(self, gamma: float) -> Iterator[dict[str, float]]:
        strengths = (0.0,) if self._method.class_texts is None else self._method.strengths
        for strength, shrinkage in product(strengths, self._shrinkages(self._fits[gamma])):
            yield {"gamma": gamma, "strength": strength, "shrinkage": shrinkage}

    def _shrinkages(self, fit: DiscriminantFit) -> Sequence[float]:
        """One image per class leaves nothing to shrink: all shrinkages are one."""
        return self._method.shrinkages if fit.freedom else (1.0,)

    def _rows(self, queries: Float[Tensor, "queries dim"], gamma: float) -> Float[Tensor, "queries dim"]:
        fit = self._fits[gamma]
        return self._method.centre(self._method.map(queries, gamma), fit.offset) @ fit.axes

    def _score(
        self, rows: Float[Tensor, "queries dim"], fit: DiscriminantFit, settings: Settings
    ) -> Float[Tensor, "queries classes"]:
        means = blend_means(fit, self._support, settings["strength"])
        precision, _ = fit.precision(settings["shrinkage"])
        square = (means * precision * means).sum(dim=1)
        return score((rows * precision) @ means.T, square, self._method.is_cosine)


def score(
    cross: Float[Tensor, "queries classes"], square: Float[Tensor, "*classes"], is_cosine: bool
) -> Float[Tensor, "queries classes"]:
    """Turn `x P mu` and `mu P mu` into scores, in float32."""
    scores = cross / square.clamp(min=FLOOR).sqrt() if is_cosine else cross - square / 2
    return scores.float()


def class_means(rows: Float[Tensor, "support dim"], support: Support) -> Float[Tensor, "classes dim"]:
    """Average the rows of each class, in float64."""
    sums = torch.zeros(support.class_count, rows.shape[1], dtype=torch.float64)
    sums.index_add_(0, support.label_ids, rows.double())
    return sums / support.counts.unsqueeze(1)


def blend_means(fit: DiscriminantFit, support: Support, strength: float) -> Float[Tensor, "classes dim"]:
    """Class means in which the class's texts count for `strength` images."""
    if fit.text_means is None or strength == 0:
        return fit.means
    counts = support.counts.double().unsqueeze(1)
    return (counts * fit.means + strength * fit.text_means) / (counts + strength)


def left_out_scores(
    rows: Float[Tensor, "support dim"],
    support: Support,
    fit: DiscriminantFit,
    settings: Settings,
    is_cosine: bool,
) -> Float[Tensor, "support classes"]:
    """Score every support image by the discriminant without it, in closed form.

    Without image x of a class of n images, the class mean loses it, and the within-class scatter loses
    `n / (n - 1) d d^T`, `d` its distance from the mean: a rank-one change of Sigma, whose inverse is that of Sherman
    and Morrison. The offset, the degrees of freedom, the prior's size and the scale of P stay as they are.
    """
    precision, factor = fit.precision(settings["shrinkage"])
    labels, counts = support.label_ids, support.counts[support.label_ids].double()
    strength = 0.0 if fit.text_means is None else settings["strength"]
    means = blend_means(fit, support, strength)
    apart = rows - fit.means[labels]
    lost = (1 - settings["shrinkage"]) * counts / (counts - 1) / max(1, fit.freedom) / factor
    change = lost / (1 - lost * (apart * precision * apart).sum(dim=1))
    reach = (rows * precision * apart).sum(dim=1)
    weight = (counts + strength).unsqueeze(1)
    without = (weight * means[labels] - rows) / (weight - 1)

    def scored(cross: Tensor, pull: Tensor, square: Tensor) -> Tensor:
        gain = change.unsqueeze(1)
        return score(cross + gain * reach.unsqueeze(1) * pull, square + gain * pull * pull, is_cosine)

    everyone = scored((rows * precision) @ means.T, (apart * precision) @ means.T, (means * precision * means).sum(1))
    sums = ((part * precision * without).sum(dim=1, keepdim=True) for part in (rows, apart, without))
    return everyone.scatter(1, labels.unsqueeze(1), scored(*sums))


def _fit(method: Discriminant, support: Support, gamma: float) -> DiscriminantFit:
    mapped = method.map(support.embeddings, gamma)
    offset = class_means(mapped, support).mean(dim=0)
    rows = method.centre(mapped, offset)
    means = class_means(rows, support)
    within = rows - means[support.label_ids]
    freedom = len(rows) - support.class_count
    variances, axes = torch.linalg.eigh(within.T @ within / max(1, freedom))
    freedom = freedom if float(variances.max()) > FLOOR else 0  # the same image again and again spreads nothing
    text_means = None
    if method.class_texts is not None:
        texts = method.map(method.class_texts, gamma)
        text_means = method.centre(texts, texts.mean(dim=0)) @ axes
    return DiscriminantFit(offset, axes, variances.clamp(min=0), means @ axes, text_means, freedom)
