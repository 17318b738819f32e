"""Between stage 1 and the rerank: which pairs of classes uncertain images really stand between.

Predictions go in, no label does. The counts decide which pairs a language model is asked about (most frequent first,
within a budget), and tell afterwards what the budget bought.
"""

from typing import TYPE_CHECKING, ClassVar

from coder_core.pipeline.artifact_types import ConfusedPairsArtifact, PredictionsArtifact
from coder_core.pipeline.context import Context
from coder_core.pipeline.output import Output
from coder_core.pipeline.step import ArtifactStep
from coder_core.results.schema import PairBudgetRow

if TYPE_CHECKING:
    import pyarrow as pa
    from jaxtyping import Bool, Int
    from torch import Tensor

    from coder_core.coder.pairs import PairCounts

BUDGET_STEPS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000)
"""Budgets that the table shows, as far as there are pairs; the last row has them all."""


class CountConfusedPairs(ArtifactStep[ConfusedPairsArtifact]):
    """Count the pairs among the candidates of gated images: rows `class_id` < `rival_id`, `images`, most first."""

    loop_free: ClassVar[str] = "counts in a few array operations: 40 bytes an image"

    stage1: PredictionsArtifact
    threshold: float
    candidates: int

    def make(self, context: Context, output: Output) -> ConfusedPairsArtifact:
        """Count."""
        from coder_core.coder.pairs import count_pairs

        top_ids, gated = _gated_images(context, self.stage1, self.threshold)
        output.write(_as_arrow(count_pairs(top_ids, gated, candidates=self.candidates)))
        return output.finish(ConfusedPairsArtifact, images=len(top_ids), gated=int(gated.sum()))


def read_pair_counts(context: Context, confused: ConfusedPairsArtifact) -> "PairCounts":
    """The counts of an artifact."""
    import numpy as np
    import torch

    from coder_core.coder.pairs import PairCounts

    columns = [context.read(confused).column(name).to_numpy() for name in ("class_id", "rival_id", "images")]
    low, high, images = (torch.from_numpy(np.array(column, dtype=np.int64)) for column in columns)
    return PairCounts(class_ids=torch.stack([low, high], dim=1), counts=images)


def read_budget(
    context: Context, confused: ConfusedPairsArtifact, stage1: PredictionsArtifact, *, threshold: float, candidates: int
) -> list[PairBudgetRow]:
    """What each part of a budget would buy, were it spent on the most frequent pairs first."""
    from coder_core.coder.pairs import tabulate_budget

    counts = read_pair_counts(context, confused)
    steps = [*(step for step in BUDGET_STEPS if step < len(counts)), len(counts)]
    top_ids, gated = _gated_images(context, stage1, threshold)
    return tabulate_budget(counts, top_ids, gated, steps=steps, candidates=candidates)


def _gated_images(
    context: Context, stage1: PredictionsArtifact, threshold: float
) -> "tuple[Int[Tensor, 'images best'], Bool[Tensor, ' images']]":
    """Candidates and gate of all images."""
    import torch

    from coder_core.coder.ranking import is_gated
    from coder_core.steps.predictions import read_predictions

    predictions = read_predictions(context, stage1)
    probabilities = torch.from_numpy(predictions.top_probabilities)
    return torch.from_numpy(predictions.top_ids), is_gated(probabilities, threshold=threshold)


def _as_arrow(counts: "PairCounts") -> "pa.Table":
    import pyarrow as pa

    columns = (counts.class_ids[:, 0], counts.class_ids[:, 1], counts.counts)
    return pa.table([pa.array(column.numpy()) for column in columns], names=["class_id", "rival_id", "images"])
