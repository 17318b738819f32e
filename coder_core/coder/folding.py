"""Add up text embeddings class by class: the one step that every linear classifier shares.

A mean of cosines is the cosine sum of one vector, so it is folded into one vector per class before any image is seen.
Sums run in float64, in column order, on the CPU: exact enough to compare with any other order, the same on every
machine, and possible where the accelerator knows no float64.
"""

from collections.abc import Iterator

import numpy as np
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
    sums = torch.zeros(len(segments.offsets) - 1, text_embeddings.shape[1], dtype=torch.float64)
    for first, last in _class_runs(segments):
        columns = torch.from_numpy(segments.columns[segments.offsets[first] : segments.offsets[last]])
        rows = text_embeddings[columns.to(text_embeddings.device)].cpu().double()
        lengths = torch.from_numpy(segments.counts[first:last])
        sums[first:last] = torch.segment_reduce(rows, "sum", lengths=lengths, initial=0.0)
    return sums


def _class_runs(segments: Segments) -> Iterator[tuple[int, int]]:
    """Cut the classes into runs of about `ROWS_AT_ONCE` columns; a class is never cut."""
    first, classes = 0, len(segments.offsets) - 1
    while first < classes:
        last = int(np.searchsorted(segments.offsets, segments.offsets[first] + ROWS_AT_ONCE, side="right")) - 1
        last = min(max(last, first + 1), classes)
        yield first, last
        first = last


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
