"""The few-shot methods by name: what an evaluation compares.

Each is built with or without zero-shot logits. The paper's methods and the baselines are as published; what is ours is
`text_discriminant` (see `discriminant`) and `metric_cache` (Tip-Adapter under the centred text metric).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from coder_core.coder.classifier import LinearClassifier
from coder_core.few_shot.cache_adapter import Cache
from coder_core.few_shot.discriminant import GAMMAS, SHRINKAGES, Discriminant
from coder_core.few_shot.fitting import WEIGHTS, FewShotMethod
from coder_core.few_shot.gda import GDA_WEIGHTS, Gda
from coder_core.few_shot.nearest_mean import NearestMean
from coder_core.few_shot.text_metric import TextMetric, fit_metric

__all__ = ["FEW_SHOT_METHODS", "Described", "Planned", "Texts", "plan_methods"]


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


class Described(NamedTuple):
    """How a method is built, and one line on what it is and where it is from."""

    build: Callable[[Texts], Planned]
    source: str


def _text_discriminant(texts: Texts) -> Planned:
    """Alone, a class is a direction; beside zero-shot logits, a point that the class's own text pulls (measured)."""
    if texts.zero_shot is None:
        return Planned(Discriminant(texts.centred, GAMMAS, SHRINKAGES, is_cosine=True))
    weights = texts.zero_shot.weights
    return Planned(Discriminant(texts.centred, GAMMAS, SHRINKAGES, is_cosine=False, class_texts=weights))


FEW_SHOT_METHODS: Mapping[str, Described] = {
    "nearest_mean": Described(lambda _: Planned(NearestMean()), "Cosine to the class mean of CLIP features."),
    "nearest_mean_coder": Described(
        lambda texts: Planned(NearestMean(texts.uncentred, (1.0,))), "The same with the paper's CODERs."
    ),
    "tip_adapter": Described(lambda _: Planned(Cache()), "Zhang et al., ECCV 2022, training-free."),
    "coder_adapter": Described(
        lambda texts: Planned(Cache(texts.uncentred, (1.0,))), "Yi et al., CVPR 2024; the affinity is the cosine."
    ),
    "coder_adapter_min_max": Described(
        lambda texts: Planned(Cache(texts.uncentred, (1.0,), is_min_max=True)), "The same as in the released code."
    ),
    "lda": Described(
        lambda _: Planned(Discriminant(None, (0.0,), SHRINKAGES, centre=False, is_cosine=False)),
        "Linear discriminant analysis of CLIP features, shrunk to the identity.",
    ),
    "gda": Described(lambda _: Planned(Gda(), GDA_WEIGHTS), "Wang et al., ICLR 2024."),
    "metric_cache": Described(
        lambda texts: Planned(Cache(texts.centred, (0.25, 0.5))), "Ours: a cache under the centred text metric."
    ),
    "text_discriminant": Described(_text_discriminant, "Ours: a discriminant whose prior is the text metric."),
}


def plan_methods(
    names: Sequence[str], text_embeddings: Float[Tensor, "texts dim"], *, zero_shot: LinearClassifier | None
) -> dict[str, Planned]:
    """Build methods by name; the texts are decomposed once for all.

    Args:
        names: Keys of `FEW_SHOT_METHODS`.
        text_embeddings: L2-normalised rows: the texts that make the metric.
        zero_shot: To fuse every method with; None for images alone.

    Raises:
        ConfigError: The texts do not vary.
    """
    centred, uncentred = (fit_metric(text_embeddings, is_centred=is_centred) for is_centred in (True, False))
    texts = Texts(centred, uncentred, zero_shot)
    return {name: FEW_SHOT_METHODS[name].build(texts) for name in names}
