"""The few-shot methods by name: what an evaluation compares.

Each is built with or without zero-shot logits. The paper's methods and the baselines are as published; what is ours is
`text_discriminant` (see `discriminant`) and `metric_cache` (Tip-Adapter under the centred text metric).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from coder_core.coder.classifier import LinearClassifier
from coder_core.errors import ConfigError
from coder_core.few_shot.cache_adapter import Cache
from coder_core.few_shot.discriminant import GAMMAS, SHRINKAGES, Discriminant
from coder_core.few_shot.fitting import WEIGHTS, FewShotMethod
from coder_core.few_shot.gda import GDA_WEIGHTS, Gda
from coder_core.few_shot.nearest_mean import NearestMean
from coder_core.few_shot.text_metric import TextMetric, fit_metric

__all__ = ["FEW_SHOT_METHODS", "Planned", "Texts", "plan_methods"]


class Texts(NamedTuple):
    """What texts know.

    Args:
        centred: The texts' metric, their mean taken off.
        uncentred: The paper's: the Gram matrix of the texts.
        zero_shot: CLIP's zero-shot classifier, to be fused with; None to use images alone.
    """

    centred: TextMetric
    uncentred: TextMetric
    zero_shot: LinearClassifier | None


class Planned(NamedTuple):
    """A method and the weights that are tried beside the zero-shot logits."""

    method: FewShotMethod
    weights: Sequence[float] = WEIGHTS


def _text_discriminant(texts: Texts) -> Planned:
    """Alone, a class is a direction; beside zero-shot logits, a point that the class's own text pulls (measured)."""
    if texts.zero_shot is None:
        return Planned(Discriminant(texts.centred, GAMMAS, SHRINKAGES, is_cosine=True))
    weights = texts.zero_shot.weights
    return Planned(Discriminant(texts.centred, GAMMAS, SHRINKAGES, is_cosine=False, class_texts=weights))


FEW_SHOT_METHODS: Mapping[str, Callable[[Texts], Planned]] = {
    # Cosine to the class mean of CLIP features; and the same with the paper's CODERs.
    "nearest_mean": lambda _: Planned(NearestMean()),
    "nearest_mean_coder": lambda texts: Planned(NearestMean(texts.uncentred, (1.0,))),
    # Zhang et al., ECCV 2022, training-free.
    "tip_adapter": lambda _: Planned(Cache()),
    # Yi et al., CVPR 2024: the affinity is the cosine; and the same as in the released code.
    "coder_adapter": lambda texts: Planned(Cache(texts.uncentred, (1.0,))),
    "coder_adapter_min_max": lambda texts: Planned(Cache(texts.uncentred, (1.0,), is_min_max=True)),
    # Linear discriminant analysis of CLIP features, shrunk to the identity.
    "lda": lambda _: Planned(Discriminant(None, (0.0,), SHRINKAGES, centre=False, is_cosine=False)),
    # Wang et al., ICLR 2024.
    "gda": lambda _: Planned(Gda(), GDA_WEIGHTS),
    # Ours: a cache under the centred text metric; a discriminant whose prior is the text metric.
    "metric_cache": lambda texts: Planned(Cache(texts.centred, (0.25, 0.5))),
    "text_discriminant": _text_discriminant,
}
"""How each method is built, and where it is from."""


def plan_methods(
    names: Sequence[str], text_embeddings: Float[Tensor, "texts dim"], *, zero_shot: LinearClassifier | None
) -> dict[str, Planned]:
    """Build methods by name; the texts are decomposed once for all.

    Args:
        names: Keys of `FEW_SHOT_METHODS`.
        text_embeddings: L2-normalised rows: the texts that make the metric.
        zero_shot: To fuse every method with; None for images alone.

    Raises:
        ConfigError: There is no such method, or the texts do not vary.
    """
    unknown = [name for name in names if name not in FEW_SHOT_METHODS]
    if unknown:
        raise ConfigError(
            f"unknown few-shot method {unknown[0]!r}.", "few_shot.methods", f"There are: {', '.join(FEW_SHOT_METHODS)}."
        )
    centred, uncentred = (fit_metric(text_embeddings, is_centred=is_centred) for is_centred in (True, False))
    texts = Texts(centred, uncentred, zero_shot)
    return {name: FEW_SHOT_METHODS[name](texts) for name in names}
