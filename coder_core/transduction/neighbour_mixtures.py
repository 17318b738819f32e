"""Baselines that move class means and lean on neighbours: TransCLIP and StatA, from their papers' formulas.

TransCLIP (Zanella, Gerin & Ben Ayed, NeurIPS 2024, equations 3 to 9) fits a Gaussian mixture with one diagonal
covariance to the batch, pulled towards the zero-shot answers by a KL term, and towards those of each image's nearest
neighbours by a Laplacian:

    z_i ~ y_i * exp( log N(x_i; mu, Sigma) / tau + sum_j (w_ij + w_ji) z_j / (2 k) )

StatA (Zanella et al., CVPR 2025, equations 5 to 9) has a diagonal covariance per class, and anchors both parameters at
the texts: with beta_c = n_c / (n_c + alpha), mu_c is beta_c of the batch's mean and 1 - beta_c of the text, likewise
the covariance. The weights (tau 50, k 3, alpha 1, the eight surest images as first means, ten iterations of five
updates) are those of the papers' experiments. Both need the whole batch at once, images x images in parts.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from coder_core.loops import each

__all__ = ["stata_logits", "transclip_logits"]

NEIGHBOURS = 3
TEMPERATURE = 50.0
ITERATIONS = 10
UPDATES = 5
SUREST = 8
ANCHOR = 1.0
ROWS = 2048
TINY = 1e-12


class _Gaussians(NamedTuple):
    """Class means, and diagonal variances: one row per class, or one for all."""

    means: Float[Tensor, "classes dim"]
    variances: Float[Tensor, "rows dim"]

    def log_densities(self, images: Float[Tensor, "images dim"]) -> Float[Tensor, "images classes"]:
        """Up to a constant. With one covariance for all classes its determinant is one."""
        variances = self.variances.clamp(min=TINY)
        precisions = variances.reciprocal()
        constant = (self.means.square() * precisions).sum(dim=1) + variances.log().sum(dim=1)
        return images @ (self.means * precisions).T - (images.square() @ precisions.T + constant) / 2


Update = Callable[[Float[Tensor, "images classes"]], _Gaussians]


def transclip_logits(
    images: Float[Tensor, "images dim"], stage1_logits: Float[Tensor, "images classes"]
) -> Float[Tensor, "images classes"]:
    """Classify a batch by TransCLIP.

    Args:
        images: L2-normalised rows.
        stage1_logits: Of the method that it stands upon.

    Returns:
        Logarithms of the shares z.
    """
    surest = stage1_logits.softmax(dim=1).T.topk(min(SUREST, len(images)), dim=1)
    means = normalize((images[surest.indices] * surest.values.unsqueeze(-1)).mean(dim=1), dim=1)
    start = _Gaussians(means, torch.full((1, images.shape[1]), 1 / images.shape[1]))

    def update(shares: Float[Tensor, "images classes"]) -> _Gaussians:
        means = normalize(shares.T @ images, dim=1, eps=TINY)
        counts = shares.sum(dim=0).unsqueeze(1)
        square = images.square().sum(dim=0) - 2 * ((shares.T @ images) * means).sum(dim=0)
        return _Gaussians(means, ((square + (counts * means.square()).sum(dim=0)) / len(images)).unsqueeze(0))

    return _iterate(images, stage1_logits, start, update)


def stata_logits(
    images: Float[Tensor, "images dim"],
    stage1_logits: Float[Tensor, "images classes"],
    class_texts: Float[Tensor, "classes dim"],
) -> Float[Tensor, "images classes"]:
    """Classify a batch by StatA.

    Args:
        images: L2-normalised rows.
        stage1_logits: Of the method that it stands upon.
        class_texts: L2-normalised: the anchors of the means.

    Returns:
        Logarithms of the shares z.
    """
    first = _spread(images, stage1_logits.softmax(dim=1), class_texts)
    anchor = (first * stage1_logits.softmax(dim=1).sum(dim=0).unsqueeze(1)).sum(dim=0) / len(images)
    start = _Gaussians(class_texts, anchor.expand_as(class_texts))

    def update(shares: Float[Tensor, "images classes"]) -> _Gaussians:
        counts = one_hot(shares.argmax(dim=1), shares.shape[1]).sum(dim=0).to(images).unsqueeze(1)
        beta = counts / (counts + ANCHOR)
        own = normalize(shares.T @ images, dim=1, eps=TINY)
        means = normalize(beta * own + (1 - beta) * class_texts, dim=1)
        spread = _spread(images, shares, means)
        moved = anchor + (class_texts - means).square()
        return _Gaussians(means, beta * spread + (1 - beta) * moved)

    return _iterate(images, stage1_logits, start, update)


def _iterate(
    images: Float[Tensor, "images dim"],
    stage1_logits: Float[Tensor, "images classes"],
    gaussians: _Gaussians,
    update: Update,
) -> Float[Tensor, "images classes"]:
    """Update shares and parameters in turn; shares last."""
    own = stage1_logits.float().log_softmax(dim=1)
    graph, shares, logits = _neighbour_graph(images), own.exp(), own
    for iteration in each(range(ITERATIONS + 1)):
        if iteration:
            gaussians = update(shares)
        fixed = own + gaussians.log_densities(images) / TEMPERATURE
        for _ in range(UPDATES):
            logits = (fixed + torch.sparse.mm(graph, shares)).log_softmax(dim=1)
            shares = logits.exp()
    return logits


def _spread(
    images: Float[Tensor, "images dim"], shares: Float[Tensor, "images classes"], means: Float[Tensor, "classes dim"]
) -> Float[Tensor, "classes dim"]:
    """Variance of every class around a place, dimension by dimension."""
    counts = shares.sum(dim=0).clamp(min=TINY).unsqueeze(1)
    around = shares.T @ images.square() - 2 * means * (shares.T @ images)
    return (around / counts + means.square()).clamp(min=0)


def _neighbour_graph(images: Float[Tensor, "images dim"]) -> Float[Tensor, "images images"]:
    """`(W + W^T) / (2 k)`, W the cosines to the k nearest neighbours; sparse."""
    count, k = len(images), min(NEIGHBOURS, len(images) - 1)
    near = [(images[start : start + ROWS] @ images.T).topk(k + 1, dim=1) for start in each(range(0, count, ROWS))]
    columns = torch.cat([found.indices[:, 1:] for found in near]).flatten()
    values = torch.cat([found.values[:, 1:] for found in near]).flatten() / (2 * max(1, k))
    rows = torch.arange(count).repeat_interleave(k)
    both = torch.stack([torch.cat([rows, columns]), torch.cat([columns, rows])])
    return torch.sparse_coo_tensor(both, torch.cat([values, values]), (count, count), check_invariants=False).coalesce()
