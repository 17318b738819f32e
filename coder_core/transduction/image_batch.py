"""A batch of images that need not fit in memory: it is read part by part, as often as wanted.

Everything that is learnt from it is a sum over its rows, so memory holds one part and the sums, however many images
there are. What needs single images (evidence, temperature) gets a sample of bounded size.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Float32, Float64, Int
from torch import Tensor

from coder_core.errors import FeatureFileError
from coder_core.few_shot.text_metric import MetricSpace
from coder_core.loops import each

__all__ = ["SAMPLE", "BatchSurvey", "KnownRows", "Parts", "centre_rows", "in_parts", "survey_batch", "take_sample"]

Parts = Callable[[], Iterable[Float[Tensor, "rows dim"]]]
"""Gives the parts of a batch from its beginning, each time it is called: L2-normalised rows in the same order."""

SAMPLE = 8192
"""Images that evidence and temperature are judged on, at most: a standard error of 1 % of a nat per image."""

ROWS = 4096
"""Rows of a part where a tensor is cut into parts."""

SPREAD = 1e-6
"""Mapped unit vectors whose mean square distance from their mean is below this are one and the same image."""

GOLDEN = 2_654_435_761
"""Knuth's multiplier (TAOCP 3, 6.4): spreads consecutive row numbers evenly over 32 bits."""


class KnownRows(NamedTuple):
    """Images whose class is known: the support of a few-shot run.

    Args:
        embeddings: L2-normalised rows.
        label_ids: `(rows,)` their classes.
    """

    embeddings: Float[Tensor, "rows dim"]
    label_ids: Int[Tensor, " rows"]


class BatchSurvey(NamedTuple):
    """What one look at the batch gave.

    Args:
        images: Rows that can be used.
        unusable: Rows with a number that is not finite: they say nothing, and are left out of every sum.
        mean: Mean of the mapped rows; zeros without any.
        spread: Mean square distance of mapped rows from it.
    """

    images: int
    unusable: int
    mean: Float64[Tensor, " dim"]
    spread: float


def in_parts(embeddings: Float[Tensor, "rows dim"], rows: int = ROWS) -> Parts:
    """Cut a tensor into parts."""
    return lambda: (embeddings[start : start + rows] for start in range(0, len(embeddings), rows))


def usable_parts(parts: Parts, dim: int) -> Iterator[Float[Tensor, "rows dim"]]:
    """Go through a batch once, without rows that are not finite.

    Raises:
        FeatureFileError: Rows have another dimension than the classifier.
    """
    for part, usable in checked_parts(parts, dim):
        yield part if bool(usable.all()) else part[usable]


def checked_parts(parts: Parts, dim: int) -> Iterator[tuple[Float[Tensor, "rows dim"], Bool[Tensor, " rows"]]]:
    """Go through a batch once: every part, and which of its rows hold numbers and not only zeros.

    Raises:
        FeatureFileError: Rows have another dimension than the classifier.
    """
    for part in each(parts()):
        if part.shape[1] != dim:
            raise FeatureFileError(
                f"rows of {part.shape[1]} dimensions for a classifier of {dim}.", "batch", "Use one encoder for both."
            )
        yield part, torch.isfinite(part).all(dim=1) & (part != 0).any(dim=1)


def survey_batch(parts: Parts, space: MetricSpace, dim: int) -> BatchSurvey:
    """Count the rows of a batch, and find their mean in a space."""
    total, square = torch.zeros(dim, dtype=torch.float64), 0.0
    count = seen = 0
    for part, usable in checked_parts(parts, dim):
        rows = part[usable]
        seen += len(part)
        mapped = space.map(rows)
        total += mapped.sum(dim=0).double().cpu()
        square += float(mapped.square().sum())
        count += len(rows)
    mean = total / max(1, count)
    return BatchSurvey(count, seen - count, mean, max(0.0, square / max(1, count) - float(mean @ mean)))


def take_sample(parts: Parts, survey: BatchSurvey, size: int = SAMPLE) -> Float[Tensor, "sample dim"]:
    """Take about `size` rows evenly from all over the batch; all of them where there are not more.

    Which rows are taken depends on their numbers alone: the same batch gives the same sample, and no period in its
    order (classes one after the other, say) can meet one of the choice.
    """
    share, first = size / max(1, survey.images), 0
    taken = []
    for rows in usable_parts(parts, len(survey.mean)):
        numbers = torch.arange(first, first + len(rows))
        chosen = ((numbers * GOLDEN) % 2**32).double() / 2**32 < share
        taken.append(rows if share >= 1 else rows[chosen])
        first += len(rows)
    return torch.cat(taken)


def centre_rows(
    space: MetricSpace, embeddings: Float[Tensor, "rows dim"], offset: Float64[Tensor, " dim"]
) -> Float32[Tensor, "rows dim"]:
    """Map embeddings, take the offset off, and bring what is left to unit length (what is nothing stays nothing).

    Args:
        space: The text metric.
        embeddings: L2-normalised rows.
        offset: The mean of mapped rows.
    """
    mapped = space.map(embeddings)
    return torch.nn.functional.normalize(mapped - offset.to(mapped), dim=1, eps=1e-6)
