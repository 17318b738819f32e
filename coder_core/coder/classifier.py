"""What every zero-shot classifier looks like: fitted on texts alone, asked for logits.

`logits` takes image embeddings and nothing else, so no classifier can see a label. `LinearClassifier` is all that the
CLIP and VCD baselines are: one vector per class.
"""

from dataclasses import dataclass
from typing import Protocol

from jaxtyping import Float
from torch import Tensor

__all__ = ["LOGIT_SCALE", "Classifier", "LinearClassifier"]

LOGIT_SCALE = 100.0
"""CLIP's temperature: the learned scale was clipped at 100 (Radford et al. 2021, section 2.5) and ended there."""


class Classifier(Protocol):
    """A zero-shot classifier."""

    def logits(self, image_embeddings: Float[Tensor, "images dim"]) -> Float[Tensor, "images classes"]:
        """Score every class for every image; higher is more likely."""
        ...


@dataclass(frozen=True, eq=False)
class LinearClassifier:
    """One weight vector per class.

    Args:
        weights: Rows in label order; not necessarily unit length.
        logit_scale: Factor from similarity to logit.
    """

    weights: Float[Tensor, "classes dim"]
    logit_scale: float = LOGIT_SCALE

    def logits(self, image_embeddings: Float[Tensor, "images dim"]) -> Float[Tensor, "images classes"]:
        """Score every class by one dot product.

        Args:
            image_embeddings: L2-normalised rows, on the device of the weights; any float type.

        Returns:
            Logits (similarity x `logit_scale`), in the type of the weights.
        """
        return (image_embeddings.to(self.weights.dtype) @ self.weights.T).mul_(self.logit_scale)
