"""The result tables of one run as Arrow tables, column by column: a million images are no million Python objects."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from coder_core.classes import ClassList
from coder_core.evaluation.breakdown import confusions, per_class
from coder_core.evaluation.labels import LabelTable
from coder_core.evaluation.paired_breakdown import ConfusionComparison, compare_classes, compare_confusions
from coder_core.evaluation.predictions import Predictions
from coder_core.texts.sentences import TextTable

CONFUSIONS_COMPARED = 10_000
"""Pairs per method that `confusion_comparisons` keeps: 1,000 classes can be confused in 999,000 ways, most of them
once, and every method brings its own."""

logger = logging.getLogger(__name__)


def prediction_table(predictions: Predictions, labels: LabelTable, classes: ClassList) -> pa.Table:
    """One row per image: what it is and what the method said."""
    label_ids, first = labels.align(predictions), predictions.top_ids[:, 0].astype(np.int64)
    names = pa.array(classes.names, type=pa.string())
    columns = {
        "image_id": pa.array(predictions.image_ids, type=pa.string()),
        "label": pa.array(label_ids),
        "label_name": names.take(pa.array(label_ids)),
        "predicted": pa.array(first),
        "predicted_name": names.take(pa.array(first)),
        "probability": pa.array(predictions.top_probabilities[:, 0].astype(np.float64)),
        "is_correct": pa.array(label_ids == first),
        "top5": _lists(predictions.top_ids.astype(np.int64)),
    }
    return marked(pa.table(columns), predictions)


def class_table(predictions: Predictions, labels: LabelTable, classes: ClassList) -> pa.Table:
    """One row per class: how the method fares on it."""
    rows = [row._asdict() for row in per_class(predictions, labels, classes)]
    table = pa.Table.from_pylist(rows, schema=_CLASS_SCHEMA)
    return marked(table.rename_columns(["class_id", "class_name", "n", "recall", "precision"]), predictions)


def confusion_table(predictions: Predictions, labels: LabelTable, classes: ClassList) -> pa.Table:
    """One row per pair of classes that the method confuses, most frequent first."""
    rows = [row._asdict() for row in confusions(predictions, labels, classes)]
    table = pa.Table.from_pylist(rows, schema=_CONFUSION_SCHEMA)
    names = ["class_id", "predicted", "class_name", "predicted_name", "count"]
    return marked(table.rename_columns(names), predictions)


def class_comparison_table(
    baseline: Predictions, predictions: Predictions, labels: LabelTable, classes: ClassList
) -> pa.Table:
    """One row per class that has images: where the method gains and where it loses."""
    rows = [row._asdict() for row in compare_classes(baseline, predictions, labels, classes)]
    return _against(baseline, predictions, rows, {"name": "class_name"})


def confusion_comparison_table(
    baseline: Predictions, predictions: Predictions, labels: LabelTable, classes: ClassList
) -> pa.Table:
    """One row per pair of classes that either of the two confuses; of very many, `CONFUSIONS_COMPARED`.

    Those that the most images fall under, in both methods together, are kept. Holm's correction counts all.
    """
    compared = compare_confusions(baseline, predictions, labels, classes)
    rows = [row._asdict() for row in _most_frequent(compared)]
    if len(rows) < len(compared):
        logger.info("%s: %d of %d confusions are in the table", predictions.method, len(rows), len(compared))
    renamed = {"true_id": "class_id", "true_name": "class_name", "predicted_id": "predicted"}
    return _against(baseline, predictions, rows, renamed)


def _most_frequent(compared: Sequence[ConfusionComparison]) -> list[ConfusionComparison]:
    by_frequency = sorted(range(len(compared)), key=lambda place: -(compared[place].n_baseline + compared[place].n))
    return [compared[place] for place in sorted(by_frequency[:CONFUSIONS_COMPARED])]


def text_table(texts: TextTable, classes: ClassList) -> pa.Table:
    """One row per text."""
    names = pa.array(classes.names, type=pa.string())
    class_ids = pa.array([row.class_id for row in texts], type=pa.int64())
    rival_ids = pa.array([row.rival_id for row in texts], type=pa.int64())
    return pa.table(
        {
            "text_id": pa.array(range(len(texts)), type=pa.int64()),
            "class_id": class_ids,
            "class_name": names.take(class_ids),
            "kind": pa.array([str(row.kind) for row in texts], type=pa.string()),
            "rival_name": names.take(rival_ids),
            "text": pa.array([row.text for row in texts], type=pa.string()),
            "phrase": pa.array([str(row.phrase) for row in texts], type=pa.string()),
            "source": pa.array([row.source for row in texts], type=pa.string()),
        }
    )


def rows_table(rows: list[dict[str, Any]]) -> pa.Table:
    """A small table from rows."""
    return pa.Table.from_pylist(rows)


def marked(table: pa.Table, predictions: Predictions) -> pa.Table:
    """Add the columns that say whose rows these are, and under which protocol they came about."""
    for name in ("method", "protocol"):
        table = table.append_column(name, pa.repeat(str(getattr(predictions, name)), len(table)))
    return table


def _against(
    baseline: Predictions, predictions: Predictions, rows: list[dict[str, Any]], renamed: Mapping[str, str]
) -> pa.Table:
    table = rows_table(rows)
    table = table.rename_columns([renamed.get(name, name) for name in table.column_names])
    return marked(table.append_column("baseline", pa.repeat(baseline.method, len(table))), predictions)


def _lists(matrix: np.ndarray) -> pa.ListArray:
    offsets = np.arange(0, matrix.size + 1, matrix.shape[1], dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(matrix.reshape(-1)))


_CLASS_SCHEMA = pa.schema(
    [
        ("class_id", pa.int64()),
        ("name", pa.string()),
        ("n", pa.int64()),
        ("recall", pa.float64()),
        ("precision", pa.float64()),
    ]
)
_CONFUSION_SCHEMA = pa.schema(
    [
        ("true_id", pa.int64()),
        ("predicted_id", pa.int64()),
        ("true_name", pa.string()),
        ("predicted_name", pa.string()),
        ("n", pa.int64()),
    ]
)
