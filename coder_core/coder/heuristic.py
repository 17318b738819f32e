"""The heuristic classifier, folded: CODER's first stage without the image x text matrix.

    score_c(x) = ( sum_{t in A_c} cos(x, t) + max_{t in S_c} cos(x, t) ) / (|A_c| + 1)

with A_c the attribute and analogous texts of class c, S_c its name and synonyms. The sum does not depend on which
naming text wins, so it moves into the maximum: with a_c = sum_{t in A_c} g(t)

    score_c(x) = max_{t in S_c} f(x) . (a_c + g(t)) / (|A_c| + 1)

and a class is one vector per NAMING text, whatever the number of its other texts. The vectors are stored rank by rank
(the first of every class, then the second of those that have one, ...), classes with more naming texts first: so every
rank covers a prefix of the columns, one matrix product scores all of them, and the maximum is taken in place.
Source: Yi et al., CVPR 2024, heuristic classifier; the folding is an identity.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from coder_core.coder.classifier import LOGIT_SCALE, ClassifierShape
from coder_core.coder.storable import Storable
from coder_core.coder.vectors import check_text_embeddings, repeatable, segment_sums
from coder_core.loops import each
from coder_core.texts.kinds import DESCRIPTIVE_KINDS, NAMING_KINDS
from coder_core.texts.text_layout import TextLayout

__all__ = ["FoldedClassifier", "fold_classifier", "heuristic_logits"]

SCORES_AT_ONCE = 1_048_576
"""Naming scores in work per step (4 MiB of float32): bounds the temporary memory, and fits a processor's cache."""


@dataclass(frozen=True, eq=False)
class FoldedClassifier(Storable):
    """CODER's heuristic classifier for one set of texts.

    Args:
        weights: One row per naming text, rank by rank: (a_c + g(t)) / (|A_c| + 1).
        rank_sizes: Classes in each rank, not ascending; the first is the number of classes.
        columns: Where each class stands within a rank.
        logit_scale: Factor from score to logit.
    """

    kind: ClassVar[str] = "folded"

    weights: Float32[Tensor, "naming_texts dim"]
    rank_sizes: tuple[int, ...]
    columns: Int64[Tensor, " classes"]
    logit_scale: float = LOGIT_SCALE

    @property
    def shape(self) -> ClassifierShape:
        """Classes, and dimensions of the weights."""
        return ClassifierShape(len(self.columns), self.weights.shape[1])

    def logits(self, image_embeddings: Float[Tensor, "images dim"]) -> Float[Tensor, "images classes"]:
        """Score every class, see `heuristic_logits`."""
        return heuristic_logits(image_embeddings, self)

    def find_problem(self) -> str | None:
        """Ranks that are no prefixes, or places that are not one per class."""
        sizes = self.rank_sizes
        if sizes[:1] != self.columns.shape or sum(sizes) != len(self.weights) or list(sizes) != sorted(sizes)[::-1]:
            return f"ranks of {list(sizes)} texts do not make {len(self.weights)} of {len(self.columns)} classes"
        if sizes[-1] < 1 or self.columns.sort().values.tolist() != list(range(len(self.columns))):
            return "a rank is empty, or a class has no place, or two have the same"
        return None


def fold_classifier(
    text_embeddings: Float[Tensor, "texts dim"], layout: TextLayout, *, logit_scale: float = LOGIT_SCALE
) -> FoldedClassifier:
    """Fold the texts of every class into one vector per naming text.

    Args:
        text_embeddings: L2-normalised rows, one per column of the layout.
        layout: Which columns belong to which class and kind; every class has at least its name.
        logit_scale: Factor from score to logit.

    Returns:
        The classifier in float32, on the device of the embeddings. A class without descriptive texts is scored by its
        naming similarity alone.

    Raises:
        FeatureFileError: The embeddings are not as many as the layout's columns.
    """
    check_text_embeddings(text_embeddings, layout)
    descriptive, naming = layout.segments(DESCRIPTIVE_KINDS), layout.segments(NAMING_KINDS)
    sums = segment_sums(text_embeddings, descriptive)
    order = np.argsort(-naming.counts, kind="stable")
    members = [order[naming.counts[order] > rank] for rank in range(int(naming.counts.max()))]
    class_ids = torch.from_numpy(np.concatenate(members))
    texts = np.concatenate([naming.columns[naming.offsets[ids] + rank] for rank, ids in enumerate(members)])
    names = text_embeddings[torch.from_numpy(texts).to(text_embeddings.device)].cpu().double()
    sizes = torch.from_numpy(descriptive.counts + 1).double().unsqueeze(1)
    weights = ((sums[class_ids] + names) / sizes[class_ids]).float()
    return FoldedClassifier(
        weights=weights.to(text_embeddings.device),
        rank_sizes=tuple(len(ids) for ids in members),
        columns=torch.from_numpy(np.argsort(order)).to(text_embeddings.device),
        logit_scale=logit_scale,
    )


def heuristic_logits(
    image_embeddings: Float[Tensor, "images dim"], classifier: FoldedClassifier
) -> Float[Tensor, "images classes"]:
    """Score every class from its own neighbour texts.

    A class score is the mean of its descriptive similarities and ONE naming similarity, the maximum over its name and
    synonyms: taken first, so that many synonyms do not outweigh none. Temporary memory does not grow with the images.
    Source: Yi et al., CVPR 2024, heuristic classifier.

    Args:
        image_embeddings: L2-normalised rows, on the device of the classifier; any float type.
        classifier: Made by `fold_classifier(text_embeddings, layout)`.

    Returns:
        Float32 logits (score x `logit_scale`); higher is more likely, ties go to the lower class id (`predict_topk`).
    """
    logits = image_embeddings.new_empty((image_embeddings.shape[0], classifier.rank_sizes[0]), dtype=torch.float32)
    step = max(1, SCORES_AT_ONCE // len(classifier.weights))
    for start in each(range(0, image_embeddings.shape[0], step)):
        scores = repeatable(image_embeddings[start : start + step].float()) @ classifier.weights.T
        best = _best_names(scores, classifier.rank_sizes)
        torch.index_select(best, 1, classifier.columns, out=logits[start : start + step])
    return logits.mul_(classifier.logit_scale)


def _best_names(
    scores: Float[Tensor, "images naming_texts"], rank_sizes: tuple[int, ...]
) -> Float[Tensor, "images classes"]:
    """Take the maximum over the ranks, in place; every rank is a prefix of the first."""
    first, *others = torch.split(scores, list(rank_sizes), dim=1)
    for rank in others:
        prefix = first[:, : rank.shape[1]]
        torch.maximum(prefix, rank, out=prefix)
    return first
