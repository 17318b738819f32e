"""What every classifier looks like: asked for logits, taken apart into numbers and put together again.

`logits` takes image embeddings and nothing else, so no classifier can see a label. `LinearClassifier` is all that the
CLIP and VCD baselines are: one vector per class.
"""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from coder_core.coder.storable import ClassifierState, Storable
from coder_core.coder.vectors import repeatable

__all__ = ["LOGIT_SCALE", "Classifier", "ClassifierShape", "ClassifierState", "LinearClassifier"]

LOGIT_SCALE = 100.0
"""CLIP's temperature: the learned scale was clipped at 100 (Radford et al. 2021, section 2.5) and ended there."""


class ClassifierShape(NamedTuple):
    """What a classifier goes with: a class list of this length, embeddings of this dimension."""

    class_count: int
    dim: int


@runtime_checkable
class Classifier(Protocol):
    """A classifier of any method: zero-shot, variant, control, few-shot, fused or reranked."""

    kind: ClassVar[str]

    @property
    def shape(self) -> ClassifierShape:
        """How many classes it knows, and how long an embedding has to be."""
        ...

    def logits(self, image_embeddings: Float[Tensor, "images dim"]) -> Float[Tensor, "images classes"]:
        """Score every class for every image; higher is more likely, ties go to the lower class id."""
        ...

    def state(self) -> ClassifierState:
        """Take it apart into plain settings and tensors."""
        ...

    @classmethod
    def from_state(cls, state: ClassifierState) -> "Classifier":
        """Put it together again: it gives the same logits, bit for bit. `restore_classifier` does it for any kind.

        Raises:
            ClassifierStateError: The state is of another kind, or its pieces are missing, damaged or do not fit.
        """
        ...


@dataclass(frozen=True, eq=False)
class LinearClassifier(Storable):
    """One weight vector per class.

    Args:
        weights: Rows in label order; not necessarily unit length.
        logit_scale: Factor from similarity to logit.
    """

    kind: ClassVar[str] = "linear"

    weights: Float[Tensor, "classes dim"]
    logit_scale: float = LOGIT_SCALE

    @property
    def shape(self) -> ClassifierShape:
        """Classes and dimensions of the weights."""
        return ClassifierShape(*self.weights.shape)

    def logits(self, image_embeddings: Float[Tensor, "images dim"]) -> Float[Tensor, "images classes"]:
        """Score every class by one dot product.

        Args:
            image_embeddings: L2-normalised rows, on the device of the weights; any float type.

        Returns:
            Logits (similarity x `logit_scale`), in the type of the weights.
        """
        images = repeatable(image_embeddings.to(self.weights.dtype))
        return (images @ self.weights.T).mul_(self.logit_scale)
