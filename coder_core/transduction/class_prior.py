"""How often each class occurs in a batch, from the answers of a classifier that knows nothing about it.

The class prior is re-estimated by expectation maximisation (Saerens, Latinne & Decaestecker, Neural Computation 2002,
equations 2.2 to 2.4), with a Dirichlet prior of `concentration` images of every class, so that a small batch cannot
switch classes off that it merely had no room for:

    z_ic = p_ic q_c / sum_k p_ik q_k                      q_c = (sum_i z_ic + alpha) / (N + alpha K)

An estimated prior always explains the images better that it was estimated from. Whether it is more than that shows on
images left out: `prior_evidence` is how much better they are explained than by equal shares, in nats per image.
"""

import math

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from coder_core.loops import each

__all__ = ["FOLDS", "claim_bias", "claims_of", "estimate_prior", "fold_numbers", "prior_evidence"]

FOLDS = 4
"""Parts of a sample that are left out in turn."""

ROUNDS = 50
"""Of expectation maximisation: changes are below 1e-3 of a share by then (measured on both real sets)."""

CONCENTRATION = 0.5
"""Jeffreys's prior for shares, in images of every class."""


def estimate_prior(
    probabilities: Float[Tensor, "images classes"], *, concentration: float = CONCENTRATION, rounds: int = ROUNDS
) -> Float64[Tensor, " classes"]:
    """Estimate the shares of the classes.

    Args:
        probabilities: Of a classifier under equal shares; rows sum to 1.
        concentration: Images of every class that are taken for seen; 0 is the maximum-likelihood estimate of Saerens.
        rounds: Of expectation maximisation.

    Returns:
        Shares that sum to 1; equal ones where there is no image.
    """
    count, classes = probabilities.shape
    shares = torch.full((classes,), 1 / classes, dtype=torch.float64)
    if not count:
        return shares
    for _ in each(range(rounds)):
        own = shares.to(probabilities)
        explained = (probabilities @ own).clamp(min=torch.finfo(probabilities.dtype).tiny)
        counts = (own * (probabilities.T @ explained.reciprocal())).double().cpu()
        shares = (counts + concentration) / (counts.sum() + concentration * classes)
    return shares


def claims_of(
    probabilities: Float[Tensor, "images classes"], shares: Float[Tensor, "images classes"]
) -> Float64[Tensor, " classes"]:
    """What a classifier claims for each class of images that others own, in images: `sum_i (1 - z_ic) p_ic`.

    Args:
        probabilities: `p`, of the classifier.
        shares: `z`, of how the images are shared out.
    """
    return ((1 - shares) * probabilities).sum(dim=0).double().cpu()


def claim_bias(claims: Float64[Tensor, " classes"]) -> Float64[Tensor, " classes"]:
    """How much a classifier favours each class: `log((e_c + e) / e)`, e the mean; 0 or more, 0 for all without claims.

    As many claims as the mean are taken for made of every class beside its own: a class far from all images is not
    lifted without bound.
    """
    mean = claims.mean().clamp(min=torch.finfo(torch.float32).tiny)
    return torch.log1p(claims / mean)


def prior_evidence(probabilities: Float[Tensor, "images classes"], *, concentration: float = CONCENTRATION) -> float:
    """Measure how much better an estimated prior explains images left out than equal shares do.

    Returns:
        Nats per image. 0.7 means that images fall upon half of the classes, as it were; below 0 the batch is too small
        for a prior. 0 where there are not enough images to leave any out.
    """
    count, classes = probabilities.shape
    if count < FOLDS:
        return 0.0
    folds, total = fold_numbers(count), 0.0
    for fold in range(FOLDS):
        prior = estimate_prior(probabilities[folds != fold], concentration=concentration)
        explained = probabilities[folds == fold] @ prior.to(probabilities)
        total += float(explained.clamp(min=torch.finfo(explained.dtype).tiny).log().sum())
    return total / count + math.log(classes)


def fold_numbers(count: int) -> Int[Tensor, " rows"]:
    """Part the rows into folds at random, always the same."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    return order % FOLDS
