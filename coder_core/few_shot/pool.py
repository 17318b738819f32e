"""The labelled images of a few-shot evaluation: draws of support and validation, every method selected on each.

Test images come in after that, as embeddings without labels.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from coder_core.coder.classifier import Classifier
from coder_core.errors import LabelLeakError
from coder_core.evaluation.labels import LabelTable
from coder_core.few_shot.draws import Draw
from coder_core.few_shot.examples import Support, Validation, build_support, build_validation
from coder_core.few_shot.few_shot_methods import Planned
from coder_core.few_shot.fitting import Fitted, Selected
from coder_core.loops import each

__all__ = ["Pool", "build_pool", "select_methods"]


class Pool(NamedTuple):
    """Labelled images that support and validation are drawn from: train and validation images, never test images.

    Args:
        image_ids: One per row, all different.
        embeddings: `(pool, dim)` L2-normalised rows.
        label_ids: `(pool,)` in the order of the rows.
        class_count: Number of classes.
    """

    image_ids: tuple[str, ...]
    embeddings: Float[Tensor, "pool dim"]
    label_ids: Int[np.ndarray, " pool"]
    class_count: int

    def support(self, draw: Draw) -> Support:
        """The support set of a draw.

        Raises:
            DatasetError: A class has no image in it, or there is one class only.
        """
        ids, rows = self._rows(draw.support)
        return build_support(ids, rows, self._labels(draw.support, "train"), class_count=self.class_count)

    def validation(self, draw: Draw) -> Validation | None:
        """The validation images of a draw; None where it has none."""
        if not len(draw.validation):
            return None
        return build_validation(*self._rows(draw.validation), self._labels(draw.validation, "validation"))

    def _rows(self, rows: Int[np.ndarray, " rows"]) -> tuple[list[str], Float[Tensor, "rows dim"]]:
        return [self.image_ids[row] for row in rows.tolist()], self.embeddings[torch.from_numpy(rows)].float()

    def _labels(self, rows: Int[np.ndarray, " rows"], split: str) -> LabelTable:
        ids = tuple(self.image_ids[row] for row in rows.tolist())
        return LabelTable(ids, self.label_ids[rows].astype(np.int64), split)


def build_pool(
    image_ids: Sequence[str], embeddings: Float[Tensor, "pool dim"], labels: LabelTable, *, class_count: int
) -> Pool:
    """Bring images and labels together.

    Args:
        image_ids: One per row.
        embeddings: L2-normalised rows.
        labels: Of any split but test.
        class_count: Number of classes.

    Raises:
        LabelLeakError: The labels are test labels.
        DatasetError: An image has no label.
    """
    if labels.split == "test":
        raise LabelLeakError(
            "support and validation would be drawn from test images.",
            "few_shot.pool",
            "Name a train or validation split.",
        )
    return Pool(tuple(image_ids), embeddings, labels.label_ids_of(image_ids), class_count)


def select_methods(
    pool: Pool, draw: Draw, methods: Mapping[str, Planned], *, zero_shot: Classifier | None
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
        for name, planned in each(methods.items())
    }
