"""What the result tables say about one run. What cannot be read is said, and does not stop the report."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from coder_core.errors import CoderError
from coder_core.evaluation.predictions import HONEST
from coder_core.pipeline.run_manifest import RunManifest, decode_run_manifest
from coder_core.report.html.answers import Answers, read_answers
from coder_core.report.html.shown_text import clean
from coder_core.report.summary import CONTROL
from coder_core.results.arrow_rows import arrow_schema
from coder_core.results.result_tables import ResultTables
from coder_core.results.schema import (
    AblationRow,
    ComparisonRow,
    FewShotSummaryRow,
    GenerationRow,
    MetricRow,
    QuarantineRow,
    ReliabilityRow,
    RerankRow,
    RunRow,
    TimingRow,
    TransductionRow,
)
from coder_core.storage.store import Store

_Found = TypeVar("_Found")
SMALL: tuple[type[Any], ...] = (
    MetricRow,
    ComparisonRow,
    ReliabilityRow,
    FewShotSummaryRow,
    AblationRow,
    TimingRow,
    TransductionRow,
    RerankRow,
    GenerationRow,
    QuarantineRow,
)
"""Tables that are read as rows."""
LARGE = ("class_metrics", "class_comparisons", "confusions", "confusion_comparisons", "texts", "ignored")
"""Tables that stay in columns."""


@dataclass(frozen=True)
class RunFacts:
    """Everything that a report says about a run, before it is worded.

    Attributes:
        run_id: The run.
        run: Its row of `runs`.
        manifest: What it was made of; None where it wrote none.
        rows: Small tables, by class of row.
        tables: Large ones, by name.
        answers: What every method said about every image.
        missing: What could not be read, one line each.
    """

    run_id: str
    run: RunRow
    manifest: RunManifest | None
    rows: dict[type[Any], list[Any]]
    tables: dict[str, pa.Table]
    answers: Answers
    missing: tuple[str, ...]

    def of(self, row_class: type[_Found]) -> list[_Found]:
        """The rows of a small table."""
        return self.rows[row_class]

    @cached_property
    def top1(self) -> dict[str, MetricRow]:
        """Top-1 accuracy by method, in the order of the run."""
        return {row.method: row for row in self.of(MetricRow) if row.metric == "top1"}

    @cached_property
    def best(self) -> str | None:
        """The best method that is no control and that reads no label of the test; None without any."""
        own = [row for row in self.top1.values() if not is_control(row.method) and row.protocol in (HONEST, None)]
        return max(own, key=lambda row: row.value).method if own else None

    @cached_property
    def baseline(self) -> str | None:
        """What the other methods are compared with."""
        return next((row.baseline for row in self.of(ComparisonRow) if row.controls is None), None)

    @cached_property
    def class_names(self) -> list[str]:
        """Names by class id; a class that no table names is its number."""
        names: dict[int, str] = dict(self.answers.class_names)
        measured = self.tables["class_metrics"]
        names |= dict(zip(*(measured.column(one).to_pylist() for one in ("class_id", "class_name")), strict=True))
        count = max([self.run.class_count or 0, *(class_id + 1 for class_id in names)])
        return [names.get(class_id, f"class {class_id}") for class_id in range(count)]


def is_control(method: str) -> bool:
    """Whether a method is a control."""
    return method.startswith(CONTROL)


def read_run_facts(store: Store, run_id: str) -> RunFacts:
    """Read what the tables hold of a published run.

    Raises:
        StoreError: There is no such run, or its row of `runs` cannot be read.
    """
    tables, missing = ResultTables(store), list[str]()
    (run,) = tables.read_rows(RunRow, run_id)

    def read(name: str, reading: Callable[[], _Found], empty: Callable[[], _Found]) -> _Found:
        try:
            return reading()
        except CoderError as error:
            missing.append(clean(f"{name}: {error}"))
            return empty()

    def rows_of(one: type[Any]) -> list[Any]:
        return read(one.__name__, lambda: tables.read_rows(one, run_id), list)

    def table_of(name: str) -> pa.Table:
        return read(name, lambda: tables.read(name, run_id), lambda: arrow_schema(name).empty_table())

    manifest: RunManifest | None = read(
        "manifest", lambda: decode_run_manifest(tables.read_manifest(run_id), run_id=run_id), lambda: None
    )
    predictions = read("predictions", lambda: tables.read("predictions", run_id), lambda: None)
    return RunFacts(
        run_id=run_id,
        run=run,
        manifest=manifest,
        rows={one: rows_of(one) for one in SMALL},
        tables={name: table_of(name) for name in LARGE},
        answers=read_answers(predictions),
        missing=tuple(missing),
    )


def finite(values: pa.ChunkedArray) -> np.ndarray:
    """A column of numbers, NaN where it says nothing."""
    return np.asarray(values.cast(pa.float64()).to_numpy(), dtype=np.float64)
