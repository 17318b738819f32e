"""Transductions that say what each image of a batch is, and make no classifier: TransCLIP and StatA, for a run.

Both hold the whole batch in memory, images x classes several times over, so a batch that is too large is refused before
any work (`bytes_needed`). Where nothing can be learnt (one class, one image, all images the same, answers that are no
numbers) the answers are those of stage 1, with the reason.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Float32
from torch import Tensor

from coder_core.coder.classifier import Classifier
from coder_core.transduction.batch_evidence import BatchKind
from coder_core.transduction.image_batch import SPREAD, Parts, checked_parts
from coder_core.transduction.neighbour_mixtures import ROWS, stata_logits, transclip_logits
from coder_core.transduction.transduced import Transduced

__all__ = ["MOST_BYTES", "BatchAnswers", "answer_batch", "bytes_needed"]

MOST_BYTES = 4 * 2**30
"""What a batch may take at its peak: 50,000 images x 1,000 classes of 512 dimensions take 2.7 GB."""

COPIES = 8
"""Matrices of images x classes at the peak: stage 1 twice, shares, what is fixed, neighbours' votes, logits, a sum."""


class BatchAnswers(NamedTuple):
    """What came of a batch.

    Args:
        log_shares: `(images, classes)` logarithms of the classes' shares, in the order of the batch.
        found: The same as any other transduction says; its classifier is stage 1, and answers no image of the batch.
    """

    log_shares: Float32[Tensor, "images classes"]
    found: Transduced


def bytes_needed(images: int, classes: int, dim: int) -> int:
    """Memory at the peak, in bytes of float32: images x classes, images x dimensions, and a part of the neighbours."""
    return 4 * images * (COPIES * classes + 3 * dim + 2 * min(ROWS, images))


def answer_batch(
    parts: Parts, stage1: Classifier, *, method: str, class_texts: Float[Tensor, "classes dim"]
) -> BatchAnswers:
    """Classify a batch by `transclip` or `stata`.

    Args:
        parts: Gives the batch; rows that are not finite get even shares.
        stage1: Of two classes or more.
        method: One of the two.
        class_texts: L2-normalised: anchors of StatA.
    """
    images, own, usable = _read(parts, stage1)
    shape = (len(usable), stage1.shape.class_count)
    problem = _find_problem(images, shape[1])
    logits = own
    if problem is None:
        logits = transclip_logits(images, own) if method == "transclip" else stata_logits(images, own, class_texts)
        problem = None if bool(torch.isfinite(logits).all()) else "stage 1 unchanged: the mixture gives no numbers"
    logits = own if problem else logits
    log_shares = torch.full(shape, 0.0)
    log_shares[usable] = logits
    counts = logits.softmax(dim=1).sum(dim=0).double()
    kind = BatchKind.NOTHING if problem else BatchKind.STATED
    reason = problem or "neighbours and a mixture over the whole batch, as published"
    found = Transduced(stage1, kind, reason, len(images), len(usable) - len(images), counts)
    return BatchAnswers(log_shares.log_softmax(dim=1), found)


def _read(
    parts: Parts, stage1: Classifier
) -> tuple[Float32[Tensor, "usable dim"], Float32[Tensor, "usable classes"], Bool[Tensor, " images"]]:
    """The usable rows, what stage 1 says of them, and which of all rows they are."""
    rows, own, usable = [torch.zeros(0, stage1.shape.dim)], [torch.zeros(0, stage1.shape.class_count)], []
    for part, good in checked_parts(parts, stage1.shape.dim):
        usable.append(good)
        rows.append(part[good].float())
        own.append(stage1.logits(part[good]).float())
    return torch.cat(rows), torch.cat(own), torch.cat(usable) if usable else torch.zeros(0, dtype=torch.bool)


def _find_problem(images: Float32[Tensor, "images dim"], classes: int) -> str | None:
    """Why nothing can be learnt."""
    if classes < 2:
        return "stage 1 unchanged: there is one class"
    if len(images) < 2:
        return f"stage 1 unchanged: {len(images)} usable image{'' if len(images) == 1 else 's'}"
    if float(images.var(dim=0, correction=0).sum()) < SPREAD:
        return f"stage 1 unchanged: all {len(images)} images are the same"
    return None
