"""The metric that texts induce: a CODER is CLIP's feature under another inner product.

With the texts as rows of T, `phi(x) . phi(y) = f(x)^T G f(y)`, `G = T^T T`: cosines of M-dimensional CODERs are cosines
of D-dimensional vectors `G^(1/2) f(x)`. (Yi et al., CVPR 2024, CODER-Adapter; the rewriting is an identity.)

Ours, the family: take the covariance of the texts around their mean (the mean is the modality gap, not meaning) and any
power of it, `C^(gamma/2) f(x)`. gamma 0 is plain CLIP, so a cache under it is Tip-Adapter; uncentred gamma 1 is the
paper's CODER; gamma -1 the Mahalanobis distance. The decomposition is made once, in float64; a mapped vector is written
in the eigenvectors' own coordinates, which changes no inner product.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Float32, Float64
from torch import Tensor

from coder_core.coder.storable import Storable
from coder_core.coder.vectors import repeatable
from coder_core.errors import ConfigError

__all__ = ["MetricSpace", "TextMetric", "fit_metric", "spaces_of"]


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


def spaces_of(metric: TextMetric | None, gammas: Sequence[float]) -> dict[float, MetricSpace]:
    """Make the space of every power; without a metric each is CLIP's own."""
    return {gamma: MetricSpace() if metric is None else metric.space(gamma) for gamma in gammas}


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
    gram = texts.T @ texts / max(1, len(texts))
    variances, vectors = torch.linalg.eigh(gram)
    largest = float(variances.max())
    if not len(texts) or largest < torch.finfo(torch.float32).eps:
        raise ConfigError(
            f"{len(texts)} texts do not vary: they give no metric.", "few_shot", "Describe the classes in words."
        )
    noise = len(gram) * torch.finfo(torch.float64).eps * largest
    return TextMetric(torch.where(variances > noise, variances, 0.0) / largest, vectors.T.contiguous())
