"""Texts chosen by a few labelled images: of a class's descriptions, those that fit its own images and no others. Ours.

The score of a text is that of `coder.text_selection`, with the mean of each class's support images in the place of the
mean of its texts. How many texts stay is chosen on the support itself: one image of every class is left out at a time,
texts are chosen by the others, and the likelihood of those left out decides. All texts and none (names alone) are among
the choices, so neither a selection that does not help is made, nor are texts kept that do not.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from coder_core.coder.classifier import LOGIT_SCALE
from coder_core.coder.heuristic import FoldedClassifier, fold_classifier
from coder_core.coder.text_selection import select_texts
from coder_core.few_shot.examples import Support, class_means
from coder_core.loops import each
from coder_core.texts.text_layout import TextLayout

__all__ = ["DEFAULT_SHARE", "SHARES", "ChosenTexts", "choose_texts"]

SHARES = (1.0, 0.75, 0.5, 0.25, 0.0)
"""Of each class's descriptions; of equals the first. 0: names alone."""

DEFAULT_SHARE = 0.75
"""Where a class has a single image and none can be left out: that of `coder_selected`."""


class ChosenTexts(NamedTuple):
    """CODER on the texts that a support set has chosen.

    Args:
        classifier: Of these texts.
        kept: Share of each class's descriptions that stay, in [0, 1].
        images: Support images that the share was chosen on; 0 for the default share.
    """

    classifier: FoldedClassifier
    kept: float
    images: int


def choose_texts(
    text_embeddings: Float[Tensor, "texts dim"],
    layout: TextLayout,
    support: Support,
    *,
    logit_scale: float = LOGIT_SCALE,
    shares: Sequence[float] = SHARES,
) -> ChosenTexts:
    """Choose texts, and how many, by support images alone.

    Args:
        text_embeddings: L2-normalised rows, one per column of the layout.
        layout: Which columns belong to which class and kind.
        support: Labelled images of all classes, of the same space.
        logit_scale: Factor from score to logit.
        shares: Of texts, to choose from.

    Raises:
        FeatureFileError: The embeddings are not as many as the layout's columns.
    """

    def build(kept: float, own: Support) -> FoldedClassifier:
        places = class_means(own.embeddings, own)
        chosen = select_texts(text_embeddings, layout, kept=kept, class_places=places)
        return fold_classifier(text_embeddings, chosen, logit_scale=logit_scale)

    if int(support.counts.min()) < 2:
        return ChosenTexts(build(DEFAULT_SHARE, support), DEFAULT_SHARE, 0)
    losses = dict.fromkeys(shares, 0.0)
    for others, left_out in _folds(support):
        for kept in losses:
            logits = build(kept, others).logits(support.embeddings[left_out])
            losses[kept] += _loss(logits, support.label_ids[left_out])
    best = min(losses, key=lambda kept: losses[kept])
    return ChosenTexts(build(best, support), best, len(support.label_ids))


def _folds(support: Support) -> Iterator[tuple[Support, Int[Tensor, " rows"]]]:
    """One image of every class left out at a time, and which; a class with fewer images is left as it is in the end."""
    order = torch.argsort(support.label_ids, stable=True)
    starts = torch.cumsum(support.counts, dim=0) - support.counts
    places = torch.empty_like(order)
    places[order] = torch.arange(len(order)) - starts[support.label_ids[order]]
    for place in each(range(int(support.counts.max()))):
        is_out = places == place
        others = Support(support.embeddings[~is_out], support.label_ids[~is_out], support.class_count)
        yield others, is_out.nonzero().squeeze(1)


def _loss(logits: Float[Tensor, "rows classes"], label_ids: Int[Tensor, " rows"]) -> float:
    return float(torch.nn.functional.cross_entropy(logits.double(), label_ids, reduction="sum"))
