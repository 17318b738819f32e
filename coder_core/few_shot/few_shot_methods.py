"""The few-shot methods by name: what an evaluation compares.

Each is built with or without zero-shot logits. The paper's methods and the baselines are as published; what is ours is
`text_discriminant` (see `discriminant`), `metric_cache` (Tip-Adapter under the centred text metric), and what reads the
task's own words (see `task_experts`): `task_discriminant`, `text_bayes`, `neighbour_distribution` and, all of these as
one, `text_pool`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from coder_core.coder.classifier import Classifier, LinearClassifier
from coder_core.errors import ConfigError
from coder_core.few_shot.bayes_discriminant import BayesDiscriminant
from coder_core.few_shot.cache_adapter import Cache
from coder_core.few_shot.discriminant import GAMMAS, SHRINKAGES, Discriminant
from coder_core.few_shot.fitting import WEIGHTS, FewShotMethod
from coder_core.few_shot.gda import GDA_WEIGHTS, Gda
from coder_core.few_shot.kernel_ridge import KernelRidge
from coder_core.few_shot.nearest_mean import NearestMean
from coder_core.few_shot.neighbour_distribution import NeighbourDistribution
from coder_core.few_shot.task_experts import Texts, UnderTaskMetric, hard_cut, pool_experts, task_discriminant
from coder_core.few_shot.task_vocabulary import Vocabulary

__all__ = ["FEW_SHOT_METHODS", "Planned", "plan_methods"]


class Planned(NamedTuple):
    """A method and the weights that are tried beside the zero-shot logits."""

    method: FewShotMethod
    weights: Sequence[float] = WEIGHTS


def _text_discriminant(texts: Texts) -> Planned:
    """Alone, a class is a direction; beside zero-shot logits, a point that the class's own text pulls (measured)."""
    if texts.class_texts is None:
        return Planned(Discriminant(texts.centred, GAMMAS, SHRINKAGES, is_cosine=True))
    return Planned(Discriminant(texts.centred, GAMMAS, SHRINKAGES, is_cosine=False, class_texts=texts.class_texts))


def _text_bayes(texts: Texts) -> Planned:
    """Scores are nats, as those of GDA."""
    build = lambda metric: BayesDiscriminant(metric, class_texts=texts.class_texts)  # noqa: E731
    return Planned(UnderTaskMetric(texts.vocabulary, build), GDA_WEIGHTS)


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
    # Herzog & Wang, CVPR 2026: LDA on the leading principal components of the texts.
    "hard_cut_lda": lambda texts: Planned(hard_cut(texts.centred)),
    # Bendou et al., CVPR 2025, in the text metric.
    "proker": lambda texts: Planned(KernelRidge(texts.centred, texts.zero_shot)),
    # Ours: the discriminant under the metric of the task's own words, its Bayes form, the CODER that is a distribution.
    "task_discriminant": lambda texts: Planned(
        UnderTaskMetric(texts.vocabulary, lambda metric: task_discriminant(texts, metric))
    ),
    "text_bayes": _text_bayes,
    "neighbour_distribution": lambda texts: Planned(NeighbourDistribution(texts.vocabulary)),
    # Ours: all of these as one.
    "text_pool": lambda texts: Planned(pool_experts(texts)),
}
"""How each method is built, and where it is from."""


def plan_methods(
    names: Sequence[str],
    text_embeddings: Float[Tensor, "texts dim"],
    *,
    zero_shot: Classifier | None,
    class_texts: Float[Tensor, "classes dim"] | None = None,
    vocabulary: Float[Tensor, "words dim"] | None = None,
) -> dict[str, Planned]:
    """Build methods by name; the texts are decomposed once for all, and only where a method asks for it.

    Args:
        names: Keys of `FEW_SHOT_METHODS`.
        text_embeddings: L2-normalised rows: the texts that make the metric.
        zero_shot: To fuse every method with; None for images alone.
        class_texts: One text vector per class, where `zero_shot` is given; default: its weights where it is linear.
        vocabulary: L2-normalised rows: generic words that the task's are found among, beside `text_embeddings`.

    Raises:
        ConfigError: There is no such method, or a method needs texts and they do not vary.
    """
    unknown = [name for name in names if name not in FEW_SHOT_METHODS]
    if unknown:
        raise ConfigError(
            f"unknown few-shot method {unknown[0]!r}.", "few_shot.methods", f"There are: {', '.join(FEW_SHOT_METHODS)}."
        )
    if class_texts is None and isinstance(zero_shot, LinearClassifier):
        class_texts = zero_shot.weights
    words = text_embeddings if vocabulary is None else torch.cat([text_embeddings, vocabulary])
    texts = Texts(text_embeddings, Vocabulary(words), zero_shot, None if zero_shot is None else class_texts)
    return {name: FEW_SHOT_METHODS[name](texts) for name in names}
