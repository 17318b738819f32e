"""Labels: the other half of an evaluation, joined to predictions by image id and by nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Int64
from numpy.typing import NDArray

from coder_core.errors import DatasetError
from coder_core.evaluation.predictions import Predictions, refuse_repeated
from coder_core.loops import each

__all__ = ["LabelTable"]

IDS_SHOWN = 5


@dataclass(frozen=True, eq=False)
class LabelTable:
    """The true class of every image of one split.

    Args:
        image_ids: One id per image, all different.
        label_ids: `(images,)` the label id of each.
        split: `"train"`, `"validation"` or `"test"`: who may read it depends on this.

    Raises:
        DatasetError: There are not as many labels as ids, or an id occurs twice.
    """

    image_ids: tuple[str, ...]
    label_ids: NDArray[np.int64]
    split: str

    def __post_init__(self) -> None:
        if self.label_ids.shape != (len(self.image_ids),):
            raise DatasetError(
                f"{len(self.image_ids)} image ids, labels of shape {self.label_ids.shape}.",
                f"labels of the split {self.split!r}",
                "Give one label per image.",
            )
        refuse_repeated(self.image_ids, f"labels of the split {self.split!r}")

    def __len__(self) -> int:
        return len(self.image_ids)

    def align(self, predictions: Predictions) -> Int64[np.ndarray, " images"]:
        """Bring the labels into the order of the predictions.

        Args:
            predictions: Of images that all have a label here; the table may know more images.

        Returns:
            `(images,)` label ids, one per prediction.

        Raises:
            DatasetError: A predicted image has no label; names up to five.
        """
        return self.label_ids_of(predictions.image_ids)

    def label_ids_of(self, image_ids: Sequence[str]) -> Int64[np.ndarray, " images"]:
        """Look up the labels of images.

        Raises:
            DatasetError: An image has no label; names up to five.
        """
        missing = [image_id for image_id in image_ids if image_id not in self._row_of]
        if missing:
            more = f" and {len(missing) - IDS_SHOWN} more" if len(missing) > IDS_SHOWN else ""
            raise DatasetError(
                f"{len(missing)} of {len(image_ids)} predicted images have no label:"
                f" {', '.join(map(repr, missing[:IDS_SHOWN]))}{more}.",
                f"labels of the split {self.split!r}",
                "Predict and label the same split.",
            )
        rows = np.array([self._row_of[image_id] for image_id in each(image_ids, every=4096)], dtype=np.int64)
        return self.label_ids[rows]

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {image_id: row for row, image_id in enumerate(self.image_ids)}
