"""The explicit CODER: every image described by its cosine to every text, and the classifier read off that matrix.

Classification does not need it (`heuristic` folds it away); it is made when somebody wants to look at the similarities
themselves, chunk by chunk. The classifier here walks class by class and shares no code with the folded one, so that
each checks the other.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from coder_core.coder.classifier import LOGIT_SCALE
from coder_core.texts.kinds import DESCRIPTIVE_KINDS, NAMING_KINDS
from coder_core.texts.layout import TextLayout

__all__ = ["coder_matrix", "heuristic_logits_from_coder"]


def coder_matrix(
    image_embeddings: Float[Tensor, "images dim"], text_embeddings: Float[Tensor, "texts dim"]
) -> Float[Tensor, "images texts"]:
    """Compute the CODERs of a chunk of images.

    Args:
        image_embeddings: L2-normalised rows.
        text_embeddings: L2-normalised rows, in column order.

    Returns:
        Cosines in [-1, 1] up to rounding, float32. Memory is images x texts: give a chunk, not a data set.
    """
    return image_embeddings.float() @ text_embeddings.float().T


def heuristic_logits_from_coder(
    coder: Float[Tensor, "images texts"], layout: TextLayout, *, logit_scale: float = LOGIT_SCALE
) -> Float[Tensor, "images classes"]:
    """Score every class from the columns of an explicit CODER matrix.

    Source: Yi et al., CVPR 2024, heuristic classifier; the same score as `heuristic.heuristic_logits`.

    Args:
        coder: Made by `coder_matrix`, columns as in the layout.
        layout: Which columns belong to which class and kind.
        logit_scale: Factor from score to logit.

    Returns:
        Logits (score x `logit_scale`); ties go to the lower class id (`predict_topk`).
    """
    scores = []
    for class_id in range(layout.class_count):
        descriptive = coder[:, torch.from_numpy(layout.columns(class_id, DESCRIPTIVE_KINDS))]
        naming = coder[:, torch.from_numpy(layout.columns(class_id, NAMING_KINDS))].amax(dim=1)
        scores.append((descriptive.sum(dim=1) + naming) / (descriptive.shape[1] + 1))
    return logit_scale * torch.stack(scores, dim=1)
