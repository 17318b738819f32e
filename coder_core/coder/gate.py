"""The gate: which images are so uncertain that a second look can only help.

An image is gated when the softmax probabilities of its two best classes are closer than a threshold. The gate sees
probabilities and nothing else. Where its threshold comes from is `evaluation.threshold`'s concern: the constant below,
or the best of a grid on a validation split. Source: Yi et al., CVPR 2024, one-to-one rerank.
"""

from jaxtyping import Bool, Float
from torch import Tensor

from coder_core.errors import ConfigError

__all__ = ["DEFAULT_THRESHOLD", "is_gated", "softmax_gap"]

DEFAULT_THRESHOLD = 0.1
"""The median, and the commonest, of the nine values that the released code sets by hand, one per data set (see
`reference_protocol.REFERENCE_THRESHOLDS`); the paper gives none. Not tuned here on anything."""


def softmax_gap(top_probabilities: Float[Tensor, "images best"]) -> Float[Tensor, " images"]:
    """Measure how far the best class is ahead of the second.

    Args:
        top_probabilities: Stage-1 probabilities of the best classes, best first, each row at most 1 in sum.

    Returns:
        `p_(1) - p_(2)`, in [0, 1]; infinite where there is one class only: it has no rival to be confused with.
    """
    if top_probabilities.shape[1] < 2:
        return top_probabilities.new_full((top_probabilities.shape[0],), float("inf"))
    return top_probabilities[:, 0] - top_probabilities[:, 1]


def is_gated(top_probabilities: Float[Tensor, "images best"], *, threshold: float) -> Bool[Tensor, " images"]:
    """Tell which images are looked at again.

    Args:
        top_probabilities: Stage-1 probabilities of the best classes, best first.
        threshold: The gap below which (strictly) an image is gated: 0 gates none, anything above 1 every image that
            has a rival class.

    Raises:
        ConfigError: The threshold is negative or not a number.
    """
    if not threshold >= 0:
        raise ConfigError(f"the threshold is {threshold}.", "rerank gate", "Give a gap of probabilities, 0 or more.")
    return softmax_gap(top_probabilities) < threshold
