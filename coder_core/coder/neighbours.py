"""A classifier that looks at similarities to texts one by one, where nothing can be folded.

    score_c(x) = (1 - w_c) * pool_{t in A_c} sim(x, t) + w_c * max_{t in S_c} sim(x, t)

The paper's score is the mean as pool, the cosine as similarity, and w_c = 1 / (|A_c| + 1); then it is linear in the
image and `heuristic` folds it. Here the pool may choose texts image by image and the similarity may be a distance, so
images are scored one chunk at a time against the texts themselves: texts of a class lie in a table filled up with "no
text", whose similarity is -inf. `variants` names the classifiers that are built of it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Float32, Int, Int64
from torch import Tensor

from coder_core.coder.classifier import LOGIT_SCALE, ClassifierShape
from coder_core.coder.storable import Storable
from coder_core.coder.vectors import repeatable
from coder_core.loops import each
from coder_core.texts.text_layout import Segments

__all__ = ["NeighbourClassifier", "Pooling", "find_bad_columns", "pad_columns", "similarities_of"]

VALUES_AT_ONCE = 4_194_304
"""Similarities in work per step (16 MiB of float32): bounds the temporary memory whatever the number of images."""

Pooled = tuple[Tensor, Tensor]
"""Pooled similarities `(images, classes)`, and how many texts counted `(classes,)`."""


@dataclass(frozen=True, eq=False)
class Pooling(Storable):
    """How the descriptive similarities of a class become one.

    Args:
        name: A key of `POOLS`.
        parameter: What it is called with.
    """

    kind: ClassVar[str] = "pooling"

    name: str
    parameter: float

    def pool(
        self, similarities: Float[Tensor, "images classes places"], counts: Int[Tensor, " classes"]
    ) -> tuple[Float[Tensor, "images classes"], Int[Tensor, " classes"]]:
        """Pool similarities, -inf where a class has fewer texts; 0 for a class without, and how many texts counted."""
        return POOLS[self.name](similarities, counts, self.parameter)

    def find_problem(self) -> str | None:
        """A pool that does not exist, or a parameter that it cannot have."""
        if self.name not in POOLS:
            return f"there is no pool {self.name!r}"
        is_possible = self.parameter >= 1 if self.name == "mean_of_best" else self.parameter >= 0
        return None if is_possible else f"the pool {self.name} has the parameter {self.parameter}"


@dataclass(frozen=True, eq=False)
class NeighbourClassifier(Storable):
    """A classifier that looks at the similarities themselves, one chunk of images at a time.

    Args:
        texts: The text embeddings, already mapped by `whitening` where there is one.
        descriptive: Columns of the descriptive texts of every class, see `pad_columns`.
        naming: Columns of the naming texts of every class.
        pooling: How the descriptive similarities of a class become one.
        whitening: Maps images and texts before they are compared; None compares them as they are.
        is_distance: Whether the similarity is the negative Euclidean distance instead of the cosine.
        name_weight: Weight of the best naming similarity in [0, 1]; None is the paper's 1 / (texts that counted + 1).
            A class without descriptive texts is scored by its name alone.
        logit_scale: Factor from score to logit.
    """

    kind: ClassVar[str] = "neighbours"

    texts: Float32[Tensor, "texts dim"]
    descriptive: Int64[Tensor, "classes places"]
    naming: Int64[Tensor, "classes naming_places"]
    pooling: Pooling
    whitening: Float32[Tensor, "dim dim"] | None = None
    is_distance: bool = False
    name_weight: float | None = None
    logit_scale: float = LOGIT_SCALE

    @property
    def shape(self) -> ClassifierShape:
        """Classes, and dimensions of the texts."""
        return ClassifierShape(len(self.naming), self.texts.shape[1])

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
        for start in each(range(0, len(image_embeddings), step)):
            part = slice(start, start + step)
            logits[part] = self.logit_scale * self._scores(repeatable(image_embeddings[part].float()))
        return logits

    def find_problem(self) -> str | None:
        """Columns that are no texts, a class without a name, or a weight that is no share."""
        if self.name_weight is not None and not 0 <= self.name_weight <= 1:
            return f"the name's weight is {self.name_weight}"
        return find_bad_columns(self.descriptive, self.naming, len(self.texts))

    def _scores(self, images: Float[Tensor, "images dim"]) -> Float[Tensor, "images classes"]:
        mapped = images if self.whitening is None else images @ self.whitening
        similarities = similarities_of(mapped, self.texts, is_distance=self.is_distance)
        counts = (self.descriptive < len(self.texts)).sum(dim=1)
        pooled, counted = self.pooling.pool(_spread(similarities, self.descriptive), counts)
        weight = 1 / (counted + 1) if self.name_weight is None else torch.where(counts > 0, self.name_weight, 1.0)
        return pooled * (1 - weight) + _spread(similarities, self.naming).amax(dim=2) * weight


def pad_columns(segments: Segments, *, absent: int) -> Int64[Tensor, "classes places"]:
    """Bring the columns of all classes into one table, filled up with `absent`; at least one place wide."""
    width = max(1, int(segments.counts.max()))
    table = np.full((len(segments.counts), width), absent, dtype=np.int64)
    places = np.arange(len(segments.columns)) - np.repeat(segments.offsets[:-1], segments.counts)
    table[segments.class_ids, places] = segments.columns
    return torch.from_numpy(table)


def find_bad_columns(
    descriptive: Int[Tensor, "classes places"], naming: Int[Tensor, "classes naming_places"], absent: int
) -> str | None:
    """Say where tables made by `pad_columns` refer to no text, or leave a class without a name; None where not.

    Args:
        descriptive: Columns of each class's descriptive texts, filled up with `absent`.
        naming: The same of its name and synonyms.
        absent: The number of texts: "no text".
    """
    for table in (descriptive, naming):
        if table.numel() and not 0 <= int(table.min()) <= int(table.max()) <= absent:
            return f"a column is not in 0..{absent}"
    if not bool((naming < absent).any(dim=1).all()):
        return "a class has no name"
    return None


def similarities_of(
    images: Float[Tensor, "images dim"], texts: Float[Tensor, "texts dim"], *, is_distance: bool = False
) -> Float[Tensor, "images texts_and_none"]:
    """Compare images with texts.

    Args:
        images: L2-normalised rows; mapped ones of any length where distances are asked for.
        texts: The same.
        is_distance: Whether rows are compared by Euclidean distance.

    Returns:
        Cosines in -1..1, or negative distances (higher is nearer); a last column of -inf stands for "no text".
    """
    similarities = -torch.cdist(images, texts) if is_distance else images @ texts.T
    return torch.cat([similarities, similarities.new_full((len(images), 1), float("-inf"))], dim=1)


def _mean_of_best(similarities: Tensor, counts: Tensor, m: float) -> Pooled:
    """Average the m largest similarities of every class; a class with fewer texts counts them all."""
    best = torch.topk(similarities, min(int(m), similarities.shape[2]), dim=2).values
    counted = counts.clamp(max=int(m))
    return torch.where(torch.isfinite(best), best, 0.0).sum(dim=2) / counted.clamp(min=1), counted


def _softmax_mean(similarities: Tensor, counts: Tensor, sharpness: float) -> Pooled:
    """Average all similarities of every class, weighted by the softmax of `sharpness` times themselves; 0: evenly."""
    is_text = torch.isfinite(similarities)
    values = torch.where(is_text, similarities, 0.0)
    weights = torch.softmax(torch.where(is_text, sharpness * values, float("-inf")), dim=2)
    return (weights.nan_to_num() * values).sum(dim=2), counts


def _spread(
    similarities: Float[Tensor, "images texts_and_none"], columns: Int[Tensor, "classes places"]
) -> Float[Tensor, "images classes places"]:
    """Lay similarities out class by class (`index_select`: ten times as fast as indexing by a matrix, measured)."""
    return similarities.index_select(1, columns.flatten()).view(len(similarities), *columns.shape)


POOLS: Mapping[str, Callable[[Tensor, Tensor, float], Pooled]] = {
    "mean_of_best": _mean_of_best,
    "softmax_mean": _softmax_mean,
}
