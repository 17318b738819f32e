"""Accuracies, each with its n and a 95 % interval, and each a function of a few lines.

Proportions (top-1, top-5) carry Wilson's interval; mean per-class accuracy, and all of them where images come in
groups, carry what Wilson's becomes there (`score_intervals`).
"""

import numpy as np
from jaxtyping import Bool, Int, Int64

from coder_core.classes import ClassList
from coder_core.counted import counted
from coder_core.errors import DatasetError
from coder_core.evaluation.intervals import Interval, wilson_interval
from coder_core.evaluation.labels import LabelTable
from coder_core.evaluation.predictions import Predictions
from coder_core.evaluation.score_intervals import share_interval
from coder_core.evaluation.spread import Groups, measure_spread
from coder_core.results.schema import MetricRow

__all__ = [
    "aligned_labels",
    "evaluate",
    "interval_of_hits",
    "mean_per_class_accuracy",
    "refuse_too_few_kept",
    "top1",
    "top5",
]

Ids = Int64[np.ndarray, " images"]
TopIds = Int[np.ndarray, "images best"]


def top1(top_ids: TopIds, label_ids: Ids) -> float:
    """Share of images whose best class is the true one; `(images, k)` and `(images,)`, at least one image."""
    return float(np.mean(top_ids[:, 0] == label_ids))


def top5(top_ids: TopIds, label_ids: Ids) -> float:
    """Share of images whose true class is among the five best (all of them, where there are fewer)."""
    return float(np.mean((top_ids[:, :5] == label_ids[:, None]).any(axis=1)))


def mean_per_class_accuracy(top_ids: TopIds, label_ids: Ids) -> float:
    """Mean of the per-class recalls over the classes that have images: every class counts alike."""
    correct = top_ids[:, 0] == label_ids
    counts = np.bincount(label_ids)
    hits = np.bincount(label_ids, weights=correct)
    return float(np.mean(hits[counts > 0] / counts[counts > 0]))


def aligned_labels(predictions: Predictions, labels: LabelTable, classes: ClassList) -> Ids:
    """Bring labels into the order of the predictions and check both against the class list.

    Raises:
        DatasetError: There is no image, a predicted image has no label, or a class id is not in the class list; names
            the first bad row.
    """
    if not len(predictions):
        raise DatasetError("there are 0 predictions.", f"predictions of {predictions.method}", "Predict an image.")
    label_ids = labels.align(predictions)
    for what, ids in (("label", label_ids), ("predicted class", predictions.top_ids)):
        if ids.min() < 0 or ids.max() >= len(classes):
            position = tuple(np.argwhere((ids < 0) | (ids >= len(classes)))[0])
            raise DatasetError(
                f"the {what} {int(ids[position])} is not in 0..{len(classes) - 1}.",
                f"image {predictions.image_ids[position[0]]!r} (row {int(position[0])})",
                "Use the class list that the data set was labelled with.",
            )
    return label_ids


def refuse_too_few_kept(predictions: Predictions, classes: ClassList) -> None:
    """Raise DatasetError when predictions keep fewer classes per image than top-5 accuracy needs."""
    kept, needed = predictions.top_ids.shape[1], min(5, len(classes))
    if kept < needed:
        raise DatasetError(
            f"the predictions keep {counted(kept, 'class')} per image, top-5 accuracy needs {needed}.",
            f"predictions of {predictions.method}",
            "Build them with k=5.",
        )


def evaluate(
    predictions: Predictions, labels: LabelTable, classes: ClassList, *, groups: Groups | None = None
) -> list[MetricRow]:
    """Measure one method on one split.

    Args:
        predictions: Holding the five best classes of every image (all of them, where there are fewer).
        labels: The split's true classes; more images than were predicted are allowed.
        classes: The class list of both.
        groups: Numbers of the images' groups, in the order of the predictions: intervals are over groups, then.

    Returns:
        `top1`, `top5` and `mean_per_class_accuracy`, in this order.

    Raises:
        DatasetError: No image, a missing label, a class id out of range, or too few classes kept for top-5.
    """
    label_ids = aligned_labels(predictions, labels, classes)
    refuse_too_few_kept(predictions, classes)
    top_ids, n = predictions.top_ids, len(label_ids)

    def row(metric: str, value: float, interval: Interval) -> MetricRow:
        return MetricRow(
            method=predictions.method,
            metric=metric,
            value=value,
            n=n,
            ci_low=interval.low,
            ci_high=interval.high,
            protocol=predictions.protocol,
            groups=None if groups is None else int(groups.max()) + 1,
        )

    first_hits = top_ids[:, 0] == label_ids
    top5_hits = (top_ids[:, :5] == label_ids[:, None]).any(axis=1)
    by_class = mean_per_class_accuracy(top_ids, label_ids)
    return [
        row("top1", top1(top_ids, label_ids), interval_of_hits(first_hits, groups)),
        row("top5", top5(top_ids, label_ids), interval_of_hits(top5_hits, groups)),
        row("mean_per_class_accuracy", by_class, share_interval(measure_spread(first_hits, label_ids, groups))),
    ]


def interval_of_hits(hits: Bool[np.ndarray, " images"], groups: Groups | None) -> Interval:
    """The 95 % interval of the share of images that are right: Wilson's, or what that becomes for groups."""
    if groups is None:
        return wilson_interval(int(hits.sum()), len(hits))
    return share_interval(measure_spread(hits, groups=groups))
