"""Are the probabilities true? Expected calibration error and log-likelihood, both from predictions and labels.

Predictions never know which probability is the true class's, so both are computed here. The log-likelihood is that of
the distribution which predictions hold: the five best classes, the rest of the mass spread evenly over the others. It
bears their number in its name, so that it is never compared with one of all classes.

A reranked prediction is judged by the probability that stage 1 gave the class it settled on: rerank makes none.
"""

from collections.abc import Iterator
from dataclasses import asdict

import numpy as np
from jaxtyping import Bool, Float, Float64, Int, Int64

from coder_core.classes import ClassList
from coder_core.evaluation.chance_error import error_by_chance
from coder_core.evaluation.error_interval import error_interval, gaps_of_bins
from coder_core.evaluation.intervals import Interval, wilson_interval
from coder_core.evaluation.labels import LabelTable
from coder_core.evaluation.metrics import aligned_labels
from coder_core.evaluation.predictions import Predictions
from coder_core.evaluation.score_intervals import mean_interval
from coder_core.evaluation.spread import Groups, measure_spread
from coder_core.loops import each
from coder_core.results.schema import MetricRow, ReliabilityBin, ReliabilityRow

__all__ = [
    "ECE_BINS",
    "calibration_error_by_chance",
    "calibration_interval",
    "evaluate_calibration",
    "evaluate_likelihood",
    "expected_calibration_error",
    "kept_log_likelihoods",
    "loss_interval",
    "reliability",
    "reliability_bins",
]

Values = Float[np.ndarray, " images"]
Flags = Bool[np.ndarray, " images"]
Ids = Int64[np.ndarray, " images"]

ECE_BINS = 15
"""Bins of equal width on [0, 1] (Guo et al., ICML 2017, section 2 and its experiments)."""

RESOLUTION = float(np.finfo(np.float32).eps)
"""The least mass that `1 - sum` of float32 probabilities can show; less is taken for this much."""

ROWS_AT_ONCE = 262_144
"""Images whose likelihoods are computed at a time: what is needed meanwhile stays in the cache, and 30 MB."""


def evaluate_calibration(
    predictions: Predictions, labels: LabelTable, classes: ClassList, *, groups: Groups | None = None
) -> list[MetricRow]:
    """Measure how far one method's probabilities can be trusted.

    Args:
        predictions: Of any method.
        labels: The split's true classes.
        classes: The class list of both.
        groups: Numbers of the images' groups, in the order of the predictions: intervals are over groups, then.

    Returns:
        `expected_calibration_error` in [0, 1] and `negative_log_likelihood_top5`, at least 0 and in nats. Lower is
        better. Each with a 95 % interval.

    Raises:
        DatasetError: As `evaluate`.
    """
    label_ids = aligned_labels(predictions, labels, classes)
    is_correct = predictions.top_ids[:, 0] == label_ids
    confidences = predictions.top_probabilities[:, 0]
    losses = kept_log_likelihoods(predictions, label_ids, class_count=len(classes))
    np.negative(losses, out=losses)

    def row(metric: str, value: float, interval: Interval | None) -> MetricRow:
        return MetricRow(
            method=predictions.method,
            metric=metric,
            value=value,
            n=len(label_ids),
            ci_low=interval.low if interval else None,
            ci_high=interval.high if interval else None,
            protocol=predictions.protocol,
            groups=None if groups is None else int(groups.max()) + 1,
        )

    error = expected_calibration_error(confidences, is_correct)
    return [
        row("expected_calibration_error", error, calibration_interval(confidences, is_correct, groups=groups)),
        row("negative_log_likelihood_top5", float(losses.mean()), loss_interval(losses, groups)),
    ]


def loss_interval(losses: Float64[np.ndarray, " images"], groups: Groups | None) -> Interval | None:
    """The interval of a mean over images, which stand alone or in groups; a loss is never below 0."""
    found = mean_interval(measure_spread(losses, groups=groups))
    return Interval(max(0.0, found.low), found.high) if found is not None else None


def evaluate_likelihood(
    predictions: Predictions, log_likelihoods: Float64[np.ndarray, " images"], *, groups: Groups | None = None
) -> MetricRow:
    """Measure the exact likelihood of one method.

    Args:
        predictions: Of the method.
        log_likelihoods: `(images,)` natural logarithms of the true classes' probabilities, in their order.
        groups: As for `evaluate_calibration`.

    Returns:
        `negative_log_likelihood`, at least 0 and in nats, with a 95 % interval.
    """
    losses = -log_likelihoods
    interval = loss_interval(losses, groups)
    return MetricRow(
        method=predictions.method,
        metric="negative_log_likelihood",
        value=float(losses.mean()),
        n=len(losses),
        ci_low=interval.low if interval else None,
        ci_high=interval.high if interval else None,
        protocol=predictions.protocol,
        groups=None if groups is None else int(groups.max()) + 1,
    )


def reliability(predictions: Predictions, labels: LabelTable, classes: ClassList) -> list[ReliabilityRow]:
    """Compare confidence and accuracy of one method, bin by bin; see `reliability_bins`."""
    is_correct = predictions.top_ids[:, 0] == aligned_labels(predictions, labels, classes)
    found = reliability_bins(predictions.top_probabilities[:, 0], is_correct)
    return [ReliabilityRow(method=predictions.method, protocol=predictions.protocol, **asdict(one)) for one in found]


def reliability_bins(confidences: Values, is_correct: Flags) -> Iterator[ReliabilityBin]:
    """Compare confidence and accuracy, bin by bin of confidence; bins without images are left out.

    Source: Guo et al., ICML 2017, section 2: the reliability diagram.

    Args:
        confidences: `(images,)` probability of the predicted class, in [0, 1].
        is_correct: `(images,)` whether that class is the true one.
    """
    bins = _bins_of(confidences, ECE_BINS)
    for number in np.flatnonzero(np.bincount(bins)).tolist():
        own = bins == number
        hits, n = int(is_correct[own].sum()), int(own.sum())
        interval = wilson_interval(hits, n)
        yield ReliabilityBin(
            bin=number,
            low=number / ECE_BINS,
            high=(number + 1) / ECE_BINS,
            n=n,
            confidence=float(confidences[own].astype(np.float64).mean()),
            accuracy=hits / n,
            ci_low=interval.low,
            ci_high=interval.high,
        )


def expected_calibration_error(confidences: Values, is_correct: Flags, *, bins: int = ECE_BINS) -> float:
    """Compute the mean distance between confidence and accuracy, bin by bin of confidence.

    Source: Guo et al., ICML 2017, equation 3: the sum over bins of n_b / n * |accuracy_b - confidence_b|.

    Args:
        confidences: `(images,)` probability of the predicted class, in [0, 1]; at least one image.
        is_correct: `(images,)` whether that class is the true one.
        bins: Of equal width; each holds its upper end, the first also 0.
    """
    excess = gaps_of_bins(confidences, is_correct, _bins_of(confidences, bins))[0]
    return float(np.abs(excess).sum() / len(confidences))


def calibration_interval(
    confidences: Values, is_correct: Flags, *, groups: Groups | None = None, bins: int = ECE_BINS
) -> Interval | None:
    """The interval of the expected calibration error; see `error_interval`."""
    return error_interval(confidences, is_correct, _bins_of(confidences, bins), groups)


def calibration_error_by_chance(confidences: Values, *, bins: int = ECE_BINS) -> float:
    """The error that true probabilities would show on average, at these confidences; see `chance_error`."""
    return error_by_chance(confidences, _bins_of(confidences, bins))


def kept_log_likelihoods(
    predictions: Predictions, label_ids: Ids, *, class_count: int
) -> Float64[np.ndarray, " images"]:
    """Compute the log-likelihood of every image under the classes kept and an even rest.

    Exact where the true class was kept, or where at most one class was not.

    Args:
        predictions: Keeping k of the classes.
        label_ids: `(images,)` true classes, in the order of the predictions.
        class_count: Number of classes, at least k.

    Returns:
        `(images,)` natural logarithms; probabilities below float32's resolution count as that.
    """
    found = np.empty(len(label_ids), dtype=np.float64)
    for start in each(range(0, len(label_ids), ROWS_AT_ONCE)):
        rows = slice(start, start + ROWS_AT_ONCE)
        kept = predictions.top_probabilities[rows].astype(np.float64)
        is_true = predictions.top_ids[rows] == label_ids[rows, None]
        rest = np.maximum(1 - kept.sum(axis=1), RESOLUTION) / max(1, class_count - kept.shape[1])
        own = np.where(is_true, kept, 0).sum(axis=1)
        found[rows] = np.log(np.where(is_true.any(axis=1), np.maximum(own, np.finfo(np.float32).tiny), rest))
    return found


def _bins_of(confidences: Values, bins: int) -> Int[np.ndarray, " images"]:
    found = np.empty(len(confidences), dtype=np.int16)  # of ten million images a quarter of what int64 would take
    for start in each(range(0, len(confidences), ROWS_AT_ONCE)):
        rows = slice(start, start + ROWS_AT_ONCE)
        scaled = np.ceil(confidences[rows].astype(np.float64) * bins)
        found[rows] = np.clip(scaled.astype(np.int64) - 1, 0, bins - 1)
    return found
