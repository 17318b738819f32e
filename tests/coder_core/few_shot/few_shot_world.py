"""Small random problems for few-shot methods."""

import torch
from torch.nn.functional import normalize

from coder_core.few_shot.examples import Support

DIM = 12


def unit(rows: int, dim: int, seed: int) -> torch.Tensor:
    return normalize(torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed)), dim=1)


def clustered(classes: int, each: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows around one direction per class, and their labels."""
    centres = unit(classes, DIM, 77)
    labels = torch.arange(classes).repeat_interleave(each)
    return normalize(centres[labels] + 0.8 * unit(len(labels), DIM, seed), dim=1), labels


def small_support(classes: int = 4, each: int = 3, seed: int = 1) -> Support:
    rows, labels = clustered(classes, each, seed)
    return Support(rows, labels, classes)
