"""A discriminant that is fitted to unlabelled images, class texts being its prior.

    F = images in the space of the text metric, batch mean subtracted, unit length
    P = class texts in it, class mean subtracted, unit length
    w_i = max_c z_ic                                          how sure the image's class is
    n_c = sum_i w_i z_ic
    mu_c = (sum_i w_i z_ic F_i + tau P_c M) / (n_c + tau)     M: how texts become images, learnt from the batch
    M = (P' diag(n) P + r I)^-1 (P' sum_i w_i z_i F_i + r l I)       r = map_ridge * mean of n
    l = mean length of the class means
    Sigma = (1 - s) within-class covariance + s (trace / D) I        one full covariance, shared by all classes
    g_ic = F_i Sigma^-1 mu_c - mu_c Sigma^-1 mu_c / 2

A class of few images lies where its text says, and where texts lie is learnt from all classes together: M is the ridge
regression of images on the texts of their classes, pulled towards a plain stretch by l. All that enters are sums over
images (`Statistics`), so memory does not grow with their number.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Float64
from torch import Tensor

__all__ = ["BatchDiscriminant", "Statistics", "fit_discriminant"]


class Statistics:
    """Sums over the rows of a batch, all that a discriminant is made of.

    Args:
        class_count: Classes.
        dim: Dimensions of a row.
    """

    def __init__(self, class_count: int, dim: int) -> None:
        self.counts = torch.zeros(class_count, dtype=torch.float64)
        self.sums = torch.zeros(class_count, dim, dtype=torch.float64)
        self.gram = torch.zeros(dim, dim, dtype=torch.float64)
        self.rows = 0.0

    def copy(self) -> "Statistics":
        """The same sums, to be added to."""
        copied = Statistics(*self.sums.shape)
        copied.counts, copied.sums, copied.gram = self.counts.clone(), self.sums.clone(), self.gram.clone()
        copied.rows = self.rows
        return copied

    def add(
        self,
        rows: Float[Tensor, "rows dim"],
        shares: Float[Tensor, "rows classes"],
        *,
        sureness: Float[Tensor, "rows one"] | None = None,
    ) -> None:
        """Add rows that belong to classes by shares.

        Args:
            rows: Centred unit rows.
            shares: `z`; each row sums to 1.
            sureness: `w`, how much each row counts; None for once.
        """
        weighted = shares if sureness is None else shares * sureness
        self.counts += weighted.sum(dim=0).double().cpu()
        self.sums += (weighted.T @ rows).double().cpu()
        self.gram += ((rows if sureness is None else rows * sureness).T @ rows).double().cpu()
        self.rows += len(rows) if sureness is None else float(sureness.sum())


class BatchDiscriminant(NamedTuple):
    """`g = rows @ weights + bias`.

    Args:
        weights: Sigma^-1 mu, one column per class.
        bias: -mu Sigma^-1 mu / 2.
    """

    weights: Float64[Tensor, "dim classes"]
    bias: Float64[Tensor, " classes"]

    def scores(self, rows: Float[Tensor, "rows dim"]) -> Float[Tensor, "rows classes"]:
        """Score centred unit rows."""
        return torch.addmm(self.bias.to(rows), rows, self.weights.to(rows))


def fit_discriminant(
    statistics: Statistics,
    class_texts: Float64[Tensor, "classes dim"] | None,
    *,
    text_images: float,
    shrinkage: float,
    map_ridge: float | None = None,
    reads_images: bool = True,
) -> BatchDiscriminant | None:
    """Fit the discriminant to what was summed up.

    Args:
        statistics: Of the batch and of images whose class is known.
        class_texts: P; None where no text is known, then means are shrunk towards the batch's own, which is 0.
        text_images: tau, for how many images the texts of a class count.
        shrinkage: s, in (0, 1].
        map_ridge: How strongly M is pulled towards a stretch, above 0; None for the stretch itself.
        reads_images: Whether images say where class means lie; else texts alone do, at the length that images give.

    Returns:
        None where the rows do not vary within classes: they give no covariance.
    """
    counts, sums = statistics.counts.unsqueeze(1), statistics.sums
    dim = sums.shape[1]
    texts = torch.zeros_like(sums) if class_texts is None else _place_texts(class_texts, statistics, map_ridge)
    means = (sums + text_images * texts) / (counts + text_images)
    cross = sums.T @ means
    within = (statistics.gram - cross - cross.T + (means * counts).T @ means) / max(1.0, statistics.rows)
    variance = float(within.diagonal().mean())
    if not variance > 1e-12:
        return None
    covariance = (1 - shrinkage) * within + shrinkage * variance * torch.eye(dim, dtype=torch.float64)
    placed = means if reads_images else texts
    weights = torch.linalg.solve(covariance, placed.T)
    return BatchDiscriminant(weights, -(placed.T * weights).sum(dim=0) / 2)


def _place_texts(
    class_texts: Float64[Tensor, "classes dim"], statistics: Statistics, map_ridge: float | None
) -> Float64[Tensor, "classes dim"]:
    """Where images of a class are looked for by its text: `P M`, or `l P`."""
    counts = statistics.counts.unsqueeze(1)
    length = float(torch.linalg.vector_norm(statistics.sums, dim=1).sum() / counts.sum().clamp(min=1e-9))
    ridge = (map_ridge or 0.0) * float(counts.mean())
    if not ridge > 0:
        return length * class_texts
    identity = torch.eye(class_texts.shape[1], dtype=torch.float64)
    spread = class_texts.T @ (counts * class_texts) + ridge * identity
    text_map: Tensor = torch.linalg.solve(spread, class_texts.T @ statistics.sums + ridge * length * identity)
    return class_texts @ text_map
