"""The protocol of a few-shot evaluation: one draw of labelled images, every method fitted and selected on it.

Test images come in after that, as embeddings without labels.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from coder_core.few_shot.draws import Draw
from coder_core.few_shot.examples import Support, Validation
from coder_core.few_shot.fitting import Fitted, Selected, ZeroShot
from coder_core.few_shot.registry import Planned

__all__ = ["Pool", "select_methods"]


class Pool(NamedTuple):
    """Labelled images that support and validation are drawn from: train and validation images, never test images.

    Args:
        embeddings: `(pool, dim)` L2-normalised rows.
        label_ids: `(pool,)`.
        class_count: Number of classes.
    """

    embeddings: Float[Tensor, "pool dim"]
    label_ids: Int[np.ndarray, " pool"]
    class_count: int

    def support(self, draw: Draw) -> Support:
        """The support set of a draw."""
        return Support(self.embeddings[draw.support].float(), self._labels(draw.support), self.class_count)

    def validation(self, draw: Draw) -> Validation | None:
        """The validation images of a draw; None where it has none."""
        if not len(draw.validation):
            return None
        return Validation(self.embeddings[draw.validation].float(), self._labels(draw.validation))

    def _labels(self, rows: Int[np.ndarray, " rows"]) -> Int[Tensor, " rows"]:
        return torch.from_numpy(self.label_ids[rows].astype(np.int64))


def select_methods(
    pool: Pool, draw: Draw, methods: Mapping[str, Planned], *, zero_shot: ZeroShot | None
) -> dict[str, Selected]:
    """Fit every method on the draw's support and select its settings on the draw's validation images.

    Without validation images, settings are selected by leaving support images out, or are the stated defaults:
    `Selected.choice.source` says so.
    """
    support, validation = pool.support(draw), pool.validation(draw)
    return {
        name: Fitted.fit(planned.method, support, zero_shot=zero_shot, search_weights=planned.weights).select(
            validation
        )
        for name, planned in methods.items()
    }
