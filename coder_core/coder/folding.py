"""Add up text embeddings class by class: the one step that every linear classifier shares.

A mean of cosines is the cosine sum of one vector, so it is folded into one vector per class before any image is seen.
Sums run in float64, in column order, on the CPU: exact enough to compare with any other order, the same on every
machine, and possible where the accelerator knows no float64.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from coder_core.errors import FeatureFileError
from coder_core.texts.layout import Segments, TextLayout

__all__ = ["check_text_embeddings", "segment_sums"]

ROWS_AT_ONCE = 16_384
"""Text rows held as float64 at a time: 64 MiB at 512 dimensions."""


def segment_sums(text_embeddings: Float[Tensor, "texts dim"], segments: Segments) -> Float[Tensor, "classes dim"]:
    """Add the embeddings of every class's columns.

    Args:
        text_embeddings: One row per column of the layout.
        segments: The columns of every class.

    Returns:
        Sums in float64 on the CPU; a class without columns gets zeros.
    """
    columns = torch.from_numpy(segments.columns)
    class_ids = torch.from_numpy(segments.class_ids)
    sums = torch.zeros(len(segments.offsets) - 1, text_embeddings.shape[1], dtype=torch.float64)
    for start in range(0, len(columns), ROWS_AT_ONCE):
        part = slice(start, start + ROWS_AT_ONCE)
        rows = text_embeddings[columns[part].to(text_embeddings.device)]
        sums.index_add_(0, class_ids[part], rows.cpu().double())
    return sums


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
