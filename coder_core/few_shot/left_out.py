"""What a method says of its own support, by fits that have not seen the images: every class loses as many as any other.

Leaving out one image at a time takes it from its own class alone. The mean of that class is then of one image less than
the means of all others, noisier, and further from every image; the true class falls behind, by most where a class has
few images. Whoever weighs a classifier by that against zero-shot logits, which lose nothing, trusts it too little
(docs/few-shot.md). So one fold of every class is left out at a time, and everything is fitted without
it, the words of the task included.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from coder_core.few_shot.examples import Support
from coder_core.few_shot.fitting import Scorer
from coder_core.few_shot.search import Scored
from coder_core.loops import each

__all__ = ["FOLDS", "FittedFold", "Fold", "fit_folds", "left_out_scores", "split_folds"]

FOLDS = 4
"""At most: fits are of three quarters of the images or more, or of all images but one."""


class Fold(NamedTuple):
    """Rows of a support: what is fitted on, and what is scored by that fit."""

    kept: Int[Tensor, " kept"]
    left_out: Int[Tensor, " left"]


class FittedFold(NamedTuple):
    """Experts that were given a part of a support.

    Args:
        experts: By name.
        part: What they were given.
        embeddings: Images of the support that were left out.
    """

    experts: Mapping[str, Scorer]
    part: Support
    embeddings: Float[Tensor, "left dim"]


def split_folds(support: Support, *, most: int = FOLDS) -> list[Fold]:
    """Deal the images of every class to folds, in turn; the only image of a class is always kept.

    Args:
        support: Where at least one class has two images.
        most: Folds; fewer where no class has as many images.

    Returns:
        Every image of a class of two or more is left out of exactly one fold.
    """
    labels, counts = support.label_ids, support.counts
    place = torch.zeros_like(labels)
    for class_id in each(range(support.class_count)):
        rows = (labels == class_id).nonzero().squeeze(1)
        place[rows] = torch.arange(len(rows))
    fold, is_single = place % most, counts[labels] == 1
    wanted = range(min(most, int(counts.max())))
    return [_fold_of((fold == number) & ~is_single) for number in wanted]


def fit_folds(
    support: Support, folds: Sequence[Fold], build: Callable[[Support], Mapping[str, Scorer]]
) -> list[FittedFold]:
    """Fit everything anew without each fold.

    Args:
        support: All images.
        folds: Of `split_folds`.
        build: Gives experts, by name, a support; the same settings in the same order whatever the images.
    """
    parts = [_part(support, fold.kept) for fold in folds]
    left_out = [support.embeddings[fold.left_out] for fold in folds]
    return [FittedFold(build(part), part, rows) for part, rows in each(zip(parts, left_out, strict=True))]


def left_out_scores(fitted: Sequence[FittedFold]) -> dict[str, Iterator[Scored]]:
    """Score the images that are left out, fold after fold, under every setting of every expert.

    Returns:
        For every expert, its settings, and scores of `torch.cat([fold.left_out for fold in folds])` under each.
    """
    return {
        name: _side_by_side([fold.experts[name].scored(fold.embeddings) for fold in fitted])
        for name in fitted[0].experts
    }


def _side_by_side(parts: Sequence[Iterator[Scored]]) -> Iterator[Scored]:
    for found in zip(*parts, strict=True):
        yield Scored(found[0].settings, torch.cat([part.scores for part in found]))


def _fold_of(is_left_out: Tensor) -> Fold:
    return Fold((~is_left_out).nonzero().squeeze(1), is_left_out.nonzero().squeeze(1))


def _part(support: Support, rows: Int[Tensor, " rows"]) -> Support:
    return Support(support.embeddings[rows], support.label_ids[rows], support.class_count)
