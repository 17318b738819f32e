"""What every method is worth, and against the baseline. Reads test labels, as ablation and `protocol: reference` do.

One artifact per method, one part per result table: a second run, or a further method, measures only what is new.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from coder_core.encoders.base import IdentifiedEncoder
from coder_core.image_ids import ImageIds
from coder_core.input_contract import InputContract
from coder_core.pipeline.artifact_types import (
    BatchAnswersArtifact,
    ClassesArtifact,
    ClassifierArtifact,
    ImageEmbeddingsArtifact,
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
    MetricRow,
    ReliabilityRow,
    table_of,
)
from coder_core.steps.build_classifier import read_classifier
from coder_core.steps.classify_batch import read_log_shares
from coder_core.steps.image_groups import ImageGroups
from coder_core.steps.load_dataset import read_classes, read_labels_of
from coder_core.steps.predict_images import read_predictions
from coder_core.steps.score_again import kept_log_shares, log_shares, read_again

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Bool, Float, Float64, Int64
    from torch import Tensor

    from coder_core.classes import ClassList
    from coder_core.evaluation.labels import LabelTable
    from coder_core.evaluation.predictions import Predictions
    from coder_core.evaluation.spread import Groups

CONFUSIONS_COMPARED = 10_000
"""Pairs per method that `confusion_comparisons` keeps: 1,000 classes can be confused in 999,000 ways, most of them
once, and every method brings its own."""

Rows = dict[type[Any], Sequence[Any]]


class MeasureMethod(ArtifactStep[MeasurementArtifact]):
    """Measure one method: metrics, classes, confusions, and the same against the baseline.

    Raises:
        DatasetError: An image has no label.
    """

    version: ClassVar[int] = 3

    method: str
    predictions: PredictionsArtifact
    contract: InputContract
    baseline: str
    baseline_predictions: PredictionsArtifact | None
    controls: str | None
    controlled_predictions: PredictionsArtifact | None
    groups: ImageGroups | None
    classifier: ClassifierArtifact | BatchAnswersArtifact
    images: ImageEmbeddingsArtifact
    encoder: IdentifiedEncoder
    labels: LabelsArtifact
    classes: ClassesArtifact

    @property
    def name(self) -> str:
        """As it stands among the timings."""
        return f"measure_{self.method}"

    def make(self, context: Context, output: Output) -> MeasurementArtifact:
        """Measure, and write one part per table."""
        from coder_core.evaluation.comparisons import compare

        classes = read_classes(context, self.classes)
        predictions = read_predictions(context, self.predictions, self.method)
        labels = read_labels_of(context, self.labels, predictions.image_ids, "test")
        groups = self.groups.numbers(predictions.image_ids) if self.groups is not None else None
        likelihoods = true_log_likelihoods(context, self, predictions, labels)
        rows = _measure(predictions, labels, classes, groups, likelihoods)
        if self.baseline_predictions is not None:
            baseline = read_predictions(context, self.baseline_predictions, self.baseline)
            rows |= _compare(baseline, predictions, labels, classes, self._groups_of(baseline))
        if self.controls is not None and self.controlled_predictions is not None:
            controlled = read_predictions(context, self.controlled_predictions, self.controls)
            more = () if self.controls == self.baseline else rows.get(ComparisonRow, ())
            own = self._groups_of(controlled)
            rows[ComparisonRow] = [*more, *compare(controlled, predictions, labels, classes, groups=own)]
        return write_rows(context, output, self._with_contract(rows))

    def _groups_of(self, baseline: "Predictions") -> "Groups | None":
        """In the order of the baseline, which is the order of a comparison."""
        return self.groups.numbers(baseline.image_ids) if self.groups is not None else None

    def _with_contract(self, rows: Rows) -> Rows:
        """Say in every row of metrics and comparisons what the method has read."""
        columns: dict[str, Any] = dict(self.contract.columns())
        own = {MetricRow: columns, ComparisonRow: {**columns, "controls": self.controls}}
        return {table: [replace(row, **own.get(table, {})) for row in found] for table, found in rows.items()}


def true_log_likelihoods(
    context: Context, step: MeasureMethod, predictions: "Predictions", labels: "LabelTable"
) -> "Float64[np.ndarray, ' images']":
    """The exact log-likelihood of every image, in the order of the predictions.

    Where the true class is among those kept, the prediction says it; of the other images, few as a rule, the classifier
    is asked once more.
    """
    import numpy as np

    label_ids = labels.align(predictions)
    found = kept_log_shares(label_ids, predictions.top_ids, predictions.top_probabilities)
    for rows, logits in _scored_again(context, step, predictions, np.isnan(found)):
        found[rows] = log_shares(logits, label_ids[rows])
    return found


def _scored_again(
    context: Context, step: MeasureMethod, predictions: "Predictions", is_wanted: "Bool[np.ndarray, ' images']"
) -> "Iterator[tuple[Int64[np.ndarray, ' some'], Float[Tensor, 'some classes']]]":
    """The logits of some images, part by part, and which rows of the predictions they are."""
    if not is_wanted.any():
        return
    if isinstance(step.classifier, BatchAnswersArtifact):
        yield from _told_again(context, step.classifier, predictions, is_wanted)
        return
    classifier = read_classifier(context, step.classifier)
    images = (step.predictions, step.images, step.encoder)
    for rows, vectors in read_again(context, *images, predictions.image_ids, is_wanted):
        yield rows, classifier.logits(vectors)


def _told_again(
    context: Context,
    answers: BatchAnswersArtifact,
    predictions: "Predictions",
    is_wanted: "Bool[np.ndarray, ' images']",
) -> "Iterator[tuple[Int64[np.ndarray, ' some'], Float[Tensor, 'some classes']]]":
    """The same of a method that has no classifier: all that it said of a batch was kept."""
    import numpy as np

    parts, listed = context.parts(answers), ImageIds.of(predictions.image_ids)
    for part in context.each(parts, "scoring", total=len(parts), unit="parts"):
        image_ids, logits = read_log_shares(context, answers, part.name)
        rows = listed.find(image_ids)
        kept = np.flatnonzero((rows >= 0) & is_wanted[rows])
        if len(kept):
            yield rows[kept], logits[kept]


def read_rows(context: Context, artifact: MeasurementArtifact, row_class: type[Any]) -> list[Any]:
    """The rows of one table that a measurement holds; none where it has not that table.

    A column that is younger than the measurement is None.
    """
    from coder_core.results.arrow_rows import conform, rows_from_arrow

    name = table_of(row_class).name
    if name not in artifact.tables:
        return []
    return rows_from_arrow(row_class, conform(row_class, context.read_part(artifact, name)))


def _measure(
    predictions: "Predictions",
    labels: "LabelTable",
    classes: "ClassList",
    groups: "Groups | None",
    likelihoods: "Float64[np.ndarray, ' images']",
) -> Rows:
    from coder_core.evaluation.breakdown import confusions, per_class
    from coder_core.evaluation.calibration import evaluate_calibration, evaluate_likelihood, reliability
    from coder_core.evaluation.metrics import evaluate

    return {
        MetricRow: [
            *evaluate(predictions, labels, classes, groups=groups),
            *evaluate_calibration(predictions, labels, classes, groups=groups),
            evaluate_likelihood(predictions, likelihoods, groups=groups),
        ],
        ReliabilityRow: reliability(predictions, labels, classes),
        ClassMetricRow: per_class(predictions, labels, classes),
        ConfusionRow: confusions(predictions, labels, classes),
    }


def _compare(
    baseline: "Predictions",
    predictions: "Predictions",
    labels: "LabelTable",
    classes: "ClassList",
    groups: "Groups | None",
) -> Rows:
    from coder_core.evaluation.comparisons import compare
    from coder_core.evaluation.paired_breakdown import compare_classes, compare_confusions

    return {
        ComparisonRow: compare(baseline, predictions, labels, classes, groups=groups),
        ClassComparisonRow: compare_classes(baseline, predictions, labels, classes),
        ConfusionComparisonRow: _most_frequent(compare_confusions(baseline, predictions, labels, classes)),
    }


def _most_frequent(compared: Sequence[ConfusionComparisonRow]) -> list[ConfusionComparisonRow]:
    """Keep the pairs that the most images fall under, in both methods together; Holm's correction counts all."""
    by_frequency = sorted(range(len(compared)), key=lambda place: -(compared[place].n_baseline + compared[place].n))
    return [compared[place] for place in sorted(by_frequency[:CONFUSIONS_COMPARED])]


def write_rows(context: Context, output: Output, rows: Rows) -> MeasurementArtifact:
    """Write the rows of a measurement, one part per table."""
    from coder_core.results.arrow_rows import rows_to_arrow

    for row_class, found in context.each(rows.items(), "measuring", total=len(rows), unit="tables"):
        output.write_part(table_of(row_class).name, rows_to_arrow(row_class, found))
    return output.finish(MeasurementArtifact, tables=tuple(table_of(row_class).name for row_class in rows))
