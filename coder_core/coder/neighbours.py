"""A classifier that looks at similarities to texts one by one, where nothing can be folded.

    score_c(x) = (1 - w_c) * pool_{t in A_c} sim(x, t) + w_c * max_{t in S_c} sim(x, t)

The paper's score is the mean as pool, the cosine as similarity, and w_c = 1 / (|A_c| + 1); then it is linear in the
image and `heuristic` folds it. Here the pool may choose texts image by image and the similarity may be a distance, so
images are scored in chunks against the texts themselves: texts of a class lie in a table filled up with "no text",
whose similarity is -inf. `variants` names the classifiers that are built of it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from coder_core.coder.classifier import LOGIT_SCALE
from coder_core.texts.layout import Segments

__all__ = ["NeighbourClassifier", "Pool", "mean_of_best", "pad_columns", "similarities_of", "softmax_mean"]

VALUES_AT_ONCE = 4_194_304
"""Similarities in work per step (16 MiB of float32): bounds the temporary memory whatever the number of images."""

Pool = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""(similarities (images, classes, places), -inf where a class has fewer texts; texts per class (classes,)) ->
(pooled (images, classes), texts that counted (classes,))."""


@dataclass(frozen=True, eq=False)
class NeighbourClassifier:
    """A classifier that looks at the similarities themselves, chunk by chunk.

    Args:
        texts: The text embeddings, already mapped by `whitening` where there is one.
        descriptive: Columns of the descriptive texts of every class, see `pad_columns`.
        naming: Columns of the naming texts of every class.
        pool: How the descriptive similarities of a class become one.
        whitening: Maps images and texts before they are compared; None compares them as they are.
        is_distance: Whether the similarity is the negative Euclidean distance instead of the cosine.
        name_weight: Weight of the best naming similarity in [0, 1]; None is the paper's 1 / (texts that counted + 1).
            A class without descriptive texts is scored by its name alone.
        logit_scale: Factor from score to logit.
    """

    texts: Float[Tensor, "texts dim"]
    descriptive: Int[Tensor, "classes places"]
    naming: Int[Tensor, "classes naming_places"]
    pool: Pool
    whitening: Float[Tensor, "dim dim"] | None = None
    is_distance: bool = False
    name_weight: float | None = None
    logit_scale: float = LOGIT_SCALE

    def logits(self, image_embeddings: Float[Tensor, "images dim"]) -> Float[Tensor, "images classes"]:
        """Score every class.

        Args:
            image_embeddings: L2-normalised rows, on the device of the texts; any float type.

        Returns:
            Float32 logits (score x `logit_scale`); higher is more likely, ties go to the lower class id.
        """
        per_image = len(self.texts) + self.descriptive.numel() + self.naming.numel()
        step = max(1, VALUES_AT_ONCE // per_image)
        logits = image_embeddings.new_empty((len(image_embeddings), len(self.naming)), dtype=torch.float32)
        for start in range(0, len(image_embeddings), step):
            part = slice(start, start + step)
            logits[part] = self.logit_scale * self._scores(image_embeddings[part].float())
        return logits

    def _scores(self, images: Float[Tensor, "images dim"]) -> Float[Tensor, "images classes"]:
        mapped = images if self.whitening is None else images @ self.whitening
        similarities = similarities_of(mapped, self.texts, is_distance=self.is_distance)
        counts = (self.descriptive < len(self.texts)).sum(dim=1)
        pooled, counted = self.pool(_spread(similarities, self.descriptive), counts)
        weight = 1 / (counted + 1) if self.name_weight is None else torch.where(counts > 0, self.name_weight, 1.0)
        return pooled * (1 - weight) + _spread(similarities, self.naming).amax(dim=2) * weight


def pad_columns(segments: Segments, *, absent: int) -> Int[Tensor, "classes places"]:
    """Bring the columns of all classes into one table, filled up with `absent`; at least one place wide."""
    width = max(1, int(segments.counts.max()))
    table = np.full((len(segments.counts), width), absent, dtype=np.int64)
    places = np.arange(len(segments.columns)) - np.repeat(segments.offsets[:-1], segments.counts)
    table[segments.class_ids, places] = segments.columns
    return torch.from_numpy(table)


def similarities_of(
    images: Float[Tensor, "images dim"], texts: Float[Tensor, "texts dim"], *, is_distance: bool = False
) -> Float[Tensor, "images texts_and_none"]:
    """Compare images with texts: cosines (of unit rows) or negative distances, and -inf for "no text" at the end."""
    similarities = -torch.cdist(images, texts) if is_distance else images @ texts.T
    return torch.cat([similarities, similarities.new_full((len(images), 1), float("-inf"))], dim=1)


def mean_of_best(
    similarities: Float[Tensor, "images classes places"], counts: Int[Tensor, " classes"], *, m: int
) -> tuple[Float[Tensor, "images classes"], Int[Tensor, " classes"]]:
    """Average the m largest similarities of every class.

    Args:
        similarities: -inf where a class has fewer texts.
        counts: Texts of every class.
        m: At least 1; a class with fewer texts counts them all.

    Returns:
        The means, 0 for a class without texts, and how many texts counted.
    """
    best = torch.topk(similarities, min(m, similarities.shape[2]), dim=2).values
    counted = counts.clamp(max=m)
    return torch.where(torch.isfinite(best), best, 0.0).sum(dim=2) / counted.clamp(min=1), counted


def softmax_mean(
    similarities: Float[Tensor, "images classes places"], counts: Int[Tensor, " classes"], *, sharpness: float
) -> tuple[Float[Tensor, "images classes"], Int[Tensor, " classes"]]:
    """Average the similarities of every class, weighted by the softmax of `sharpness` times themselves.

    Args:
        similarities: -inf where a class has fewer texts.
        counts: Texts of every class.
        sharpness: 0 makes it the plain mean.

    Returns:
        The means, 0 for a class without texts, and how many texts counted (all).
    """
    is_text = torch.isfinite(similarities)
    values = torch.where(is_text, similarities, 0.0)
    weights = torch.softmax(torch.where(is_text, sharpness * values, float("-inf")), dim=2)
    return (weights.nan_to_num() * values).sum(dim=2), counts


def _spread(
    similarities: Float[Tensor, "images texts_and_none"], columns: Int[Tensor, "classes places"]
) -> Float[Tensor, "images classes places"]:
    """Lay similarities out class by class (`index_select`: ten times as fast as indexing by a matrix, measured)."""
    return similarities.index_select(1, columns.flatten()).view(len(similarities), *columns.shape)
