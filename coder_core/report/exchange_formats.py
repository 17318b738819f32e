"""The metrics of a run in the files of other tools: a result of CLIP_benchmark, a task result of mteb.

Both hold one model on one data set, so a run becomes one file per method. What these formats have no place for (the
method, the run, intervals) stands beside the rest under names of ours: CLIP_benchmark's `build` makes columns of it,
and mteb keeps it among the scores. Formats: CLIP_benchmark 1.6 (its command line's output), mteb 2 (`TaskResult`).
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from coder_core.errors import ConfigError
from coder_core.results.schema import MetricRow, RunRow

ExchangeFormat = Literal["clip_benchmark", "mteb"]
TASK = "zeroshot_classification"
LANGUAGE = "en"
"""Of the prompts, as CLIP_benchmark names it; mteb says `eng-Latn`."""
MTEB_LANGUAGE = "eng-Latn"
FEWEST_FOR_TOP5 = 5
"""CLIP_benchmark gives no top-5 accuracy below so many classes (it writes NaN, which is no JSON; here it is null)."""
CONTROL = "control_"


class ExchangeFile(NamedTuple):
    """One file.

    Args:
        name: Its path below the folder that is asked for.
        content: JSON.
    """

    name: str
    content: str


def exchange_files(
    run_id: str,
    run: RunRow,
    metrics: Sequence[MetricRow],
    form: ExchangeFormat,
    *,
    methods: Sequence[str] = (),
    task: str | None = None,
) -> list[ExchangeFile]:
    """Write the metrics of a run, one file per method.

    Args:
        run_id: The run.
        run: Its row.
        metrics: Its metrics.
        form: Whose files.
        methods: Which; empty for all but controls.
        task: What mteb calls the data set (`DTDZeroShot`); default: the data set's name.

    Raises:
        ConfigError: The run has no metrics, or none of a method; names those that it has.
    """
    values = _by_method(metrics)
    known = [method for method in values if not method.startswith(CONTROL)]
    chosen = list(dict.fromkeys(methods)) or known
    absent = [method for method in chosen if method not in values]
    if absent or not chosen:
        problem = f"it has no metrics of {absent[0]!r}." if absent else "it has no metrics of zero-shot methods."
        remedy = f"It has: {', '.join(values)}." if values else "Few-shot numbers and unlabelled images have no place."
        raise ConfigError(problem, f"run {run_id}", remedy)
    if form == "clip_benchmark":
        return [
            ExchangeFile(f"{method}.json", _json(_clip_benchmark(run_id, run, method, values[method])))
            for method in chosen
        ]
    called = task or run.dataset
    name = f"{called.replace('/', '_')}.json"
    return [
        ExchangeFile(f"{method}/{name}", _json(_mteb(run_id, run, method, values[method], called))) for method in chosen
    ]


def _by_method(metrics: Sequence[MetricRow]) -> Mapping[str, Mapping[str, MetricRow]]:
    found: dict[str, dict[str, MetricRow]] = {}
    for row in metrics:
        found.setdefault(row.method, {})[row.metric] = row
    return found


def _clip_benchmark(run_id: str, run: RunRow, method: str, rows: Mapping[str, MetricRow]) -> dict[str, Any]:
    model, _, pretrained = run.encoder.partition("/")
    numbers = {
        "acc1": rows["top1"].value,
        "acc5": rows["top5"].value if run.class_count >= FEWEST_FOR_TOP5 else None,
        "mean_per_class_recall": rows["mean_per_class_accuracy"].value,
    }
    head = {"dataset": run.dataset, "model": model, "pretrained": pretrained, "task": TASK}
    return {**head, "metrics": numbers, "language": LANGUAGE, **_ours(run_id, method, rows)}


def _mteb(run_id: str, run: RunRow, method: str, rows: Mapping[str, MetricRow], task: str) -> dict[str, Any]:
    scores = {
        "main_score": rows["top1"].value,
        "accuracy": rows["top1"].value,
        "mean_per_class_accuracy": rows["mean_per_class_accuracy"].value,
        "hf_subset": "default",
        "languages": [MTEB_LANGUAGE],
        "model": run.encoder,
        **_ours(run_id, method, rows),
    }
    return {
        "dataset_revision": run.dataset_key,
        "task_name": task,
        "mteb_version": None,  # mteb has not computed it
        "scores": {"test": [scores]},
        "evaluation_time": (run.finished_at - run.started_at).total_seconds(),
        "kg_co2_emissions": None,
        "date": run.finished_at.timestamp(),
    }


def _ours(run_id: str, method: str, rows: Mapping[str, MetricRow]) -> dict[str, Any]:
    top1 = rows["top1"]
    return {"method": method, "n": top1.n, "acc1_ci_low": top1.ci_low, "acc1_ci_high": top1.ci_high, "run_id": run_id}


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
