"""Labelled images that a few-shot method may see: a support set to fit on, validation images to select on.

Labels come in by `LabelTable`, whose split says who may read them: fitting takes a train table, selecting a validation
one, and neither takes a test table. An image that stands in two of the sets would be scored on what was learnt from it:
`refuse_shared` compares contents, not names.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from coder_core.counted import counted
from coder_core.errors import DatasetError, LabelLeakError
from coder_core.evaluation.labels import LabelTable

__all__ = ["Support", "Validation", "build_support", "build_validation", "class_means", "refuse_shared"]


@dataclass(frozen=True, eq=False)
class Support:
    """What a method is fitted on.

    Args:
        embeddings: `(support, dim)` float32, L2-normalised; of several augmented views, their normalised mean.
        label_ids: `(support,)` int64; every class has at least one.
        class_count: Classes, at least 2.
    """

    embeddings: Float[Tensor, "support dim"]
    label_ids: Int[Tensor, " support"]
    class_count: int

    @property
    def counts(self) -> Int[Tensor, " classes"]:
        """Images of each class."""
        return torch.bincount(self.label_ids, minlength=self.class_count)


@dataclass(frozen=True, eq=False)
class Validation:
    """What a method's settings are chosen on: L2-normalised rows and their labels."""

    embeddings: Float[Tensor, "validation dim"]
    label_ids: Int[Tensor, " validation"]


def build_support(
    image_ids: Sequence[str],
    embeddings: Float[Tensor, "support dim"] | Float[Tensor, "support views dim"],
    labels: LabelTable,
    *,
    class_count: int,
) -> Support:
    """Bring images and their train labels together.

    Args:
        image_ids: One per row, all different.
        embeddings: L2-normalised rows, or several augmented views of each image, which are averaged and normalised
            again (Yi et al., CVPR 2024, CODER-Adapter; as in Tip-Adapter). An image given twice counts twice.
        labels: Of a train split.
        class_count: Number of classes.

    Raises:
        LabelLeakError: The labels are those of another split.
        DatasetError: A class has no image, there is one class only, or a label is out of range.
    """
    _refuse_split(labels, "train", "the support set")
    views = embeddings.float() if embeddings.ndim == 2 else embeddings.float().mean(dim=1)
    label_ids = torch.tensor(labels.label_ids_of(image_ids))
    if class_count < 2:
        raise DatasetError(f"the support set is of {class_count} class.", "few-shot", "Give two classes or more.")
    if len(label_ids) and not 0 <= int(label_ids.min()) <= int(label_ids.max()) < class_count:
        raise DatasetError(
            f"a label is not in 0..{class_count - 1}.", "labels of the support set", "Use the data set's class list."
        )
    counts = torch.bincount(label_ids, minlength=class_count)
    if int(counts.min()) == 0:
        raise DatasetError(
            f"class {int(counts.argmin())} has no support image ({int((counts == 0).sum())} such classes).",
            "few-shot",
            "Give at least one labelled image of every class, or leave the class out.",
        )
    return Support(torch.nn.functional.normalize(views, dim=1), label_ids, class_count)


def build_validation(
    image_ids: Sequence[str], embeddings: Float[Tensor, "validation dim"], labels: LabelTable
) -> Validation:
    """Bring images and their validation labels together.

    Raises:
        LabelLeakError: The labels are those of another split.
        DatasetError: There is no image, or one has no label.
    """
    _refuse_split(labels, "validation", "the settings")
    if not len(image_ids):
        raise DatasetError("there are 0 validation images.", "few-shot", "Give some, or none at all: then say so.")
    return Validation(embeddings.float(), torch.tensor(labels.label_ids_of(image_ids)))


def class_means(rows: Float[Tensor, "support dim"], support: Support) -> Float64[Tensor, "classes dim"]:
    """Average the rows of each class, in float64."""
    sums = torch.zeros(support.class_count, rows.shape[1], dtype=torch.float64)
    sums.index_add_(0, support.label_ids, rows.double())
    return sums / support.counts.unsqueeze(1)


def refuse_shared(fitted: Mapping[str, str], tested: Collection[str], *, what: str) -> None:
    """Raise LabelLeakError where images of a set are test images as well.

    Args:
        fitted: Image ids of the set by content key.
        tested: Content keys of the test images.
        what: The set's name.
    """
    shared = sorted(set(fitted) & set(tested))
    if shared:
        images = counted(len(shared), f"image of {what} is a test image", f"images of {what} are test images")
        raise LabelLeakError(
            f"{images} as well, {fitted[shared[0]]!r:.200} for one.",
            "few-shot",
            "Test on images that nothing was learnt from, or set few_shot.drop_shared to leave such out.",
        )


def _refuse_split(labels: LabelTable, split: str, what: str) -> None:
    if labels.split != split:
        raise LabelLeakError(
            f"{what} would be made from labels of the split {labels.split!r}.",
            "few-shot",
            f"Give the labels of a {split} split.",
        )
