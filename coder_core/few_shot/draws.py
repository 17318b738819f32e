"""Draws: which labelled images are the support of `shots` images per class, and which are left to choose settings on.

One seeded permutation per class; the first `shots` images are the support, the next ones validation. So within a seed a
larger support holds the smaller ones, and draws of different seeds are independent.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from coder_core.counted import counted
from coder_core.errors import DatasetError
from coder_core.loops import each

__all__ = ["Draw", "draw_examples"]

Ids = Int[np.ndarray, " rows"]


class Draw(NamedTuple):
    """Rows of the pool.

    Args:
        support: Class after class, `shots` of each (fewer where a class has fewer and that was allowed).
        validation: All other rows of the pool, or as many per class as were asked for; may be empty.
        short_classes: Classes that have fewer support images than asked for.
    """

    support: Ids
    validation: Ids
    short_classes: tuple[int, ...]


def draw_examples(
    label_ids: Int[np.ndarray, " pool"],
    *,
    shots: int,
    seed: int,
    validation_per_class: int | None = None,
    allow_fewer: bool = False,
) -> Draw:
    """Draw a support set, and validation images that are not in it.

    Args:
        label_ids: Labels of the pool (train and validation images, never test images).
        shots: Support images per class, at least 1.
        seed: Same seed, same draw.
        validation_per_class: Validation images per class, at most; None takes all that are left.
        allow_fewer: Where a class has `shots` images or fewer, take all but one (at least one) instead of refusing.

    Raises:
        DatasetError: A class has too few images; names the class and both numbers.
    """
    rng = np.random.default_rng(seed)
    support, validation, short = [], [], []
    for class_id in each(range(int(label_ids.max()) + 1 if len(label_ids) else 0)):
        rows = rng.permutation(np.flatnonzero(label_ids == class_id))
        taken = shots
        if len(rows) <= shots and allow_fewer:
            taken = max(1, len(rows) - 1)
        if len(rows) < taken or not len(rows):
            raise DatasetError(
                f"class {class_id} has {counted(len(rows), 'labelled image')}, "
                f"{counted(shots, 'shot was', 'shots were')} asked for.",
                "few_shot.shots",
                "Ask for fewer, or set `allow_fewer` to take what there is.",
            )
        if taken < shots:
            short.append(class_id)
        support.append(rows[:taken])
        end = None if validation_per_class is None else taken + validation_per_class
        validation.append(rows[taken:end])
    return Draw(np.concatenate(support), np.concatenate(validation), tuple(short))
