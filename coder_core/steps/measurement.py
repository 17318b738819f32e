"""Step 9: what every method is worth, measured one by one, and each against the baseline.

Every method's per-image and per-class tables are parts of their own, so that one method, and the baseline, are in
memory at a time.
"""

from collections.abc import Mapping
from typing import NamedTuple

from coder_core.classes import ClassList
from coder_core.evaluation.calibration import evaluate_calibration
from coder_core.evaluation.comparisons import ComparisonRow, compare, correct_comparisons
from coder_core.evaluation.labels import LabelTable
from coder_core.evaluation.metrics import MetricRow, evaluate
from coder_core.evaluation.predictions import Predictions
from coder_core.steps.predictions import read_predictions
from coder_core.steps.result_tables import (
    class_comparison_table,
    class_table,
    confusion_comparison_table,
    confusion_table,
    prediction_table,
)
from coder_core.storage.artifacts import Artifact, ArtifactStore
from coder_core.storage.results import ResultTables

_METHOD_TABLES = {"predictions": prediction_table, "class_metrics": class_table, "confusions": confusion_table}
_PAIRED_TABLES = {
    "class_comparisons": class_comparison_table,
    "confusion_comparisons": confusion_comparison_table,
}


class Measured(NamedTuple):
    """The numbers of all methods; comparisons carry Holm's correction over all of them."""

    metrics: list[MetricRow]
    comparisons: list[ComparisonRow]


def measure(
    artifacts: ArtifactStore,
    tables: ResultTables,
    run_id: str,
    found: Mapping[str, Artifact],
    labels: LabelTable,
    classes: ClassList,
    *,
    baseline: str,
) -> Measured:
    """Measure method after method and write the tables that are too large to be held together.

    Args:
        artifacts: Where the predictions are.
        tables: Where the tables go.
        run_id: Whose tables.
        found: Predictions by method.
        labels: The test labels.
        classes: The class list.
        baseline: The method that all others are compared with, where it is among them.

    Raises:
        DatasetError: An image has no label.
    """
    theirs = read_predictions(artifacts, found[baseline], baseline) if baseline in found else None
    metrics: list[MetricRow] = []
    comparisons: list[ComparisonRow] = []
    for method, artifact in found.items():
        predictions = read_predictions(artifacts, artifact, method)
        metrics += evaluate(predictions, labels, classes) + evaluate_calibration(predictions, labels, classes)
        for name, make_table in _METHOD_TABLES.items():
            tables.write(name, run_id, make_table(predictions, labels, classes), part=method)
        if theirs is not None and method != baseline:
            comparisons += compare(theirs, predictions, labels, classes)
            _write_paired(tables, run_id, theirs, predictions, labels, classes)
    return Measured(metrics, correct_comparisons(comparisons))


def _write_paired(
    tables: ResultTables,
    run_id: str,
    baseline: Predictions,
    predictions: Predictions,
    labels: LabelTable,
    classes: ClassList,
) -> None:
    for name, make_table in _PAIRED_TABLES.items():
        table = make_table(baseline, predictions, labels, classes)
        if len(table):
            tables.write(name, run_id, table, part=predictions.method)
