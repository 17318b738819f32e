"""A CODER that is not linear: the image as a distribution over its neighbour texts.

A CODER lists an image's cosines to all texts, which is a linear map of the image; cosines of CODERs are its cosines
under another metric (`text_metric`). Taken at its word, an image's neighbours are the few texts next to it:

    p(x) = softmax(cosines of x to the texts / temperature)          h(x) = sqrt(p(x)), of unit length
    score_c(x) = h(x) . mean of h over the support of c, brought to unit length

so two images are alike as far as they have the same neighbours (the Bhattacharyya coefficient of their distributions).
Texts are taken around their mean (the modality gap, not meaning). Images may be taken as they are, or around the mean
of the support with the texts around the mean of the task's words: then only what tells the classes of the task apart
decides who is near. Ours.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Float, Float32
from torch import Tensor
from torch.nn.functional import normalize

from coder_core.coder.classifier import ClassifierShape
from coder_core.coder.storable import Storable
from coder_core.coder.vectors import repeatable
from coder_core.few_shot.examples import Support, class_means
from coder_core.few_shot.search import Scored, Settings
from coder_core.few_shot.task_vocabulary import Vocabulary
from coder_core.loops import each

__all__ = [
    "TEMPERATURES",
    "NeighbourDistribution",
    "NeighbourDistributionClassifier",
    "Neighbours",
    "find_neighbours",
    "root_probabilities",
]

TEMPERATURES = (0.01, 0.02, 0.04)
"""Of the softmax over texts. Below, one text takes all; above, the distribution says what the cosines say."""

VALUES_AT_ONCE = 8_388_608
"""Cosines in work per step (32 MiB of float32): bounds the temporary memory whatever the number of images."""


@dataclass(frozen=True, eq=False)
class NeighbourDistributionClassifier(Storable):
    """Likeness of distributions over texts to one vector for each class: means, or what a regression gives.

    Args:
        texts: Unit rows.
        offset: What is taken off every image before it is brought to unit length; None for nothing.
        means: One row per class, to be multiplied with square roots of probabilities; of a nearest mean unit rows.
        temperature: Of the softmax, above 0.
    """

    kind: ClassVar[str] = "neighbour_distribution"

    texts: Float32[Tensor, "texts dim"]
    offset: Float32[Tensor, " dim"] | None
    means: Float32[Tensor, "classes texts"]
    temperature: float

    @property
    def shape(self) -> ClassifierShape:
        """Classes of the means, dimensions of the texts."""
        return ClassifierShape(len(self.means), self.texts.shape[1])

    def logits(self, image_embeddings: Float[Tensor, "images dim"]) -> Float32[Tensor, "images classes"]:
        """Score images, by a nearest mean in [0, 1]; temporary memory does not grow with them."""
        scores = image_embeddings.new_empty((len(image_embeddings), len(self.means)), dtype=torch.float32)
        step = max(1, VALUES_AT_ONCE // len(self.texts))
        for start in each(range(0, len(image_embeddings), step)):
            cosines = _centre(image_embeddings[start : start + step].float(), self.offset) @ self.texts.T
            scores[start : start + step] = root_probabilities(cosines, self.temperature) @ self.means.T
        return scores

    def find_problem(self) -> str | None:
        """A temperature that is not above 0."""
        return None if self.temperature > 0 else f"its temperature is {self.temperature}"


@dataclass(frozen=True, eq=False)
class NeighbourDistribution:
    """The method, before it has seen an image.

    Args:
        vocabulary: The neighbour texts.
        temperatures: To try.
        centres: To try: whether images and texts are taken around the means of the task.
    """

    vocabulary: Vocabulary
    temperatures: Sequence[float] = TEMPERATURES
    centres: Sequence[bool] = (False, True)

    def prepare(self, support: Support) -> "_NeighbourScorer":
        """Find the neighbours of the support."""
        return _NeighbourScorer(self, support)


class Neighbours(NamedTuple):
    """The support and its neighbours, in one space.

    Args:
        texts: Unit rows.
        offset: What is taken off every image; None for nothing.
        cosines: Of the support to the texts.
    """

    texts: Float32[Tensor, "texts dim"]
    offset: Float32[Tensor, " dim"] | None
    cosines: Float32[Tensor, "support texts"]


class _NeighbourScorer:
    def __init__(self, method: NeighbourDistribution, support: Support) -> None:
        self._method = method
        self._support = support
        self._neighbours = {centre: find_neighbours(method.vocabulary, support, centre) for centre in method.centres}

    @property
    def default(self) -> Settings:
        """The last space and the middle temperature; zero-shot logits count ten times less than a cosine."""
        temperatures = self._method.temperatures
        settings = {"centred": float(self._method.centres[-1]), "temperature": temperatures[len(temperatures) // 2]}
        return {**settings, "weight": 10.0}

    def classifier(self, settings: Settings) -> NeighbourDistributionClassifier:
        near = self._neighbours[bool(settings["centred"])]
        means = normalize(self._means(settings), dim=1)
        return NeighbourDistributionClassifier(near.texts, near.offset, means, settings["temperature"])

    def scored(self, queries: Float[Tensor, "queries dim"]) -> Iterator[Scored]:
        """Score images in every space under every temperature."""
        for settings in each(self._settings()):
            yield Scored(settings, self.classifier(settings).logits(queries))

    def leave_one_out_scores(self) -> Iterator[Scored] | None:
        """Score every support image by the means without it; the words of the task stay as they are."""
        if int(self._support.counts.min()) < 2:
            return None
        return (Scored(settings, self._without_own_image(settings)) for settings in each(self._settings()))

    def _settings(self) -> Iterator[dict[str, float]]:
        for centre, temperature in product(self._method.centres, self._method.temperatures):
            yield {"centred": float(centre), "temperature": temperature}

    def _rows(self, settings: Settings) -> Float32[Tensor, "support texts"]:
        return root_probabilities(self._neighbours[bool(settings["centred"])].cosines, settings["temperature"])

    def _means(self, settings: Settings) -> Float32[Tensor, "classes texts"]:
        return class_means(self._rows(settings), self._support).float()

    def _without_own_image(self, settings: Settings) -> Float32[Tensor, "support classes"]:
        rows, means, labels = self._rows(settings), self._means(settings), self._support.label_ids
        scores = rows @ normalize(means, dim=1).T
        counts = self._support.counts[labels].unsqueeze(1).float()
        without = normalize((counts * means[labels] - rows) / (counts - 1), dim=1)
        return scores.scatter(1, labels.unsqueeze(1), (rows * without).sum(dim=1, keepdim=True))


def find_neighbours(vocabulary: Vocabulary, support: Support, centre: bool) -> Neighbours:
    """Find the neighbours of a support, around the means of the task or not."""
    texts = vocabulary.centred(support if centre else None).float()
    offset = class_means(support.embeddings, support).mean(dim=0).float() if centre else None
    return Neighbours(texts, offset, _centre(support.embeddings.float(), offset) @ texts.T)


def _centre(embeddings: Float32[Tensor, "rows dim"], offset: Float32[Tensor, " dim"] | None) -> Tensor:
    rows = repeatable(embeddings)  # before a sum over them: its last bit depends on how they lie
    return rows if offset is None else repeatable(normalize(rows - offset, dim=1))


def root_probabilities(cosines: Float32[Tensor, "rows texts"], temperature: float) -> Float32[Tensor, "rows texts"]:
    """`h`: unit rows, 0 or more."""
    return torch.softmax(cosines / temperature, dim=1).sqrt()
