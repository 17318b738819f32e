"""Is the difference real? Two methods on the same images: paired intervals, McNemar's test, Holm's correction.

Two accuracies with overlapping intervals may still differ for certain, since both methods saw the same images: what
counts is the images that only one of them gets right. The interval of a difference is Tango's, a score interval, the
p-value comes from McNemar's exact test on those images. Where many methods, classes or pairs are
tested at once, the p-values are corrected together.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float64, Int, Int64

from coder_core.classes import ClassList
from coder_core.counted import counted
from coder_core.errors import DatasetError
from coder_core.evaluation.clustered import sign_flip_p
from coder_core.evaluation.intervals import Interval
from coder_core.evaluation.labels import LabelTable
from coder_core.evaluation.metrics import aligned_labels, refuse_too_few_kept
from coder_core.evaluation.predictions import Predictions
from coder_core.evaluation.score_intervals import difference_interval, paired_interval
from coder_core.evaluation.spread import Groups, measure_spread
from coder_core.image_ids import ImageIds
from coder_core.loops import each
from coder_core.results.schema import ComparisonRow

__all__ = [
    "compare",
    "correct_comparisons",
    "difference_of_signs",
    "holm",
    "mcnemar_p",
    "paired_rows",
]

COUNTS = frozenset({"top1", "top5"})
"""Metrics that count images, which is what McNemar's test is about."""


def compare(
    baseline: Predictions,
    method: Predictions,
    labels: LabelTable,
    classes: ClassList,
    *,
    groups: Groups | None = None,
) -> list[ComparisonRow]:
    """Compare one method with the baseline, image by image.

    Args:
        baseline: CLIP's predictions, say.
        method: Another method's, of the same images in any order.
        labels: The split's true classes.
        classes: The class list of both.
        groups: Numbers of the images' groups, in the order of the baseline's predictions: intervals and p-values are
            over groups, then.

    Returns:
        `top1`, `top5` and `mean_per_class_accuracy`, with `p_holm` None: see `correct_comparisons`.

    Raises:
        DatasetError: As `evaluate` for either, or the two are not of the same images.
    """
    label_ids = aligned_labels(baseline, labels, classes)
    aligned_labels(method, labels, classes)
    for predictions in (baseline, method):
        refuse_too_few_kept(predictions, classes)
    theirs, own = baseline.top_ids, method.top_ids[paired_rows(baseline, method)]

    def row(metric: str, width: int, strata: Int64[np.ndarray, " images"] | None) -> ComparisonRow:
        signs = _hits(own, label_ids, width).astype(np.int64) - _hits(theirs, label_ids, width)
        gained, lost = int((signs > 0).sum()), int((signs < 0).sum())
        p_value = _p_value(signs, groups) if metric in COUNTS else None
        interval = difference_of_signs(signs, strata, groups)
        return ComparisonRow(
            method=method.method,
            baseline=baseline.method,
            metric=metric,
            difference=_mean_of_classes(signs, strata),
            n=len(signs),
            ci_low=interval.low,
            ci_high=interval.high,
            gained=gained,
            lost=lost,
            p_value=p_value,
            protocol=method.protocol,
            groups=None if groups is None else int(groups.max()) + 1,
        )

    return [row("top1", 1, None), row("top5", 5, None), row("mean_per_class_accuracy", 1, label_ids)]


def _p_value(signs: Int64[np.ndarray, " images"], groups: Groups | None) -> float:
    """McNemar's, or where images come in groups that of flipping whole groups."""
    if groups is not None:
        return sign_flip_p(signs, groups)
    return float(mcnemar_p(int((signs > 0).sum()), int((signs < 0).sum())))


def difference_of_signs(
    signs: Int64[np.ndarray, " images"], strata: Int64[np.ndarray, " images"] | None, groups: Groups | None
) -> Interval:
    """The interval of a mean of signs (1 gained, -1 lost, 0 neither), over images or groups, within classes."""
    if groups is None and strata is None:
        return paired_interval(int((signs > 0).sum()), int((signs < 0).sum()), len(signs))
    gained, lost = (_mean_of_classes(np.asarray(signs == sign, dtype=np.int64), strata) for sign in (1, -1))
    return difference_interval(measure_spread(signs, strata, groups), gained, lost)


def correct_comparisons(rows: Iterable[ComparisonRow]) -> list[ComparisonRow]:
    """Correct the p-values of all methods compared, by Holm's method.

    Each metric is a family of its own, and so is each protocol and each contract: a row that reads more (labels,
    unlabelled images, an assumption on balance) neither costs the others nor gains from them. Controls answer another
    question than methods do, and are a family of their own for every method that they control; beside the baseline of
    the methods they stand uncorrected.

    Args:
        rows: Of several methods, in any order.

    Returns:
        The same rows in the same order, with `p_holm` wherever there is a `p_value`, but for a control beside a
        baseline that it does not control.
    """
    rows = list(rows)
    families: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for place, row in enumerate(each(rows)):
        if row.p_value is not None and row.controls in (None, row.baseline):
            families[_family_of(row)].append(place)
    for places in families.values():
        for place, adjusted in zip(places, holm([rows[place].p_value or 0.0 for place in places]), strict=True):
            rows[place] = replace(rows[place], p_holm=adjusted)
    return rows


def _family_of(row: ComparisonRow) -> tuple[object, ...]:
    read = (row.reads_labels, row.reads_unlabelled_images, row.assumes_balance)
    return (row.metric, row.protocol, row.baseline, row.controls, *read)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values so that the chance of ANY false rejection stays below the level they are compared with.

    The smallest of m is multiplied by m, the next by m - 1, ..., each at least its predecessor and at most 1.
    Source: S. Holm, A simple sequentially rejective multiple test procedure, Scand. J. Statistics 6, 1979. Written out,
    because the library that has it (statsmodels) brings pandas along, and scipy has the false discovery rate only,
    which promises less; tested against a case computed by hand.

    Args:
        p_values: In [0, 1], in any order; may be empty.

    Returns:
        Adjusted values, in the order given.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    scaled = p[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(scaled))
    return [float(value) for value in adjusted]


def mcnemar_p(
    gained: int | Int[np.ndarray, "*shape"], lost: int | Int[np.ndarray, "*shape"]
) -> Float64[np.ndarray, "*shape"]:
    """Compute McNemar's exact two-sided p: could the images that only one method gets right be a coin's doing?

    Source: Q. McNemar, Psychometrika 12, 1947; exact form, a binomial test of `gained` in `gained + lost` at 1/2.

    Args:
        gained: Images that only the one method gets right; any shape.
        lost: Images that only the other gets right; the same shape.

    Returns:
        In [0, 1]; 1 where there is no such image, 0 only where the value is below what a double can hold.
    """
    from scipy.special import betainc  # here: it costs every command 0.1 s of loading

    fewer, more = np.minimum(gained, lost), np.maximum(gained, lost)
    below = betainc(np.maximum(more, 1), fewer + 1.0, 0.5)  # the binomial's distribution function; 1 where fewer = more
    return np.asarray(np.where(fewer == more, 1.0, np.minimum(1.0, 2 * below)), dtype=np.float64)


def paired_rows(baseline: Predictions, method: Predictions) -> Int64[np.ndarray, " images"]:
    """Find, for every image of the baseline, its row in the method's predictions.

    Raises:
        DatasetError: The two are not of the same images.
    """
    if baseline.image_ids == method.image_ids:
        return np.arange(len(baseline), dtype=np.int64)
    known = method.image_ids if isinstance(method.image_ids, ImageIds) else ImageIds.of(method.image_ids)
    rows = known.find(baseline.image_ids)
    missing = np.flatnonzero(rows < 0)
    if len(missing) or len(baseline) != len(method):
        example = f", {baseline.image_ids[missing[0]]!r} by the first only" if len(missing) else ""
        raise DatasetError(
            f"{baseline.method} predicted {counted(len(baseline), 'image')}, {method.method} {len(method)}{example}.",
            f"{method.method} compared with {baseline.method}",
            "Compare methods on the same images.",
        )
    return rows


def _hits(
    top_ids: Int[np.ndarray, "images best"], label_ids: Int64[np.ndarray, " images"], width: int
) -> Bool[np.ndarray, " images"]:
    return np.asarray((top_ids[:, :width] == label_ids[:, None]).any(axis=1))


def _mean_of_classes(signs: Int64[np.ndarray, " images"], strata: Int64[np.ndarray, " images"] | None) -> float:
    ids = np.zeros(len(signs), dtype=np.int64) if strata is None else strata
    sizes, net = np.bincount(ids), np.bincount(ids, weights=signs)
    return float(np.mean(net[sizes > 0] / sizes[sizes > 0]))
