"""What texts and a few images say together: methods under the metric of the task's own words, and all of them pooled.

The metric is found on the support (`task_vocabulary`), so it is made where a method gets its support, and made once for
all experts of a pool.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from jaxtyping import Float
from torch import Tensor

from coder_core.coder.classifier import Classifier
from coder_core.few_shot.bayes_discriminant import BayesDiscriminant
from coder_core.few_shot.discriminant import Discriminant
from coder_core.few_shot.examples import Support
from coder_core.few_shot.expert_pool import ExpertPool
from coder_core.few_shot.fitting import ChoosesItself, FewShotMethod, Scorer
from coder_core.few_shot.kernel_ridge import KernelRidge
from coder_core.few_shot.neighbour_distribution import NeighbourDistribution
from coder_core.few_shot.neighbour_ridge import NeighbourRidge
from coder_core.few_shot.task_vocabulary import Vocabulary
from coder_core.few_shot.text_metric import TextMetric, fit_metric

__all__ = ["KEPT", "TASK_GAMMAS", "Texts", "UnderTaskMetric", "hard_cut", "pool_experts"]

TASK_GAMMAS = (0.25, 0.5, 0.75, 1.0)
"""Powers of the task's metric: it holds more of what matters than a generic one, and bears a higher power."""

TASK_SHRINKAGES = (0.95, 0.85, 0.7, 0.5, 0.3, 0.15)
"""Shares of the prior; finer ones made no difference (docs/few-shot.md)."""

KEPT = (0.125, 0.25, 0.5, 0.75)
"""Shares of principal components to keep; Herzog & Wang keep about half."""

TEMPERATURES = {"neighbours_01": 0.01, "neighbours_02": 0.02}
"""Of neighbour distributions of images as they are."""

CENTRED_TEMPERATURES = {"task_neighbours_02": 0.02, "task_neighbours_04": 0.04}
"""Of those around the task's mean; cosines are larger there."""


@dataclass(frozen=True, eq=False)
class Texts:
    """What texts know. Metrics are made when they are asked for: methods of images alone need no text at all.

    Args:
        metric_texts: L2-normalised rows: the texts that make the metric of the published methods and of those that
            stand beside them.
        vocabulary: L2-normalised rows that the task's words are found among: those, and generic ones.
        zero_shot: What is fused with; None for images alone.
        class_texts: `(classes, dim)` one text vector per class, where zero-shot is fused with; else None.
    """

    metric_texts: Float[Tensor, "texts dim"]
    vocabulary: Vocabulary
    zero_shot: Classifier | None = None
    class_texts: Float[Tensor, "classes dim"] | None = None

    @cached_property
    def centred(self) -> TextMetric:
        """The texts' metric, their mean taken off.

        Raises:
            ConfigError: The texts do not vary.
        """
        return fit_metric(self.metric_texts)

    @cached_property
    def uncentred(self) -> TextMetric:
        """The paper's: the Gram matrix of the texts.

        Raises:
            ConfigError: There are none.
        """
        return fit_metric(self.metric_texts, is_centred=False)


@dataclass(frozen=True, eq=False)
class UnderTaskMetric:
    """A method under the metric of the task's own words, which the support finds.

    Args:
        vocabulary: What the words are chosen from.
        build: Makes the method from the metric.
    """

    vocabulary: Vocabulary
    build: Callable[[TextMetric], FewShotMethod]

    def prepare(self, support: Support) -> Scorer | ChoosesItself:
        """Make the metric, and give the method its support."""
        return self.build(self.vocabulary.fit_metric(support)).prepare(support)


def hard_cut(metric: TextMetric) -> Discriminant:
    """Linear discriminant analysis on the leading principal components of texts (Herzog & Wang, CVPR 2026)."""
    return Discriminant(metric, KEPT, TASK_SHRINKAGES, is_cosine=False, spectrum="cut")


def task_discriminant(texts: Texts, metric: TextMetric) -> Discriminant:
    """`text_discriminant` under the task's metric."""
    alone = texts.class_texts is None
    return Discriminant(metric, TASK_GAMMAS, TASK_SHRINKAGES, is_cosine=alone, class_texts=texts.class_texts)


def pool_experts(texts: Texts) -> ExpertPool:
    """Everything that held on all data sets, as one method: texts for means and for directions, images for covariance.

    The posterior prediction and the discriminant under the task's metric; LDA in CLIP's own space and on the generic
    texts' leading components, for tasks that no word of the vocabulary is about; and distributions over neighbour
    texts, which no linear map of the image can give, by their means and in a kernel regression that also goes by
    images. Beside zero-shot logits that regression is of their errors, and more join in that correct what those say: a
    kernel regression by images, and discriminants whose class means the classes' own texts pull, under the task's
    metric and in CLIP's own space.
    """

    def build(support: Support) -> Mapping[str, Scorer]:
        metric = texts.vocabulary.fit_metric(support)
        near = texts.vocabulary.nearest(support)
        methods: dict[str, FewShotMethod] = {
            "bayes": BayesDiscriminant(metric, class_texts=texts.class_texts),
            "task": Discriminant(metric, (0.5,), TASK_SHRINKAGES),
            "lda": Discriminant(None, (0.0,), TASK_SHRINKAGES, is_cosine=False),
            "cut": Discriminant(
                texts.vocabulary.generic, (0.25, 0.5), TASK_SHRINKAGES, is_cosine=False, spectrum="cut"
            ),
        }
        for names, centre in ((TEMPERATURES, False), (CENTRED_TEMPERATURES, True)):
            methods |= {name: NeighbourDistribution(near, (value,), (centre,)) for name, value in names.items()}
        methods["neighbour_ridge"] = NeighbourRidge(near, metric.space(0.5), texts.zero_shot)
        methods |= _beside_zero_shot(texts, metric)
        return {name: _scorer(method, support) for name, method in methods.items()}

    return ExpertPool(build)


def _beside_zero_shot(texts: Texts, metric: TextMetric) -> dict[str, FewShotMethod]:
    """Experts that know the zero-shot answer; none for images alone."""
    if texts.zero_shot is None:
        return {}
    pulled = Discriminant(metric, (0.5,), TASK_SHRINKAGES, is_cosine=False, class_texts=texts.class_texts)
    return {
        "ridge": KernelRidge(metric, texts.zero_shot),
        "pulled": pulled,
        "pulled_lda": replace(pulled, metric=None, gammas=(0.0,)),
    }


def _scorer(method: FewShotMethod, support: Support) -> Scorer:
    scorer = method.prepare(support)
    if not isinstance(scorer, Scorer):
        raise TypeError(f"{type(method).__name__} chooses for itself and cannot be an expert")
    return scorer
