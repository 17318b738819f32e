"""Labels: the other half of an evaluation, joined to predictions by image id and by nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Int64
from numpy.typing import NDArray

from coder_core.errors import DatasetError
from coder_core.evaluation.predictions import Predictions, refuse_repeated
from coder_core.image_ids import ImageIds

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

    image_ids: Sequence[str]
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
        """Look up the labels of images; not to be written to.

        Raises:
            DatasetError: An image has no label; names up to five.
        """
        if self.image_ids is image_ids or self.image_ids == image_ids:
            return self.label_ids
        rows = self._known.find(image_ids)
        missing = np.flatnonzero(rows < 0)
        if len(missing):
            more = f" and {len(missing) - IDS_SHOWN} more" if len(missing) > IDS_SHOWN else ""
            shown = ", ".join(repr(image_ids[row]) for row in missing[:IDS_SHOWN].tolist())
            raise DatasetError(
                f"{len(missing)} of {len(image_ids)} predicted images have no label: {shown}{more}.",
                f"labels of the split {self.split!r}",
                "Predict and label the same split.",
            )
        found: Int64[np.ndarray, " images"] = self.label_ids[rows]
        return found

    def knows(self, image_ids: Sequence[str]) -> bool:
        """Whether all images have a label."""
        return self.image_ids == image_ids or bool((self._known.find(image_ids) >= 0).all())

    @cached_property
    def _known(self) -> ImageIds:
        return self.image_ids if isinstance(self.image_ids, ImageIds) else ImageIds.of(self.image_ids)
