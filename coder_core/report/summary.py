"""The result of a run as a person reads it, on a terminal and on Prefect's page."""

from collections.abc import Iterable
from typing import IO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from coder_core.atg.generation_report import GenerationReport
from coder_core.steps.results import EvalResult, Metric

HEADINGS = {"top1": "top-1", "top5": "top-5", "mean_per_class_accuracy": "mean per class"}


def metric_rows(result: EvalResult) -> list[dict[str, str | float | int]]:
    """The metrics as plain rows."""
    return [metric.model_dump() for metric in result.metrics]


def generation_rows(report: GenerationReport) -> list[dict[str, str | int]]:
    """What became of the questions to the language model: counts by kind, then what failed and why."""
    rows: list[dict[str, str | int]] = [{**count.model_dump(mode="json"), "class": "all"} for count in report.counts]
    rows += [{"kind": str(text.kind), "class": text.class_name, "failed": text.reason} for text in report.failed]
    return rows


def print_summary(result: EvalResult, stream: IO[str], *, program: str = "coder-eval") -> None:
    """Print the table of methods and metrics, what the run cost, and what to type next.

    Args:
        result: What the run found.
        stream: Where to.
        program: How the reader calls the command line.
    """
    console = Console(file=stream, highlight=False, soft_wrap=True)
    console.print(_metrics_table(result))
    for line in cost_lines(result):
        console.print(line, markup=False)
    console.print("\nNext:", markup=False)
    for line in next_commands(result, program):
        console.print(f"  {line}", markup=False)


def cost_lines(result: EvalResult) -> list[str]:
    """What was embedded and what was found in the store."""
    lines = [
        f"embedded {result.texts_embedded} texts ({result.texts_reused} were in the store) "
        f"and {result.images_embedded} images ({result.images_reused} were in the store)",
    ]
    if result.images_quarantined:
        lines.append(f"left out {result.images_quarantined} images that cannot be read: table `quarantine`")
    return [*lines, f"run {result.run_id} in {result.seconds:.1f} s, store {result.store}"]


def next_commands(result: EvalResult, program: str) -> list[str]:
    """Three commands that lead on."""
    best = max((metric for metric in result.metrics if metric.metric == "top1"), key=lambda metric: metric.value)
    store = "" if result.store == "./store" else f" --store {result.store}"
    confused = (
        "SELECT class_name, predicted_name, count FROM confusions "  # noqa: S608 - shown, and run by its reader
        f"WHERE run_id = '{result.run_id}' AND method = '{best.method}' ORDER BY count DESC LIMIT 10"
    )
    costs = "SELECT name, started_at, images_embedded, texts_embedded FROM runs ORDER BY 2"
    return [
        f'{program} query "{confused}"{store}',
        f'{program} query "{costs}"{store}',
        f"{program} tables{store}",
    ]


def _metrics_table(result: EvalResult) -> Table:
    title = f"{result.name}: {result.image_count} images of {result.class_count} classes, percent [95 % interval]"
    table = Table(title=Text(title), title_justify="left")
    table.add_column("method")
    metrics = list(dict.fromkeys(metric.metric for metric in result.metrics))
    for metric in metrics:
        table.add_column(Text(HEADINGS.get(metric, metric)), justify="right")
    for method in dict.fromkeys(metric.method for metric in result.metrics):
        cells = _cells((found for found in result.metrics if found.method == method), metrics)
        table.add_row(Text(method), *cells)
    return table


def _cells(found: Iterable[Metric], metrics: list[str]) -> list[Text]:
    by_name = {metric.metric: metric for metric in found}
    return [_cell(by_name[name]) for name in metrics]


def _cell(metric: Metric) -> Text:
    return Text(f"{100 * metric.value:.1f} [{100 * metric.ci_low:.1f}, {100 * metric.ci_high:.1f}]")
