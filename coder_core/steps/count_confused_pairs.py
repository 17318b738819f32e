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


PAIRS, BUDGET = "pairs", "budget"
"""The two parts of the artifact."""


class CountConfusedPairs(ArtifactStep[ConfusedPairsArtifact]):
    """Count the pairs among the candidates of gated images, and what each part of a budget would buy.

    Part `pairs` has rows `class_id` < `rival_id`, `images`, most frequent first; part `budget` those of the table.
    """

    version: ClassVar[int] = 2
    loop_free: ClassVar[str] = "counts in a few array operations: 40 bytes an image"

    stage1: PredictionsArtifact
    threshold: float
    candidates: int

    def make(self, context: Context, output: Output) -> ConfusedPairsArtifact:
        """Count."""
        from coder_core.coder.pairs import count_pairs, tabulate_budget
        from coder_core.results.arrow_rows import rows_to_arrow

        top_ids, gated = self._gated_images(context)
        counts = count_pairs(top_ids, gated, candidates=self.candidates)
        output.write_part(PAIRS, _as_arrow(counts))
        steps = [*(step for step in BUDGET_STEPS if step < len(counts)), len(counts)]
        budget = tabulate_budget(counts, top_ids, gated, steps=steps, candidates=self.candidates)
        output.write_part(BUDGET, rows_to_arrow(PairBudgetRow, budget))
        return output.finish(ConfusedPairsArtifact, images=len(top_ids), gated=int(gated.sum()), pairs=len(counts))

    def _gated_images(self, context: Context) -> "tuple[Int[Tensor, 'images best'], Bool[Tensor, ' images']]":
        """Candidates and gate of all images."""
        import torch

        from coder_core.coder.ranking import is_gated
        from coder_core.steps.predict_images import read_predictions

        predictions = read_predictions(context, self.stage1)
        probabilities = torch.from_numpy(predictions.top_probabilities)
        return torch.from_numpy(predictions.top_ids), is_gated(probabilities, threshold=self.threshold)


def read_pair_counts(context: Context, confused: ConfusedPairsArtifact) -> "PairCounts":
    """The counts of an artifact."""
    import numpy as np
    import torch

    from coder_core.coder.pairs import PairCounts

    table = context.read_part(confused, PAIRS)
    low, high, images = (torch.tensor(np.asarray(column, dtype=np.int64)) for column in table.columns)
    return PairCounts(class_ids=torch.stack([low, high], dim=1), counts=images)


def read_budget(context: Context, confused: ConfusedPairsArtifact) -> "pa.Table":
    """What each part of a budget would buy, as rows of the result table."""
    return context.read_part(confused, BUDGET)


def _as_arrow(counts: "PairCounts") -> "pa.Table":
    import pyarrow as pa

    columns = (counts.class_ids[:, 0], counts.class_ids[:, 1], counts.counts)
    return pa.table([pa.array(column.numpy()) for column in columns], names=["class_id", "rival_id", "images"])
