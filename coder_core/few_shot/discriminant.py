"""A discriminant in the space of the text metric: texts as prior, support images as evidence.

Ours: the metric that helps a nearest mean is taken for the prior of a covariance. Features are mapped by `C^(gamma/2)`,
the mean of the support is taken off (images of one data set share a large offset that tells no class from another), and
the shared within-class covariance is shrunk towards the identity OF THAT SPACE, which in CLIP's own coordinates is
`C^-gamma`:

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
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Float, Float32, Float64, Int64
from torch import Tensor

from coder_core.coder.classifier import ClassifierShape
from coder_core.coder.storable import Storable
from coder_core.few_shot.examples import Support, class_means
from coder_core.few_shot.search import Scored, Settings
from coder_core.few_shot.text_metric import SPECTRA, MetricSpace, TextMetric, spaces_of
from coder_core.loops import each

__all__ = ["FLOOR", "GAMMAS", "SHRINKAGES", "Discriminant", "DiscriminantClassifier", "LeftOut"]

GAMMAS = (0.25, 0.5, 0.75)
"""Powers around 0.5, which won on all three real data sets (docs/few-shot.md)."""

SHRINKAGES = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05)
"""Shares of the prior in the covariance."""

STRENGTHS = (0.0, 0.5, 1.0, 2.0, 4.0)
"""How many images the texts of a class count for."""

FLOOR = 1e-12
"""Variances of unit vectors below this are rounding."""


@dataclass(frozen=True, eq=False)
class DiscriminantClassifier(Storable):
    """A discriminant with everything chosen.

    Args:
        space: Where the covariance was estimated.
        offset: What is taken off every mapped row, before it is brought to unit length; None for neither.
        axes: Eigenvectors of the within-class covariance, in rows.
        precision: Diagonal of P along these axes.
        means: Class means along these axes, texts blended in.
        is_cosine: Whether a class is a direction rather than a point.
    """

    kind: ClassVar[str] = "discriminant"

    space: MetricSpace
    offset: Float64[Tensor, " dim"] | None
    axes: Float64[Tensor, "dim dim"]
    precision: Float64[Tensor, " dim"]
    means: Float64[Tensor, "classes dim"]
    is_cosine: bool

    @property
    def shape(self) -> ClassifierShape:
        """Classes and dimensions of the means."""
        return ClassifierShape(*self.means.shape)

    def logits(self, image_embeddings: Float[Tensor, "images dim"]) -> Float32[Tensor, "images classes"]:
        """Score images."""
        rows = _centre(self.space.map(image_embeddings).double(), self.offset) @ self.axes.T
        return _score_rows(rows, self.precision, self.means, is_cosine=self.is_cosine)

    def find_problem(self) -> str | None:
        """Means of another dimension than the space."""
        return None if self.space.dim in (None, self.shape.dim) else f"its space has {self.space.dim} dimensions"


@dataclass(frozen=True, eq=False)
class Discriminant:
    """The method, before it has seen an image.

    Args:
        metric: The texts' metric; None is CLIP's own space, whatever the gammas.
        gammas: Powers to try; or parameters of another function of the spectrum.
        shrinkages: Shares of the prior to try, each in (0, 1].
        centre: Whether the support's mean (of class means) is subtracted, and rows brought to unit length.
        is_cosine: Whether a class is a direction rather than a point.
        class_texts: `(classes, dim)` one text vector per class (CLIP's zero-shot weights, say); None for none.
        strengths: How many images those count for, to try; each 0 or more.
        spectrum: A key of `text_metric.SPECTRA`: what is done to the texts' spectrum.
    """

    metric: TextMetric | None = None
    gammas: Sequence[float] = GAMMAS
    shrinkages: Sequence[float] = SHRINKAGES
    centre: bool = True
    is_cosine: bool = True
    class_texts: Float[Tensor, "classes dim"] | None = None
    strengths: Sequence[float] = STRENGTHS
    spectrum: str = "power"

    def prepare(self, support: Support) -> "_DiscriminantScorer":
        """Estimate means and covariance under every gamma."""
        return _DiscriminantScorer(self, support)


class _Fit(NamedTuple):
    """Everything that one gamma needs, in the eigenvectors' coordinates of its within-class covariance.

    Args:
        space: The metric to that power.
        offset: What is taken off every mapped row, in the metric's coordinates; None for nothing.
        axes: Eigenvectors of the within-class covariance, in rows.
        variances: Its eigenvalues.
        means: Class means of the support.
        text_means: Where the class texts lie; None without any.
        freedom: Images less classes; 0 where the support does not vary within its classes.
    """

    space: MetricSpace
    offset: Float[Tensor, " dim"] | None
    axes: Float[Tensor, "dim dim"]
    variances: Float[Tensor, " dim"]
    means: Float[Tensor, "classes dim"]
    text_means: Float[Tensor, "classes dim"] | None
    freedom: int

    def rows(self, embeddings: Float[Tensor, "rows dim"]) -> Float64[Tensor, "rows dim"]:
        """Bring embeddings into these coordinates."""
        return _centre(self.space.map(embeddings).double(), self.offset) @ self.axes.T

    def precision(self, shrinkage: float) -> tuple[Float[Tensor, " dim"], float]:
        """Diagonal of P, and the factor that brought its mean to 1."""
        if self.freedom == 0:
            return torch.ones_like(self.variances), 1.0
        inverse = ((1 - shrinkage) * self.variances + shrinkage * self.variances.mean()).reciprocal()
        factor = 1 / float(inverse.mean())
        return inverse * factor, factor

    def blended_means(self, support: Support, strength: float) -> Float[Tensor, "classes dim"]:
        """Class means in which the class's texts count for `strength` images."""
        if self.text_means is None or strength == 0:
            return self.means
        counts = support.counts.double().unsqueeze(1)
        return (counts * self.means + strength * self.text_means) / (counts + strength)


class _DiscriminantScorer:
    def __init__(self, method: Discriminant, support: Support) -> None:
        self._method = method
        self._support = support
        self._setting = SPECTRA[method.spectrum].setting
        spaces = spaces_of(method.metric, method.gammas, spectrum=method.spectrum)
        self._fits = {gamma: _fit(method, support, space) for gamma, space in each(spaces.items())}

    @property
    def default(self) -> Settings:
        """The middle gamma and shrinkage; texts count as one image, zero-shot logits ten times less than a cosine."""
        gammas = self._method.gammas
        gamma = gammas[len(gammas) // 2]
        shrinkages = self._shrinkages()
        strength = 0.0 if self._method.class_texts is None else 1.0
        return {
            self._setting: gamma,
            "strength": strength,
            "shrinkage": shrinkages[len(shrinkages) // 2],
            "weight": 10.0,
        }

    def classifier(self, settings: Settings) -> DiscriminantClassifier:
        fit = self._fits[settings[self._setting]]
        means = fit.blended_means(self._support, settings["strength"])
        precision, _ = fit.precision(settings["shrinkage"])
        return DiscriminantClassifier(fit.space, fit.offset, fit.axes, precision, means, self._method.is_cosine)

    def scored(self, queries: Float[Tensor, "queries dim"]) -> Iterator[Scored]:
        """Score images under every gamma, strength and shrinkage; they are mapped once per gamma."""
        for gamma, fit in each(self._fits.items()):
            rows = fit.rows(queries)
            for settings in each(self._settings(gamma)):
                means = fit.blended_means(self._support, settings["strength"])
                precision, _ = fit.precision(settings["shrinkage"])
                yield Scored(settings, _score_rows(rows, precision, means, is_cosine=self._method.is_cosine))

    def leave_one_out_scores(self) -> Iterator[Scored] | None:
        """Score every support image by the discriminant without it; None where a class has a single image."""
        return None if int(self._support.counts.min()) < 2 else self._without_own_image()

    def _without_own_image(self) -> Iterator[Scored]:
        for gamma, fit in each(self._fits.items()):
            rows = fit.rows(self._support.embeddings)
            for settings in each(self._settings(gamma)):
                left_out = _leave_one_out(rows, self._support, fit, settings)
                yield Scored(settings, left_out.scores(is_cosine=self._method.is_cosine))

    def _settings(self, gamma: float) -> Iterator[dict[str, float]]:
        strengths = (0.0,) if self._method.class_texts is None else self._method.strengths
        for strength, shrinkage in product(strengths, self._shrinkages()):
            yield {self._setting: gamma, "strength": strength, "shrinkage": shrinkage}

    def _shrinkages(self) -> Sequence[float]:
        """One image per class leaves nothing to shrink: all shrinkages are one."""
        support = self._support
        return self._method.shrinkages if len(support.label_ids) > support.class_count else (1.0,)


def _fit(method: Discriminant, support: Support, space: MetricSpace) -> _Fit:
    mapped = space.map(support.embeddings).double()
    offset = class_means(mapped, support).mean(dim=0) if method.centre else None
    rows = _centre(mapped, offset)
    means = class_means(rows, support)
    within = rows - means[support.label_ids]
    freedom = len(rows) - support.class_count
    variances, vectors = torch.linalg.eigh(within.T @ within / max(1, freedom))
    freedom = freedom if float(variances.max()) > FLOOR else 0  # the same image again and again spreads nothing
    axes, text_means = vectors.T.contiguous(), None
    if method.class_texts is not None:
        texts = space.map(method.class_texts).double()
        text_means = _centre(texts, texts.mean(dim=0) if method.centre else None) @ axes.T
    return _Fit(space, offset, axes, variances.clamp(min=0), means @ axes.T, text_means, freedom)


def _centre(mapped: Float64[Tensor, "rows dim"], offset: Float64[Tensor, " dim"] | None) -> Float64[Tensor, "rows dim"]:
    """Take an offset off, and bring what is left to unit length."""
    return mapped if offset is None else torch.nn.functional.normalize(mapped - offset, dim=1)


def _score_rows(
    rows: Float64[Tensor, "queries dim"],
    precision: Float64[Tensor, " dim"],
    means: Float64[Tensor, "classes dim"],
    *,
    is_cosine: bool,
) -> Float32[Tensor, "queries classes"]:
    square = (means * precision * means).sum(dim=1)
    return _score((rows * precision) @ means.T, square, is_cosine=is_cosine)


def _score(
    cross: Float64[Tensor, "queries classes"], square: Float64[Tensor, "*any"], *, is_cosine: bool
) -> Float32[Tensor, "queries classes"]:
    """Turn `x P mu` and `mu P mu` into scores."""
    scores = cross / square.clamp(min=FLOOR).sqrt() if is_cosine else cross - square / 2
    return scores.float()


class LeftOut(NamedTuple):
    """Every support image, and what the discriminant looks like without it.

    Args:
        rows: The images.
        label_ids: Their classes.
        means: Class means, of all images.
        precision: Diagonal of P, of all images.
        apart: Every image less the support's mean of its class.
        lost: What Sigma loses of `apart apart^T` without the image.
        without: The mean of the image's class without it.
    """

    rows: Float64[Tensor, "support dim"]
    label_ids: Int64[Tensor, " support"]
    means: Float64[Tensor, "classes dim"]
    precision: Float64[Tensor, " dim"]
    apart: Float64[Tensor, "support dim"]
    lost: Float64[Tensor, " support"]
    without: Float64[Tensor, "support dim"]

    def scores(self, *, is_cosine: bool) -> Float32[Tensor, "support classes"]:
        """Score every support image by the discriminant without it, in closed form.

        Without image x of a class of n images, the class mean loses it, and the within-class scatter loses
        `n / (n - 1) d d^T`, `d` its distance from the mean: a rank-one change of Sigma, whose inverse is that of
        Sherman and Morrison. The offset, the degrees of freedom, the prior's size and the scale of P stay as they are.
        """
        rows, precision, means, apart, without = self.rows, self.precision, self.means, self.apart, self.without
        change = self.lost / (1 - self.lost * (apart * precision * apart).sum(dim=1))
        reach = (rows * precision * apart).sum(dim=1)

        def scored(cross: Tensor, pull: Tensor, square: Tensor) -> Tensor:
            gain = change.unsqueeze(1)
            return _score(cross + gain * reach.unsqueeze(1) * pull, square + gain * pull * pull, is_cosine=is_cosine)

        everyone = scored(
            (rows * precision) @ means.T, (apart * precision) @ means.T, (means * precision * means).sum(1)
        )
        sums = ((part * precision * without).sum(dim=1, keepdim=True) for part in (rows, apart, without))
        return everyone.scatter(1, self.label_ids.unsqueeze(1), scored(*sums))


def _leave_one_out(rows: Float64[Tensor, "support dim"], support: Support, fit: _Fit, settings: Settings) -> LeftOut:
    precision, factor = fit.precision(settings["shrinkage"])
    labels, counts = support.label_ids, support.counts[support.label_ids].double()
    strength = 0.0 if fit.text_means is None else settings["strength"]
    means = fit.blended_means(support, strength)
    weight = (counts + strength).unsqueeze(1)
    return LeftOut(
        rows=rows,
        label_ids=labels,
        means=means,
        precision=precision,
        apart=rows - fit.means[labels],
        lost=(1 - settings["shrinkage"]) * counts / (counts - 1) / max(1, fit.freedom) / factor,
        without=(weight * means[labels] - rows) / (weight - 1),
    )
