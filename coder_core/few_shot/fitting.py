"""The one way through all few-shot methods: fit on the support, select on validation images, get a classifier.

A method only says how it scores images under each of its settings, how it would score its own support with each image
left out, and what its classifier is under one setting. Choosing, with or without validation images and zero-shot
logits, is the same for all and lives here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from coder_core.classifiers import FusedClassifier
from coder_core.coder.classifier import Classifier
from coder_core.errors import ConfigError
from coder_core.few_shot.examples import Support, Validation
from coder_core.few_shot.search import Choice, Scored, Settings, search

__all__ = ["WEIGHTS", "ChoosesItself", "FewShotMethod", "Fitted", "Scorer", "Selected"]

WEIGHTS = (0.0, *(10 ** (step / 8 - 1) for step in range(33)))
"""0 (zero-shot alone), then 0.1 to 1000 in steps of a third: scores are cosines or counts of cache hits, zero-shot
logits 100 times cosines. Ours."""


@runtime_checkable
class Scorer(Protocol):
    """A method that has its support."""

    @property
    def default(self) -> Settings:
        """What is used where nothing can be chosen: every setting, and `weight` beside zero-shot logits."""
        ...

    def scored(self, queries: Float[Tensor, "queries dim"]) -> Iterator[Scored]:
        """Score images under every setting, one after the other."""
        ...

    def leave_one_out_scores(self) -> Iterator[Scored] | None:
        """Score every support image by a fit without it; None where that is not possible (one image per class)."""
        ...

    def classifier(self, settings: Settings) -> Classifier:
        """Make the classifier of one setting; it holds what that setting needs and nothing of the others."""
        ...


class Selected(NamedTuple):
    """A method with its settings chosen.

    Args:
        classifier: The classifier of these settings, fused with the zero-shot one where there is one.
        choice: The settings, and how they were chosen.
    """

    classifier: Classifier
    choice: Choice


@runtime_checkable
class ChoosesItself(Protocol):
    """A scorer whose choice is no search over settings by accuracy (`expert_pool`)."""

    def select(self, validation: Validation | None, zero_shot: Classifier | None) -> Selected:
        """Choose, on validation images or without any, and give the whole classifier, zero-shot logits included."""
        ...


@runtime_checkable
class FewShotMethod(Protocol):
    """A few-shot method that has no support yet."""

    def prepare(self, support: Support) -> Scorer | ChoosesItself:
        """Give it the support set."""
        ...


@dataclass(frozen=True, eq=False)
class Fitted:
    """A method that has its support and not yet its settings."""

    scorer: Scorer | ChoosesItself
    support: Support
    zero_shot: Classifier | None
    search_weights: Sequence[float] = WEIGHTS

    @classmethod
    def fit(
        cls,
        method: FewShotMethod,
        support: Support,
        *,
        zero_shot: Classifier | None = None,
        search_weights: Sequence[float] = WEIGHTS,
    ) -> "Fitted":
        """Give a method its support.

        Raises:
            ConfigError: The zero-shot weights are not one per class.
        """
        if zero_shot is not None and zero_shot.shape.class_count != support.class_count:
            raise ConfigError(
                f"{zero_shot.shape.class_count} zero-shot weights for {support.class_count} classes.",
                "few-shot",
                "Give one vector per class.",
            )
        return cls(method.prepare(support), support, zero_shot, search_weights)

    def select(self, validation: Validation | None) -> Selected:
        """Choose the settings on validation images; without any, by leaving out support images one by one; where a
        class has a single image, take the stated default. `choice.source` says which.
        """
        scorer = self.scorer
        if isinstance(scorer, ChoosesItself):
            return scorer.select(validation, self.zero_shot)
        choice = self._choose(scorer, validation)
        classifier = scorer.classifier(choice.settings)
        if self.zero_shot is not None:
            classifier = FusedClassifier(self.zero_shot, classifier, choice.settings["weight"])
        return Selected(classifier, choice)

    def _choose(self, scorer: Scorer, validation: Validation | None) -> Choice:
        if validation is not None:
            embeddings, labels, source = validation.embeddings, validation.label_ids, "validation"
            candidates: Iterator[Scored] | None = scorer.scored(embeddings)
        else:
            embeddings, labels, source = self.support.embeddings, self.support.label_ids, "leave_one_out"
            candidates = scorer.leave_one_out_scores()
        if candidates is None:
            return Choice(dict(scorer.default), "default", 0, None)
        zero_shot = None if self.zero_shot is None else self.zero_shot.logits(embeddings)
        return search(candidates, labels, zero_shot=zero_shot, weights=self.search_weights, source=source)
