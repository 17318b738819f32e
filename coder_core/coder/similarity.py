"""Unit vectors and cosines."""

import torch
from jaxtyping import Float
from torch import Tensor

from coder_core.errors import FeatureFileError

__all__ = ["cosine_similarity", "normalise"]


def normalise(embeddings: Float[Tensor, "rows dim"]) -> Float[Tensor, "rows dim"]:
    """Scale every row to unit length.

    Args:
        embeddings: Rows of any length but 0.

    Returns:
        Rows of length 1, in the type and on the device of the input.

    Raises:
        FeatureFileError: A row is the zero vector or holds a value that is not finite; names the first.
    """
    norms: Tensor = torch.linalg.vector_norm(embeddings, dim=1, keepdim=True)
    unusable = ~(torch.isfinite(norms) & (norms > 0)).squeeze(1)
    if bool(unusable.any()):
        row = int(unusable.nonzero()[0, 0])
        raise FeatureFileError(
            f"row {row} has length {float(norms[row, 0])}: it has no direction.",
            "embeddings",
            "Embed that image or text again, or leave it out.",
        )
    return embeddings / norms


def cosine_similarity(
    images: Float[Tensor, "images dim"], texts: Float[Tensor, "texts dim"]
) -> Float[Tensor, "images texts"]:
    """Compute the cosine of every image with every text.

    Args:
        images: Rows of any length but 0.
        texts: Rows of any length but 0.

    Returns:
        Cosines in [-1, 1] up to rounding.

    Raises:
        FeatureFileError: A row is the zero vector or holds a value that is not finite.
    """
    return normalise(images) @ normalise(texts).T
