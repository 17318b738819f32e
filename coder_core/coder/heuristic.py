"""The heuristic classifier, folded: CODER's first stage without the image x text matrix.

    score_c(x) = ( sum_{t in A_c} cos(x, t) + max_{t in S_c} cos(x, t) ) / (|A_c| + 1)

with A_c the attribute and analogous texts of class c, S_c its name and synonyms. The sum does not depend on which
naming text wins, so it moves into the maximum: with a_c = sum_{t in A_c} g(t)

    score_c(x) = max_{t in S_c} f(x) . (a_c + g(t)) / (|A_c| + 1)

and a class is one vector per NAMING text, whatever the number of its other texts. Those vectors are stored rank by
rank (every class's first, then the second of those that have one, ...): rank 0 alone is a plain linear classifier, and
each further rank raises the logits of the few classes that it concerns. Source: Yi et al., CVPR 2024, heuristic
classifier; the folding is an identity.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from coder_core.coder.classifier import LOGIT_SCALE
from coder_core.coder.folding import check_text_embeddings, segment_sums
from coder_core.texts.kinds import DESCRIPTIVE_KINDS, NAMING_KINDS
from coder_core.texts.layout import Segments, TextLayout

__all__ = ["FoldedClassifier", "NamingRank", "fold_classifier", "heuristic_logits"]

LOGITS_AT_ONCE = 4_194_304
"""Logits in work per step (16 MiB of float32): bounds the temporary memory whatever the number of images."""


@dataclass(frozen=True, eq=False)
class NamingRank:
    """The r-th naming text of every class that has one, folded with the descriptive texts of its class.

    Args:
        class_ids: The classes, ascending.
        weights: One row per class in `class_ids`: (a_c + g(t)) / (|A_c| + 1).
    """

    class_ids: Int[Tensor, " members"]
    weights: Float[Tensor, "members dim"]


@dataclass(frozen=True, eq=False)
class FoldedClassifier:
    """CODER's heuristic classifier for one set of texts.

    Args:
        ranks: At least one; rank 0 holds every class.
        logit_scale: Factor from score to logit.
    """

    ranks: Sequence[NamingRank]
    logit_scale: float = LOGIT_SCALE

    def logits(self, image_embeddings: Float[Tensor, "images dim"]) -> Float[Tensor, "images classes"]:
        """Score every class, see `heuristic_logits`."""
        return heuristic_logits(image_embeddings, self)


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
    descriptive = layout.segments(DESCRIPTIVE_KINDS)
    sums = segment_sums(text_embeddings, descriptive)
    sizes = torch.from_numpy(descriptive.counts + 1).double().unsqueeze(1)
    naming = layout.segments(NAMING_KINDS)
    ranks = []
    for rank in range(int(naming.counts.max())):
        class_ids, columns = _members(naming, rank)
        names = text_embeddings[columns.to(text_embeddings.device)].cpu().double()
        weights = ((sums[class_ids] + names) / sizes[class_ids]).float()
        ranks.append(NamingRank(class_ids.to(text_embeddings.device), weights.to(text_embeddings.device)))
    return FoldedClassifier(ranks=tuple(ranks), logit_scale=logit_scale)


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
    class_count = len(classifier.ranks[0].class_ids)
    logits = image_embeddings.new_empty((image_embeddings.shape[0], class_count), dtype=torch.float32)
    step = max(1, LOGITS_AT_ONCE // class_count)
    for start in range(0, image_embeddings.shape[0], step):
        _score(image_embeddings[start : start + step].float(), classifier.ranks, logits[start : start + step])
    return logits.mul_(classifier.logit_scale)


def _score(
    image_embeddings: Float[Tensor, "images dim"], ranks: Sequence[NamingRank], scores: Float[Tensor, "images classes"]
) -> None:
    """Write the maximum over the ranks into `scores`."""
    torch.matmul(image_embeddings, ranks[0].weights.T, out=scores)
    for rank in ranks[1:]:
        candidates = image_embeddings @ rank.weights.T
        scores[:, rank.class_ids] = torch.maximum(scores[:, rank.class_ids], candidates)


def _members(naming: Segments, rank: int) -> tuple[Int[Tensor, " members"], Int[Tensor, " members"]]:
    """Find the classes that have more than `rank` naming texts, and the column of that text."""
    class_ids = np.flatnonzero(naming.counts > rank)
    columns = naming.columns[naming.offsets[class_ids] + rank]
    return torch.from_numpy(class_ids), torch.from_numpy(columns)
