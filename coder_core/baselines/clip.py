"""CLIP zero-shot: an image belongs to the class whose prompt it is nearest to (Radford et al. 2021, section 3.1)."""

from jaxtyping import Float
from torch import Tensor

from coder_core.coder.classifier import LOGIT_SCALE, LinearClassifier
from coder_core.coder.vectors import check_text_embeddings, normalise, segment_sums
from coder_core.errors import ConfigError
from coder_core.texts.kinds import TextKind
from coder_core.texts.text_layout import TextLayout

__all__ = ["build_clip", "build_clip_ensemble"]


def build_clip(
    text_embeddings: Float[Tensor, "texts dim"], layout: TextLayout, *, logit_scale: float = LOGIT_SCALE
) -> LinearClassifier:
    """Build CLIP with one template: the class-name text of every class.

    Args:
        text_embeddings: L2-normalised rows, one per column of the layout.
        layout: Which columns belong to which class and kind.
        logit_scale: Factor from cosine to logit.

    Returns:
        The classifier in float32; logits are cosines x `logit_scale`, ties go to the lower class id.

    Raises:
        FeatureFileError: The embeddings are not as many as the layout's columns.
    """
    check_text_embeddings(text_embeddings, layout)
    sums = segment_sums(text_embeddings, layout.segments((TextKind.CLASS_NAME,)))
    return LinearClassifier(sums.float().to(text_embeddings.device), logit_scale)


def build_clip_ensemble(
    text_embeddings: Float[Tensor, "texts dim"], layout: TextLayout, *, logit_scale: float = LOGIT_SCALE
) -> LinearClassifier:
    """Build CLIP's template ensemble: the mean of normalised prompt embeddings, normalised again.

    Source: Radford et al. 2021, section 3.1.4 (ensembling over the embedding space).

    Args:
        text_embeddings: L2-normalised rows, one per column of the layout.
        layout: Which columns belong to which class and kind; every class needs texts of the kind `template`.
        logit_scale: Factor from cosine to logit.

    Returns:
        The classifier in float32; logits are cosines x `logit_scale`, ties go to the lower class id.

    Raises:
        ConfigError: A class has no prompt texts.
        FeatureFileError: The embeddings are not as many as the layout's columns, or a class's prompts cancel out.
    """
    check_text_embeddings(text_embeddings, layout)
    prompts = layout.segments((TextKind.TEMPLATE,))
    if prompts.counts.min() == 0:
        raise ConfigError(
            f"class {int(prompts.counts.argmin())} has no prompt texts for the template ensemble.",
            "method clip_ensemble",
            "Build the texts with the kind `template`.",
        )
    means = normalise(segment_sums(text_embeddings, prompts))  # the direction of a mean is that of the sum
    return LinearClassifier(means.float().to(text_embeddings.device), logit_scale)
