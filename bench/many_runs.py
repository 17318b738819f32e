"""A question over hundreds of runs, before and after compaction: `python bench/many_runs.py [runs ...]` (200 and 1000).

Every run has 10 methods: 50 rows of metrics, 27 comparisons, 200 class metrics, timings and artifacts. Stores are on
disk, in a temporary folder. Times are the best of three, in a process that has asked before; opening the warehouse is
part of each. "Whole command" lines are from the shell's point of view. At the end every named view, about the latest
run of each evaluation and about one run.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

from coder_core.care.verifying import verify_store
from coder_core.results.result_tables import ResultTables
from coder_core.results.run_compaction import compact_results
from coder_core.results.schema import (
    TABLES,
    VIEWS,
    ArtifactRow,
    ClassMetricRow,
    ComparisonRow,
    MetricRow,
    RunRow,
    TimingRow,
)
from coder_core.results.warehouse import Warehouse
from coder_core.results.writing import RunWriter
from coder_core.storage.store import Store

ROOT = Path(__file__).parent.parent
SIZES = (200, 1_000)
METHODS = [f"method_{number}" for number in range(10)]
Result = TypeVar("Result")
METRICS = ("top1", "top5", "mean_per_class_accuracy", "expected_calibration_error", "negative_log_likelihood_top5")
QUESTION = (
    "SELECT dataset, encoder, method, count(*) AS runs, round(avg(value), 9) AS mean, max(value) AS best "
    "FROM metrics JOIN runs USING (run_id) WHERE metric = 'top1' GROUP BY ALL ORDER BY ALL"
)
ONE_RUN = "SELECT method, value FROM metrics WHERE run_id = 'run-00077' AND metric = 'top1' ORDER BY ALL"


def main() -> None:
    """Measure stores of several sizes."""
    for runs in [int(argument) for argument in sys.argv[1:]] or SIZES:
        with tempfile.TemporaryDirectory() as folder:
            measure(Store(str(Path(folder, "store"))), runs)


def measure(store: Store, runs: int) -> None:
    """Build a store of so many runs, ask it, compact it, and ask it again."""
    print(f"\n{runs} runs x {len(METHODS)} methods")
    show("build", timed(lambda: build(store, runs))[0], f"{len(store.list())} files")
    before, answers = best(lambda: ask(store))
    show("question before compaction", before)
    show("question about one run before", best(lambda: Warehouse(store).query(ONE_RUN))[0])
    show("latest run of an evaluation before", best(lambda: ResultTables(store).latest("evaluation-3"))[0])
    show("whole command before", best(lambda: command(store))[0])
    show("whole command, coder-eval runs", best(lambda: command(store, "runs"))[0])
    ask_views(store, "before")
    seconds, done = timed(lambda: compact_results(store, grace=timedelta(0)))
    show("compaction", seconds, f"{done.merged} runs into {done.files} files")
    show("removal of what it replaced", timed(lambda: compact_results(store, grace=timedelta(0)))[0])
    after, again = best(lambda: ask(store))
    assert again == answers
    assert verify_store(store).findings == ()
    show("question after compaction", after, f"{before / after:.1f} times faster; {len(store.list())} files")
    show("question about one run after", best(lambda: Warehouse(store).query(ONE_RUN))[0])
    show("latest run of an evaluation after", best(lambda: ResultTables(store).latest("evaluation-3"))[0])
    show("whole command after", best(lambda: command(store))[0])
    show("whole command, coder-eval runs", best(lambda: command(store, "runs"))[0])
    ask_views(store, "after")


def ask_views(store: Store, when: str) -> None:
    """Ask every named view."""
    for view in VIEWS.values():
        for condition in ("is_latest", "run_id = 'run-00077'") if view.says_latest else ("true",):
            seconds, result = best(partial(Warehouse(store).query, f"FROM {view.name} WHERE {condition}"))
            show(f"{view.name}, {condition.split(' ')[0]}, {when}", seconds, f"{len(result.rows)} rows")


def build(store: Store, runs: int) -> None:
    """Publish runs of ten evaluations."""
    for number in range(runs):
        with RunWriter(store, f"run-{number:05}") as writer:
            writer.append(MetricRow, metric_rows(number))
            writer.append(ComparisonRow, comparison_rows())
            writer.append(ClassMetricRow, class_rows())
            writer.append(
                TimingRow, [TimingRow(step=f"step {at}", seconds=0.5, rows=100, computed=10) for at in range(8)]
            )
            writer.append(ArtifactRow, [ArtifactRow(step=f"{at}", kind="k", key="0" * 64, rows=9) for at in range(8)])
            writer.publish(run_row(number), b'{"steps": []}')


def metric_rows(number: int) -> Iterator[MetricRow]:
    """Rows whose values differ between runs."""
    for place, method in enumerate(METHODS):
        for metric in METRICS:
            value = (number * 31 + place * 7) % 1_000 / 1_000
            yield MetricRow(
                method=method, metric=metric, value=value, n=1_000, ci_low=0.1, ci_high=0.9, protocol="honest"
            )


def comparison_rows() -> Iterator[ComparisonRow]:
    """Nine methods against the first, by three metrics."""
    rest = {"difference": 0.1, "n": 1_000, "ci_low": 0.0, "ci_high": 0.2, "gained": 9, "lost": 3, "protocol": "honest"}
    for method in METHODS[1:]:
        yield from (ComparisonRow(method=method, baseline=METHODS[0], metric=metric, **rest) for metric in METRICS[:3])


def class_rows() -> Iterator[ClassMetricRow]:
    """Twenty classes for every method."""
    for method in METHODS:
        for at in range(20):
            yield ClassMetricRow(
                method=method, class_id=at, class_name=f"class {at}", n=50, recall=0.5, protocol="honest"
            )


def run_row(number: int) -> RunRow:
    """A run of one of ten evaluations."""
    started_at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number)
    columns = TABLES["runs"].columns
    counts = {column.name: 100 for column in columns if column.type == "BIGINT"}
    keys = {column.name: "0" * 64 for column in columns if column.name.endswith("_key")}
    return RunRow(
        name=f"evaluation-{number % 10}",
        spec_json="{}",
        started_at=started_at,
        finished_at=started_at + timedelta(seconds=40),
        encoder=f"encoder {number % 3}",
        dataset=f"data set {number % 4}",
        device="cpu",
        code_version="0.2.0",
        engine="inline",
        best_method=METHODS[3],
        best_top1=0.5,
        **{**counts, **keys},
    )


def ask(store: Store) -> list[tuple[object, ...]]:
    """Ask the question of a new warehouse."""
    return Warehouse(store).query(QUESTION).rows


def command(store: Store, *typed: str) -> None:
    """Ask the question, or another one, on the command line."""
    program = [sys.executable, "-c", "from flows.cli import main; main()"]
    arguments = [*program, *(typed or ("query", QUESTION)), "--store", store.root]
    subprocess.run(arguments, check=True, capture_output=True, cwd=ROOT)  # noqa: S603 (our own program)


def timed(work: Callable[[], Result]) -> tuple[float, Result]:
    """Seconds, and what was returned."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def best(work: Callable[[], Result]) -> tuple[float, Result]:
    """The shortest of three times."""
    return min((timed(work) for _ in range(3)), key=lambda found: found[0])


def show(what: str, seconds: float, remark: str = "") -> None:
    """Print one line."""
    print(f"  {what:44} {seconds:8.3f} s   {remark}")


if __name__ == "__main__":
    main()
