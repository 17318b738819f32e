"""The one interface of all few-shot methods: `fit(support) -> select(validation) -> logits(queries)`.

A method only says how it scores images under each of its settings, and how it would score its own support with each
image left out. Choosing, with or without validation images and zero-shot logits, is the same for all and lives here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from jaxtyping import Float
from torch import Tensor

from coder_core.errors import ConfigError
from coder_core.few_shot.examples import Support, Validation
from coder_core.few_shot.search import Choice, Scored, Settings, search

__all__ = ["WEIGHTS", "FewShotMethod", "Fitted", "Scorer", "Selected", "ZeroShot"]

WEIGHTS = (0.0, *(10 ** (step / 8 - 1) for step in range(33)))
"""0 (zero-shot alone), then 0.1 to 1000 in steps of a third: scores are cosines or counts of cache hits, zero-shot
logits 100 times cosines. Ours."""


class Scorer(Protocol):
    """A method that has seen its support."""

    @property
    def default(self) -> Settings:
        """What is used where nothing can be chosen: every setting, and `weight` beside zero-shot logits."""
        ...

    def scored(self, queries: Float[Tensor, "queries dim"]) -> Iterator[Scored]:
        """Score images under every setting, one after the other."""
        ...

    def scores(self, queries: Float[Tensor, "queries dim"], settings: Settings) -> Float[Tensor, "queries classes"]:
        """Score images under one setting."""
        ...

    def left_out(self) -> Iterator[Scored] | None:
        """Score every support image by a fit without it; None where that is not possible (one image per class)."""
        ...


class FewShotMethod(Protocol):
    """A few-shot method before it has seen an image."""

    def prepare(self, support: Support) -> Scorer:
        """See the support set."""
        ...


@dataclass(frozen=True, eq=False)
class ZeroShot:
    """CLIP's own opinion, fused with the few-shot scores.

    Args:
        weights: `(classes, dim)`, one vector per class.
        logit_scale: Factor from cosine to logit.
    """

    weights: Float[Tensor, "classes dim"]
    logit_scale: float = 100.0

    def logits(self, queries: Float[Tensor, "queries dim"]) -> Float[Tensor, "queries classes"]:
        """CLIP's zero-shot logits."""
        return self.logit_scale * (queries.float() @ self.weights.float().T)


@dataclass(frozen=True, eq=False)
class Selected:
    """A method with its settings chosen."""

    scorer: Scorer
    choice: Choice
    zero_shot: ZeroShot | None

    def logits(self, queries: Float[Tensor, "queries dim"]) -> Float[Tensor, "queries classes"]:
        """Score images; higher is more likely, ties go to the lower class id.

        Args:
            queries: L2-normalised rows.
        """
        scores = self.scorer.scores(queries, self.choice.settings)
        if self.zero_shot is None:
            return scores
        return self.zero_shot.logits(queries) + self.choice.settings["weight"] * scores


@dataclass(frozen=True, eq=False)
class Fitted:
    """A method that has seen its support and not yet chosen its settings."""

    scorer: Scorer
    support: Support
    zero_shot: ZeroShot | None
    search_weights: Sequence[float] = WEIGHTS

    @classmethod
    def fit(
        cls,
        method: FewShotMethod,
        support: Support,
        *,
        zero_shot: ZeroShot | None = None,
        search_weights: Sequence[float] = WEIGHTS,
    ) -> "Fitted":
        """Show a method its support.

        Raises:
            ConfigError: The zero-shot weights are not one per class.
        """
        if zero_shot is not None and len(zero_shot.weights) != support.class_count:
            raise ConfigError(
                f"{len(zero_shot.weights)} zero-shot weights for {support.class_count} classes.",
                "few-shot",
                "Give one vector per class.",
            )
        return cls(method.prepare(support), support, zero_shot, search_weights)

    def select(self, validation: Validation | None) -> Selected:
        """Choose the settings on validation images; without any, by leaving out support images one by one; where a
        class has a single image, take the stated default. `choice.source` says which.
        """
        return Selected(self.scorer, self._choose(validation), self.zero_shot)

    def _choose(self, validation: Validation | None) -> Choice:
        if validation is not None:
            embeddings, labels, source = validation.embeddings, validation.label_ids, "validation"
            candidates: Iterator[Scored] | None = self.scorer.scored(embeddings)
        else:
            embeddings, labels, source = self.support.embeddings, self.support.label_ids, "leave_one_out"
            candidates = self.scorer.left_out()
        if candidates is None:
            return Choice(dict(self.scorer.default), "default", 0, None)
        zero_shot = None if self.zero_shot is None else self.zero_shot.logits(embeddings)
        return search(candidates, labels, zero_shot=zero_shot, weights=self.search_weights, source=source)
