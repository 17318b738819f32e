"""VCD: a class is the mean similarity to its attribute texts (Menon & Vondrick, ICLR 2023, section 2)."""

import torch
from jaxtyping import Float
from torch import Tensor

from coder_core.coder.classifier import LOGIT_SCALE, LinearClassifier
from coder_core.coder.vectors import check_text_embeddings, segment_sums
from coder_core.texts.kinds import TextKind
from coder_core.texts.text_layout import TextLayout

__all__ = ["build_vcd"]


def build_vcd(
    text_embeddings: Float[Tensor, "texts dim"], layout: TextLayout, *, logit_scale: float = LOGIT_SCALE
) -> LinearClassifier:
    """Build VCD: the mean over attribute texts, folded into one vector per class.

    The texts are CODER's own attribute sentences. The mean vector is NOT normalised again: the score is the mean of
    cosines, as in the source. A class without attributes falls back to its class-name text.

    Args:
        text_embeddings: L2-normalised rows, one per column of the layout.
        layout: Which columns belong to which class and kind.
        logit_scale: Factor from mean cosine to logit.

    Returns:
        The classifier in float32; ties go to the lower class id.

    Raises:
        FeatureFileError: The embeddings are not as many as the layout's columns.
    """
    check_text_embeddings(text_embeddings, layout)
    attributes = layout.segments((TextKind.ATTRIBUTE,))
    counts = torch.from_numpy(attributes.counts).unsqueeze(1)
    means = segment_sums(text_embeddings, attributes) / counts.clamp(min=1)
    names = segment_sums(text_embeddings, layout.segments((TextKind.CLASS_NAME,)))
    weights = torch.where(counts > 0, means, names)
    return LinearClassifier(weights.float().to(text_embeddings.device), logit_scale)
