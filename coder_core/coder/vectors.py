"""Embeddings as vectors: unit length, cosines, sums class by class, and a form in which arithmetic repeats bit for bit.

A mean of cosines is the cosine sum of one vector, so it is folded into one vector per class before any image is seen:
the one step that every linear classifier shares. Sums run in float32, in column order, where the embeddings are,
without a copy of them: a class has tens of texts, so a sum is exact to about 1e-6 of its length. What comes after is
float64 on the CPU.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import embedding_bag

from coder_core.errors import FeatureFileError
from coder_core.texts.text_layout import Segments, TextLayout

__all__ = ["check_text_embeddings", "coder_matrix", "normalise", "repeatable", "segment_sums"]

ALIGNMENT = 64
"""Bytes: where torch puts a tensor of its own, and what vector instructions load at once at most."""


def repeatable(tensor: Tensor) -> Tensor:
    """Bring a tensor into the form in which the same numbers always give the same products, to the last bit.

    Matrix products add up in another order for other strides, and for memory that starts elsewhere (MKL peels what is
    not aligned): two equal tensors can differ in the last bit of their products, measured on float32 and float64.

    Returns:
        The tensor itself where it is contiguous and starts at a multiple of `ALIGNMENT` bytes, else a copy.
    """
    if tensor.is_contiguous() and tensor.data_ptr() % ALIGNMENT == 0:
        return tensor
    return tensor.clone(memory_format=torch.contiguous_format)


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


def coder_matrix(
    image_embeddings: Float[Tensor, "images dim"], text_embeddings: Float[Tensor, "texts dim"]
) -> Float[Tensor, "images texts"]:
    """Compute the explicit CODERs of a chunk of images: their cosines to every text (Yi et al., CVPR 2024).

    Classification does not need them (`heuristic` folds them away); they are for those who want to look at them.

    Args:
        image_embeddings: L2-normalised rows.
        text_embeddings: L2-normalised rows, in column order.

    Returns:
        Cosines in [-1, 1] up to rounding, float32. Memory is images x texts: give a chunk, not a data set.
    """
    return image_embeddings.float() @ text_embeddings.float().T


def segment_sums(text_embeddings: Float[Tensor, "texts dim"], segments: Segments) -> Float[Tensor, "classes dim"]:
    """Add the embeddings of every class's columns.

    Args:
        text_embeddings: One row per column of the layout.
        segments: The columns of every class.

    Returns:
        Sums as float64 on the CPU; a class without columns gets zeros.
    """
    columns = torch.from_numpy(segments.columns).to(text_embeddings.device)
    starts = torch.from_numpy(segments.offsets[:-1]).to(text_embeddings.device)
    return embedding_bag(columns, text_embeddings.float(), starts, mode="sum").cpu().double()


def check_text_embeddings(text_embeddings: Float[Tensor, "texts dim"], layout: TextLayout) -> None:
    """Refuse embeddings that were not made from this layout's texts.

    Raises:
        FeatureFileError: There are more or fewer rows than the layout has columns.
    """
    if text_embeddings.shape[0] != layout.text_count:
        raise FeatureFileError(
            f"{text_embeddings.shape[0]} text embeddings for {layout.text_count} texts.",
            "text embeddings",
            "Embed `TextTable.unique_texts()` of the table that the layout was built from.",
        )
