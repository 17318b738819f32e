"""The metric that texts induce: a CODER is CLIP's feature under another inner product.

With the texts as rows of T, `phi(x) . phi(y) = f(x)^T G f(y)`, `G = T^T T`: cosines of M-dimensional CODERs are cosines
of D-dimensional vectors `G^(1/2) f(x)`. (Yi et al., CVPR 2024, CODER-Adapter; the rewriting is an identity.)

Ours, the family: take the covariance of the texts around their mean (the mean is the modality gap, not meaning) and any
power of it, `C^(gamma/2) f(x)`. gamma 0 is plain CLIP, so a cache under it is Tip-Adapter; uncentred gamma 1 is the
paper's CODER; gamma -1 the Mahalanobis distance. The decomposition is made once, in float64; a mapped vector is written
in the eigenvectors' own coordinates, which changes no inner product.

Two other functions of the spectrum stand beside the power: the hard cut, a projection on the leading principal
components of the texts (Herzog & Wang, CVPR 2026), and one that saturates, `C / (C + level)`, between the two: what
texts vary in a lot is kept as it is, what they hardly vary in counts in proportion.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Float, Float32, Float64
from torch import Tensor

from coder_core.coder.storable import Storable
from coder_core.coder.vectors import repeatable
from coder_core.errors import ConfigError

__all__ = ["SPECTRA", "MetricSpace", "Spectrum", "TextMetric", "decompose", "fit_metric", "spaces_of"]


@dataclass(frozen=True, eq=False)
class MetricSpace(Storable):
    """Where the metric of the texts to one power is the plain inner product; without axes, CLIP's own space.

    Args:
        axes: Eigenvectors of the texts' covariance, in rows.
        scales: What each coordinate is multiplied by.
    """

    kind: ClassVar[str] = "metric_space"

    axes: Float64[Tensor, "dim dim"] | None = None
    scales: Float64[Tensor, " dim"] | None = None

    @property
    def dim(self) -> int | None:
        """Length of an embedding; None where any will do."""
        return None if self.axes is None else len(self.axes)

    def map(self, embeddings: Float[Tensor, "rows dim"]) -> Float32[Tensor, "rows dim"]:
        """Bring embeddings into the space, and there to unit length.

        Args:
            embeddings: Rows of any length, of any float type; L2-normalised where the space is CLIP's own.

        Returns:
            Float32 unit rows.
        """
        if self.axes is None or self.scales is None:
            return repeatable(embeddings.float())
        rows = repeatable(embeddings.double())
        mapped = (rows @ self.axes.T.to(rows.device)) * self.scales.to(rows.device)
        return torch.nn.functional.normalize(mapped, dim=1).float()

    def find_problem(self) -> str | None:
        """Axes without scales, or scales without axes."""
        return None if (self.axes is None) == (self.scales is None) else "it has either no axes or no scales"


@dataclass(frozen=True, eq=False)
class TextMetric:
    """Spectrum of the texts.

    Args:
        variances: Eigenvalues, ascending, the largest scaled to 1; 0 where texts do not vary.
        axes: Eigenvectors in rows.
    """

    variances: Float64[Tensor, " dim"]
    axes: Float64[Tensor, "dim dim"]

    def space(self, gamma: float, *, shrinkage: float = 0.0) -> MetricSpace:
        """Make the space of one power.

        Args:
            gamma: Power of the covariance; 0 leaves all cosines as they are.
            shrinkage: Added to the variances (of which the largest is 1), 0 or more: `(C + shrinkage I)^(gamma/2)`.

        Raises:
            ConfigError: Texts that do not vary in every direction (fewer texts than dimensions, say) have no negative
                power without shrinkage; or the shrinkage is negative.
        """
        if shrinkage < 0:
            raise ConfigError(f"the shrinkage is {shrinkage}.", "few_shot.shrinkage", "Give 0 or more.")
        spread = self.variances + shrinkage
        if gamma < 0 and float(spread.min()) < torch.finfo(torch.float32).eps:
            raise ConfigError(
                f"the texts do not vary in every direction, so gamma {gamma} does not exist.",
                "few_shot.gamma",
                "Use gamma 0 or more, or add shrinkage, or more texts than dimensions.",
            )
        powers = torch.where(spread > 0, spread, 1.0).pow(gamma / 2) * (spread > 0 if gamma > 0 else 1.0)
        return MetricSpace(self.axes, powers)

    def cut(self, kept: float) -> MetricSpace:
        """Make the space of the leading principal components, all of one weight.

        Source: Herzog & Wang, CVPR 2026 (arXiv 2603.16100).

        Args:
            kept: Share of the dimensions that stay, in (0, 1]; at least one does.

        Raises:
            ConfigError: The share is not in (0, 1].
        """
        if not 0 < kept <= 1:
            raise ConfigError(f"the share of components is {kept}.", "few_shot.kept", "Give one in (0, 1].")
        count = len(self.variances)
        scales = torch.zeros_like(self.variances)
        scales[count - max(1, round(kept * count)) :] = 1.0
        return MetricSpace(self.axes, scales)

    def saturating(self, level: float) -> MetricSpace:
        """Make the space of `C / (C + level)`.

        Args:
            level: Above 0, in units of the largest variance: where half of a direction's weight is reached.

        Raises:
            ConfigError: The level is not above 0.
        """
        if not level > 0:
            raise ConfigError(f"the level is {level}.", "few_shot.level", "Give one above 0.")
        return MetricSpace(self.axes, (self.variances / (self.variances + level)).sqrt())


class Spectrum(NamedTuple):
    """A function of the texts' spectrum.

    Args:
        setting: What its parameter is called among the settings.
        space: Makes the space of one parameter.
    """

    setting: str
    space: Callable[[TextMetric, float], MetricSpace]


SPECTRA: Mapping[str, Spectrum] = {
    "power": Spectrum("gamma", lambda metric, gamma: metric.space(gamma)),
    "cut": Spectrum("kept", lambda metric, kept: metric.cut(kept)),
    "saturating": Spectrum("level", lambda metric, level: metric.saturating(level)),
}
"""What can be done to the spectrum, by name."""


def spaces_of(
    metric: TextMetric | None, parameters: Sequence[float], *, spectrum: str = "power"
) -> dict[float, MetricSpace]:
    """Make the space of every parameter (the gammas of a power); without a metric each is CLIP's own."""
    make = SPECTRA[spectrum].space
    return {value: MetricSpace() if metric is None else make(metric, value) for value in parameters}


def fit_metric(text_embeddings: Float[Tensor, "texts dim"], *, is_centred: bool = True) -> TextMetric:
    """Decompose the texts' covariance (or, not centred, their Gram matrix), once.

    Args:
        text_embeddings: L2-normalised rows; fewer than dimensions are allowed.
        is_centred: Whether to take the texts' mean off first.

    Raises:
        ConfigError: There is no text, or, centred, all texts are one and the same.
    """
    texts = text_embeddings.double()
    if is_centred:
        texts = texts - texts.mean(dim=0) if len(texts) else texts
    return decompose(texts.T @ texts / max(1, len(texts)), count=len(texts))


def decompose(covariance: Float[Tensor, "dim dim"], *, count: int) -> TextMetric:
    """Decompose a covariance of texts.

    Args:
        covariance: Symmetric.
        count: Texts behind it, for the message.

    Raises:
        ConfigError: There is no text, or they do not vary.
    """
    variances, vectors = torch.linalg.eigh(covariance)
    largest = float(variances.max())
    if not count or largest < torch.finfo(torch.float32).eps:
        raise ConfigError(
            f"{count} texts do not vary: they give no metric.", "few_shot", "Describe the classes in words."
        )
    noise = len(covariance) * torch.finfo(torch.float64).eps * largest
    return TextMetric(torch.where(variances > noise, variances, 0.0) / largest, vectors.T.contiguous())
