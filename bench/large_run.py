"""Every named view over one large run, and the file of its warehouse: `python bench/large_run.py`.

1,000 classes, 50,000 images, 6 methods: 300,000 predictions, 6,000 class metrics, and the confusions that follow from
them. Answers are drawn at random (seed 0): right in 60 %, else one of 20 neighbours of the class. Times are in a
process that has asked before; memory is the most that each of the two processes has taken, the file's writer being the
one that asks.
"""

import resource
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from coder_core.results.query_limits import QueryLimits
from coder_core.results.query_process import SPARE
from coder_core.results.schema import (
    TABLES,
    VIEWS,
    ClassComparisonRow,
    ClassMetricRow,
    ConfusionRow,
    PredictionRow,
    RunRow,
)
from coder_core.results.warehouse import Warehouse
from coder_core.results.writing import RunWriter
from coder_core.storage.store import Store

Result = TypeVar("Result")
CLASSES, IMAGES = 1_000, 50_000
METHODS = ("clip", "clip_ensemble", "vcd", "coder", "coder_rerank", "control_waffle")
NAMES = [f"class {at} <b>&\"'\u202e" for at in range(CLASSES)]


def main() -> None:
    """Measure."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(str(Path(folder, "store")))
        show("write the run", timed(lambda: build(store))[0])
        warehouse = Warehouse(store, QueryLimits(rows=1_000_000))
        for view in VIEWS.values():
            seconds, counted = timed(partial(warehouse.query, f"SELECT count(*) FROM {view.name}"))
            cut = "WHERE rank <= 10" if any(column.name == "rank" for column in view.columns) else ""
            rows, result = timed(partial(warehouse.query, f"FROM {view.name} {cut} LIMIT 100"))
            show(view.name, seconds, f"{counted.rows[0][0]} rows; the first {len(result.rows)} of them in {rows:.2f} s")
        path = Path(folder, "results.duckdb")
        seconds, written = timed(lambda: warehouse.export(path))
        show("warehouse --output", seconds, f"{sum(written.rows.values())} rows, {path.stat().st_size / 1e6:.1f} MB")
    SPARE.clear()  # what a process has taken is known when it has ended
    child, own = (resource.getrusage(who).ru_maxrss / 1e6 for who in (resource.RUSAGE_CHILDREN, resource.RUSAGE_SELF))
    print(f"most memory: {own:.2f} GB here, {child:.2f} GB in the engine's process")


def build(store: Store) -> None:
    """Publish one run."""
    chance = np.random.default_rng(0)
    labels = np.repeat(np.arange(CLASSES), IMAGES // CLASSES)
    with RunWriter(store, "large-1") as writer:
        for method in METHODS:
            rivals = (labels + chance.integers(1, 21, IMAGES)) % CLASSES
            said = np.where(chance.random(IMAGES) < 0.6, labels, rivals)
            writer.append(PredictionRow, prediction_rows(method, labels, said))
            writer.append(ClassMetricRow, class_rows(method, labels, said))
            writer.append(ConfusionRow, confusion_rows(method, labels, said))
            writer.append(ClassComparisonRow, comparison_rows(method))
        columns = TABLES["runs"].columns
        values = {"BIGINT": 1, "VARCHAR": "x", "DOUBLE": 0.5, "TIMESTAMP": datetime(2026, 1, 1, tzinfo=UTC)}
        writer.publish(RunRow(**{column.name: values[column.type] for column in columns[1:]}), b"{}")


def prediction_rows(method: str, labels: np.ndarray, said: np.ndarray) -> list[PredictionRow]:
    """A row per image."""
    pairs = zip(labels.tolist(), said.tolist(), strict=True)
    return [
        PredictionRow(
            method=method,
            image_id=f"{label:04}/{at:06}.jpg",
            label=label,
            label_name=NAMES[label],
            predicted=predicted,
            predicted_name=NAMES[predicted],
            probability=0.5,
            is_correct=label == predicted,
            top5=[predicted],
            protocol="honest",
            location=f"/data/images/{label:04}/{at:06}.jpg",
        )
        for at, (label, predicted) in enumerate(pairs)
    ]


def class_rows(method: str, labels: np.ndarray, said: np.ndarray) -> list[ClassMetricRow]:
    """A row per class."""
    n = np.bincount(labels, minlength=CLASSES)
    hits = np.bincount(labels[labels == said], minlength=CLASSES)
    rest = {"method": method, "protocol": "honest"}
    return [
        ClassMetricRow(class_id=at, class_name=NAMES[at], n=int(n[at]), recall=float(hits[at] / n[at]), **rest)
        for at in range(CLASSES)
    ]


def confusion_rows(method: str, labels: np.ndarray, said: np.ndarray) -> list[ConfusionRow]:
    """A row per pair."""
    rest = {"method": method, "protocol": "honest"}
    counts = Counter(zip(labels.tolist(), said.tolist(), strict=True))
    return [
        ConfusionRow(
            class_id=label, class_name=NAMES[label], predicted=other, predicted_name=NAMES[other], count=count, **rest
        )
        for (label, other), count in counts.items()
        if label != other
    ]


def comparison_rows(method: str) -> list[ClassComparisonRow]:
    """A row per class."""
    numbers = {"n": 50, "recall_baseline": 0.5, "recall": 0.6, "gained": 9, "lost": 4, "p_value": 0.3, "p_holm": 1.0}
    rest = {"method": method, "baseline": "clip", "protocol": "honest", **numbers}
    return [ClassComparisonRow(class_id=at, class_name=NAMES[at], **rest) for at in range(CLASSES)]


def timed(work: Callable[[], Result]) -> tuple[float, Result]:
    """Seconds, and what was returned."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def show(what: str, seconds: float, remark: str = "") -> None:
    """Print one line."""
    print(f"  {what:28} {seconds:8.2f} s   {remark}")


if __name__ == "__main__":
    main()
