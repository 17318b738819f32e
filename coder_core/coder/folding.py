"""Add up text embeddings class by class: the one step that every linear classifier shares.

A mean of cosines is the cosine sum of one vector, so it is folded into one vector per class before any image is seen.
Sums run in float32, in column order, where the embeddings are, without a copy of them: a class has tens of texts, so a
sum is exact to about 1e-6 of its length. What comes after is float64 on the CPU.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import embedding_bag

from coder_core.errors import FeatureFileError
from coder_core.texts.layout import Segments, TextLayout

__all__ = ["check_text_embeddings", "segment_sums"]


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
