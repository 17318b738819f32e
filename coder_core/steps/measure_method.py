"""What every method is worth, and against the baseline. Reads test labels, as ablation and `protocol: reference` do.

One artifact per method, one part per result table: a second run, or a further method, measures only what is new.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from coder_core.pipeline.artifact_types import (
    ClassesArtifact,
    FewShotFitsArtifact,
    FewShotPredictionsArtifact,
    LabelsArtifact,
    MeasurementArtifact,
    PredictionsArtifact,
)
from coder_core.pipeline.context import Context
from coder_core.pipeline.output import Output
from coder_core.pipeline.step import ArtifactStep
from coder_core.results.schema import (
    ClassComparisonRow,
    ClassMetricRow,
    ComparisonRow,
    ConfusionComparisonRow,
    ConfusionRow,
    FewShotRow,
    MetricRow,
    table_of,
)
from coder_core.steps.load_dataset import read_classes, read_labels
from coder_core.steps.predict_images import read_predictions

if TYPE_CHECKING:
    from coder_core.classes import ClassList
    from coder_core.evaluation.labels import LabelTable
    from coder_core.evaluation.predictions import Predictions

CONFUSIONS_COMPARED = 10_000
"""Pairs per method that `confusion_comparisons` keeps: 1,000 classes can be confused in 999,000 ways, most of them
once, and every method brings its own."""

Rows = dict[type[Any], Sequence[Any]]


class MeasureMethod(ArtifactStep[MeasurementArtifact]):
    """Measure one method: metrics, classes, confusions, and the same against the baseline.

    Raises:
        DatasetError: An image has no label.
    """

    version: ClassVar[int] = 2

    method: str
    predictions: PredictionsArtifact
    baseline: str
    baseline_predictions: PredictionsArtifact | None
    labels: LabelsArtifact
    classes: ClassesArtifact

    @property
    def name(self) -> str:
        """As it stands among the timings."""
        return f"measure_{self.method}"

    def make(self, context: Context, output: Output) -> MeasurementArtifact:
        """Measure, and write one part per table."""
        classes = read_classes(context, self.classes)
        labels = read_labels(context, self.labels, "test")
        predictions = read_predictions(context, self.predictions, self.method)
        rows = _measure(predictions, labels, classes)
        if self.baseline_predictions is not None:
            baseline = read_predictions(context, self.baseline_predictions, self.baseline)
            rows |= _compare(baseline, predictions, labels, classes)
        return _write(context, output, rows)


class MeasureFewShot(ArtifactStep[MeasurementArtifact]):
    """Measure the few-shot methods of one draw.

    Raises:
        DatasetError: An image has no label.
    """

    fits: FewShotFitsArtifact
    predictions: FewShotPredictionsArtifact
    labels: LabelsArtifact

    @property
    def name(self) -> str:
        """As it stands among the timings."""
        return f"measure_few_shot_{self.fits.shots}"

    def make(self, context: Context, output: Output) -> MeasurementArtifact:
        """Measure every method."""
        from coder_core.steps.fit_few_shot import read_few_shot_predictions

        labels = read_labels(context, self.labels, "test")
        methods = self.predictions.methods
        rows = [
            _few_shot_row(self.fits, read_few_shot_predictions(context, self.predictions, method), labels)
            for method in context.each(methods, "measuring", total=len(methods), unit="methods")
        ]
        return _write(context, output, {FewShotRow: rows})


def read_rows(context: Context, artifact: MeasurementArtifact, row_class: type[Any]) -> list[Any]:
    """The rows of one table that a measurement holds; none where it has not that table.

    A column that is younger than the measurement is None.
    """
    from coder_core.results.arrow_rows import conform, rows_from_arrow

    name = table_of(row_class).name
    if name not in artifact.tables:
        return []
    return rows_from_arrow(row_class, conform(row_class, context.read_part(artifact, name)))


def _measure(predictions: "Predictions", labels: "LabelTable", classes: "ClassList") -> Rows:
    from coder_core.evaluation.breakdown import confusions, per_class
    from coder_core.evaluation.calibration import evaluate_calibration
    from coder_core.evaluation.metrics import evaluate

    return {
        MetricRow: [*evaluate(predictions, labels, classes), *evaluate_calibration(predictions, labels, classes)],
        ClassMetricRow: per_class(predictions, labels, classes),
        ConfusionRow: confusions(predictions, labels, classes),
    }


def _compare(baseline: "Predictions", predictions: "Predictions", labels: "LabelTable", classes: "ClassList") -> Rows:
    from coder_core.evaluation.comparisons import compare
    from coder_core.evaluation.paired_breakdown import compare_classes, compare_confusions

    return {
        ComparisonRow: compare(baseline, predictions, labels, classes),
        ClassComparisonRow: compare_classes(baseline, predictions, labels, classes),
        ConfusionComparisonRow: _most_frequent(compare_confusions(baseline, predictions, labels, classes)),
    }


def _most_frequent(compared: Sequence[ConfusionComparisonRow]) -> list[ConfusionComparisonRow]:
    """Keep the pairs that the most images fall under, in both methods together; Holm's correction counts all."""
    by_frequency = sorted(range(len(compared)), key=lambda place: -(compared[place].n_baseline + compared[place].n))
    return [compared[place] for place in sorted(by_frequency[:CONFUSIONS_COMPARED])]


def _write(context: Context, output: Output, rows: Rows) -> MeasurementArtifact:
    from coder_core.results.arrow_rows import rows_to_arrow

    for row_class, found in context.each(rows.items(), "measuring", total=len(rows), unit="tables"):
        output.write_part(table_of(row_class).name, rows_to_arrow(row_class, found))
    return output.finish(MeasurementArtifact, tables=tuple(table_of(row_class).name for row_class in rows))


def _few_shot_row(fits: FewShotFitsArtifact, predictions: "Predictions", labels: "LabelTable") -> FewShotRow:
    import json

    from coder_core.evaluation.intervals import wilson_interval
    from coder_core.evaluation.metrics import mean_per_class_accuracy

    label_ids, top_ids = labels.align(predictions), predictions.top_ids[:, :1]
    hits = int((top_ids[:, 0] == label_ids).sum())
    interval, choice = wilson_interval(hits, len(label_ids)), fits.choices[predictions.method]
    return FewShotRow(
        method=predictions.method,
        shots=fits.shots,
        seed=fits.seed,
        n=len(label_ids),
        top1=hits / len(label_ids),
        ci_low=interval.low,
        ci_high=interval.high,
        mean_per_class_accuracy=mean_per_class_accuracy(top_ids, label_ids),
        settings=json.dumps(choice.settings),
        chosen_on=choice.source,
        chosen_n=choice.n,
        chosen_accuracy=choice.accuracy,
        settings_tried=choice.tried,
        pool_images_dropped=fits.dropped,
    )
