"""What came of a batch: a classifier, and what the batch was taken for."""

from typing import NamedTuple

from jaxtyping import Float64
from torch import Tensor

from coder_core.coder.classifier import Classifier
from coder_core.transduction.batch_evidence import BatchKind, effective_share

__all__ = ["CLAIMED", "Transduced"]

CLAIMED = 0.5
"""Images: a class with fewer, all shares added up, is claimed by none."""


class Transduced(NamedTuple):
    """What came of a batch.

    Args:
        classifier: Frozen; stage 1 itself where nothing could be learnt.
        kind: What the batch was taken for.
        reason: Why, with the numbers.
        images: Rows learnt from.
        unusable: Rows left out, because they hold numbers that are not finite.
        counts: `(classes,)` images of each class, shares added up; equal ones where nothing was learnt.
        prior_evidence: See `batch_evidence`; 0 where it was not asked for.
        image_evidence: Likewise.
    """

    classifier: Classifier
    kind: BatchKind
    reason: str
    images: int
    unusable: int
    counts: Float64[Tensor, " classes"]
    prior_evidence: float = 0.0
    image_evidence: float = 0.0

    @property
    def classes_off(self) -> int:
        """Classes that no image claims; none where nothing was learnt."""
        return 0 if self.kind is BatchKind.NOTHING else int((self.counts < CLAIMED).sum())

    @property
    def effective_classes(self) -> float:
        """The exponential of the entropy of the classes' shares; all of them where there is no image."""
        return len(self.counts) * (effective_share(self.counts) if float(self.counts.sum()) > 0 else 1.0)
