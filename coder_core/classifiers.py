"""All kinds of classifier, put together again from their states, and one way to predict with any of them.

    state = classifier.state()                      # plain settings and tensors: JSON and safetensors, say
    again = restore_classifier(state)               # the same logits, bit for bit
    predictions = predict_with(again, image_embeddings, image_ids, method="coder")

The kinds that are made of other classifiers live here, beside the list of all kinds that they may be made of.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from coder_core.coder.classifier import Classifier, ClassifierShape, ClassifierState, LinearClassifier
from coder_core.coder.heuristic import FoldedClassifier
from coder_core.coder.neighbours import NeighbourClassifier
from coder_core.coder.pairs import CANDIDATES
from coder_core.coder.ranking import DEFAULT_THRESHOLD
from coder_core.coder.reranking import FoldedPairs
from coder_core.coder.second_round import SecondRoundClassifier
from coder_core.coder.storable import Storable
from coder_core.errors import ClassifierStateError
from coder_core.evaluation.predicting import build_predictions, rerank_predictions
from coder_core.evaluation.predictions import HONEST, RERANK_METHOD, STAGE1_METHOD, STORED_CLASSES, Predictions
from coder_core.few_shot.cache_adapter import CacheClassifier
from coder_core.few_shot.discriminant import DiscriminantClassifier
from coder_core.few_shot.gda import GdaClassifier
from coder_core.few_shot.kernel_ridge import KernelRidgeClassifier
from coder_core.few_shot.nearest_mean import NearestMeanClassifier
from coder_core.few_shot.neighbour_distribution import NeighbourDistributionClassifier
from coder_core.few_shot.text_metric import MetricSpace

__all__ = [
    "CLASSIFIERS",
    "FusedClassifier",
    "PooledClassifier",
    "RerankClassifier",
    "TemperedClassifier",
    "TransductiveClassifier",
    "predict_with",
    "restore_classifier",
]


@dataclass(frozen=True, eq=False)
class _Composite(Storable):
    """Made of classifiers of any kind."""

    @classmethod
    def restore_part(cls, wanted: type[Any], state: ClassifierState) -> Any:
        """Put a part together: a classifier of whatever kind its state says, or what its field says."""
        return restore_classifier(state) if wanted is Classifier else super().restore_part(wanted, state)


@dataclass(frozen=True, eq=False)
class FusedClassifier(_Composite):
    """Zero-shot logits and few-shot scores, added up: `logits = zero_shot + weight * few_shot`.

    Source: Zhang et al., ECCV 2022, section 3.1 (Tip-Adapter's residual).

    Args:
        zero_shot: What texts say.
        few_shot: What support images say, of the same classes.
        weight: Of the few-shot scores.
    """

    kind: ClassVar[str] = "fused"

    zero_shot: Classifier
    few_shot: Classifier
    weight: float

    @property
    def shape(self) -> ClassifierShape:
        """That of both parts."""
        return self.zero_shot.shape

    def logits(self, image_embeddings: Float[Tensor, "images dim"]) -> Float[Tensor, "images classes"]:
        """Score images.

        Args:
            image_embeddings: L2-normalised rows, on the device of both parts; any float type.
        """
        return self.zero_shot.logits(image_embeddings) + self.weight * self.few_shot.logits(image_embeddings)

    def find_problem(self) -> str | None:
        """Parts of other classes or dimensions than each other."""
        shapes = self.zero_shot.shape, self.few_shot.shape
        return None if shapes[0] == shapes[1] else f"its parts have {shapes[0]} and {shapes[1]}"


@dataclass(frozen=True, eq=False)
class PooledClassifier(_Composite):
    """Scores of several classifiers, added up with weights: `logits = weight * expert + rest`.

    Args:
        expert: One of them.
        weight: Of its scores, above 0.
        rest: The others, pooled likewise, of the same classes; None where there is no other.
    """

    kind: ClassVar[str] = "pooled"

    expert: Classifier
    weight: float
    rest: Classifier | None = None

    @property
    def shape(self) -> ClassifierShape:
        """That of every expert."""
        return self.expert.shape

    def logits(self, image_embeddings: Float[Tensor, "images dim"]) -> Float[Tensor, "images classes"]:
        """Score images.

        Args:
            image_embeddings: L2-normalised rows, on the device of the experts; any float type.
        """
        own = self.weight * self.expert.logits(image_embeddings)
        return own if self.rest is None else own + self.rest.logits(image_embeddings)

    def find_problem(self) -> str | None:
        """A weight that is not above 0, or experts of other classes or dimensions than each other."""
        if not self.weight > 0:
            return f"a weight is {self.weight}"
        shapes = self.expert.shape, (self.rest or self.expert).shape
        return None if shapes[0] == shapes[1] else f"its experts have {shapes[0]} and {shapes[1]}"


@dataclass(frozen=True, eq=False)
class TemperedClassifier(_Composite):
    """Another classifier, with other probabilities: `logits = inner / temperature`. No decision changes.

    Source: Guo et al., On Calibration of Modern Neural Networks, ICML 2017, section 4.2.

    Args:
        inner: Whose decisions they are.
        temperature: Above 0; above 1 makes it less sure.
    """

    kind: ClassVar[str] = "tempered"

    inner: Classifier
    temperature: float

    @property
    def shape(self) -> ClassifierShape:
        """That of the inner one."""
        return self.inner.shape

    def logits(self, image_embeddings: Float[Tensor, "images dim"]) -> Float[Tensor, "images classes"]:
        """Score images.

        Args:
            image_embeddings: L2-normalised rows, on the device of the inner classifier; any float type.
        """
        return self.inner.logits(image_embeddings) / self.temperature

    def find_problem(self) -> str | None:
        """A temperature that is not above 0."""
        return None if self.temperature > 0 else f"its temperature is {self.temperature}"


@dataclass(frozen=True, eq=False)
class RerankClassifier(_Composite):
    """CODER*: a first stage, and one-to-one texts that decide between the best classes of uncertain images.

    Source: Yi et al., CVPR 2024, one-to-one rerank.

    Args:
        stage1: What looks at every image: CODER, as a rule.
        pairs: The one-to-one texts, made by `fold_pairs`.
        threshold: Images whose softmax gap is below it are looked at again; 0 or more.
        candidates: How many of the best classes compete; at least 2.
    """

    kind: ClassVar[str] = "rerank"

    stage1: Classifier
    pairs: FoldedPairs
    threshold: float = DEFAULT_THRESHOLD
    candidates: int = CANDIDATES

    @property
    def shape(self) -> ClassifierShape:
        """That of the first stage."""
        return self.stage1.shape

    def logits(self, image_embeddings: Float[Tensor, "images dim"]) -> Float[Tensor, "images classes"]:
        """Score images by the first stage alone: a rerank makes an order and no logits. `predict` gives that order."""
        return self.stage1.logits(image_embeddings)

    def predict(
        self,
        image_embeddings: Float[Tensor, "images dim"],
        image_ids: Sequence[str],
        *,
        method: str = RERANK_METHOD,
        k: int = STORED_CLASSES,
        protocol: str = HONEST,
    ) -> Predictions:
        """Predict by the first stage and look at uncertain images again, as `rerank_predictions` does.

        Args:
            image_embeddings: L2-normalised rows, on the device of the first stage and the pairs.
            image_ids: One per row, all different.
            method: The name of the result.
            k: Classes to keep; at least `candidates`, or fewer compete.
            protocol: The protocol of the result.
        """
        logits = self.stage1.logits(image_embeddings)
        stage1 = build_predictions(logits, image_ids, method=STAGE1_METHOD, k=k, protocol=protocol)
        return rerank_predictions(
            stage1,
            image_embeddings,
            self.pairs,
            threshold=self.threshold,
            candidates=self.candidates,
            method=method,
        )

    def find_problem(self) -> str | None:
        """Pairs of another dimension than the first stage, a negative threshold, or too few candidates."""
        if self.pairs.differences.shape[1] != self.shape.dim:
            return f"its pairs have {self.pairs.differences.shape[1]} dimensions, its first stage {self.shape.dim}"
        if not self.threshold >= 0 or self.candidates < 2:
            return f"a threshold of {self.threshold} and {self.candidates} candidates"
        return None


@dataclass(frozen=True, eq=False)
class TransductiveClassifier(_Composite):
    """What a batch of unlabelled images has taught, frozen: from here on an image's answer depends on no other image.

        logits = (log softmax(stage 1) + rows @ weights + bias) / temperature

    `rows` are images in the space, the batch's offset subtracted, at unit length. Without weights only the classes'
    shares in the batch speak, by the bias.

    Args:
        stage1: What looks at every image on its own: a classifier of any kind.
        bias: Of each class: its share in the batch, and the constant of its discriminant.
        temperature: Above 0.
        space: Where the discriminant was fitted.
        offset: Mean of the batch in that space; None without weights.
        weights: Of the discriminant, one column per class; None for none.
    """

    kind: ClassVar[str] = "transductive"

    stage1: Classifier
    bias: Float64[Tensor, " classes"]
    temperature: float
    space: MetricSpace
    offset: Float64[Tensor, " dim"] | None = None
    weights: Float64[Tensor, "dim classes"] | None = None

    @property
    def shape(self) -> ClassifierShape:
        """That of stage 1."""
        return self.stage1.shape

    def logits(self, image_embeddings: Float[Tensor, "images dim"]) -> Float[Tensor, "images classes"]:
        """Score images.

        Args:
            image_embeddings: L2-normalised rows, on the device of all parts; any float type.
        """
        logits = self.stage1.logits(image_embeddings).float().log_softmax(dim=1)
        logits += self.bias.to(logits)
        if self.weights is not None and self.offset is not None:
            rows = self.space.map(image_embeddings) - self.offset.to(logits)
            logits += torch.nn.functional.normalize(rows, dim=1, eps=1e-6) @ self.weights.to(logits)
        return logits / self.temperature

    def find_problem(self) -> str | None:
        """Pieces of other classes or dimensions than stage 1, or a temperature that is not above 0."""
        if not self.temperature > 0:
            return f"its temperature is {self.temperature}"
        if (self.weights is None) != (self.offset is None):
            return "it has weights without an offset, or an offset without weights"
        shapes = (self.bias.shape, None if self.weights is None else self.weights.shape)
        wanted = ((self.shape.class_count,), (self.shape.dim, self.shape.class_count))
        if shapes[0] != wanted[0] or shapes[1] not in (None, wanted[1]):
            return f"its bias and weights have {[tuple(shape or ()) for shape in shapes]}, its stage 1 {self.shape}"
        return None if self.space.dim in (None, self.shape.dim) else f"its space has {self.space.dim} dimensions"


CLASSIFIERS: Mapping[str, type[Classifier]] = {
    classifier.kind: classifier
    for classifier in (
        LinearClassifier,
        FoldedClassifier,
        NeighbourClassifier,
        SecondRoundClassifier,
        RerankClassifier,
        NearestMeanClassifier,
        CacheClassifier,
        DiscriminantClassifier,
        GdaClassifier,
        NeighbourDistributionClassifier,
        KernelRidgeClassifier,
        FusedClassifier,
        PooledClassifier,
        TemperedClassifier,
        TransductiveClassifier,
    )
}
"""Every kind of classifier by its name. CLIP, its ensemble and VCD are `linear`, CODER and the controls `folded`, the
variants `neighbours` or `second_round`, the rerank `rerank`; the others are few-shot, `fused` where zero-shot logits
stand beside, `pooled` where several are one; `tempered` has calibrated probabilities; `transductive` is any of them
after a batch of images."""


def restore_classifier(state: ClassifierState, *, device: str = "cpu") -> Classifier:
    """Put a classifier of any kind together again: the same logits on the same images, bit for bit.

    Args:
        state: Made by `Classifier.state()`, whatever it was stored as in between.
        device: Where it shall compute. Bits are the same on the device and machine that it was taken apart on; others
            round otherwise.

    Raises:
        ClassifierStateError: There is no such kind, or the state's pieces are missing, left over, damaged, or do not
            fit each other.
    """
    if state.kind not in CLASSIFIERS:
        raise ClassifierStateError(
            f"unknown kind {state.kind!r}.", "state of a classifier", f"There are: {', '.join(CLASSIFIERS)}."
        )
    tensors = {name: tensor.to(device) for name, tensor in state.tensors.items()}
    return CLASSIFIERS[state.kind].from_state(state._replace(tensors=tensors))


def predict_with(
    classifier: Classifier,
    image_embeddings: Float[Tensor, "images dim"],
    image_ids: Sequence[str],
    *,
    method: str,
    k: int = STORED_CLASSES,
    protocol: str = HONEST,
) -> Predictions:
    """Predict with a classifier of any kind.

    Args:
        classifier: Built, selected or restored.
        image_embeddings: L2-normalised rows, on the device of the classifier; any float type.
        image_ids: One per row, all different.
        method: The name of the result.
        k: Classes to keep; more than there are means all.
        protocol: The protocol of the result.

    Returns:
        Predictions on the CPU; of a rerank with its `details`, image by image.

    Raises:
        DatasetError: There are not as many ids as rows, or an id occurs twice.
    """
    if isinstance(classifier, RerankClassifier):
        return classifier.predict(image_embeddings, image_ids, method=method, k=k, protocol=protocol)
    return build_predictions(classifier.logits(image_embeddings), image_ids, method=method, k=k, protocol=protocol)
