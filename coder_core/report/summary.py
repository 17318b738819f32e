"""The result of a run as a person reads it, on a terminal and on Prefect's page."""

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from statistics import fmean
from typing import IO, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from coder_core.atg.generation_report import GenerationReport
from coder_core.counted import counted
from coder_core.evaluation.intervals import Interval
from coder_core.evaluation.predictions import HONEST
from coder_core.evaluation.tiers import tiers_of
from coder_core.input_contract import ContractColumns, InputContract
from coder_core.pipeline.eval_result import EvalResult
from coder_core.results.render import printable
from coder_core.results.schema import ComparisonRow, FewShotSummaryRow, MetricRow

CONTROL = "control_"
"""Before the name of a control, where it stands among the methods."""

HEADINGS = {"top1": "top-1", "top5": "top-5", "mean_per_class_accuracy": "mean per class"}
"""The accuracies, which the first table shows; all other metrics have their own units."""

CONTRACT = tuple(InputContract().columns())
"""The columns that say what a method has read."""

CALIBRATION = {"expected_calibration_error": "calibration error", "negative_log_likelihood": "-log likelihood"}


NO_INTERVAL = "[-]"
"""In the place of an interval that nothing can be said about."""

ROOMY = 100
"""Columns from which on a table has room for lines between its columns."""

NARROW = 80
"""Columns below which a table is as wide as here: broken lines can still be read, broken numbers cannot."""

FILE_WIDTH = 120
"""Columns where the output is no terminal."""


def headline(result: EvalResult) -> str:
    """The result in one line: the best method that is no control, CODER where it was run, with its interval."""
    top1 = {metric.method: metric for metric in result.metrics if metric.metric == "top1"}
    honest = [metric for name, metric in top1.items() if not name.startswith(CONTROL) and metric.protocol == HONEST]
    shown = top1.get("coder") or max(honest, key=lambda metric: metric.value, default=None)
    if shown is not None:
        share, _, interval = str(_cell(shown)).partition(" ")
        return f"{shown.method} {share} %{f' {interval}' if interval else ''}"
    if result.few_shot:
        best = max(result.few_shot, key=lambda row: row.top1)
        return f"{best.method} {100 * best.top1:.1f} % ({counted(best.shots, 'shot')})"
    return f"{counted(result.image_count, 'image')} of {counted(result.class_count, 'class')}"


def wide_metric_rows(result: EvalResult) -> list[dict[str, str | float]]:
    """A row per method, as on the terminal: percents with intervals, the difference to the baseline with its p."""
    differences = {row.method: row for row in result.comparisons if row.metric == "top1"}
    rows: list[dict[str, str | float]] = []
    for method, _ in _methods(result):
        by_name = {metric.metric: metric for metric in result.metrics if metric.method == method}
        row: dict[str, str | float] = {"method": str(_name(method, by_name["top1"].protocol))}
        row |= {f"{heading} %": str(_cell(by_name[name])) for name, heading in HEADINGS.items()}
        if result.comparisons:
            compared = differences.get(method)
            points, p = _difference(compared)
            row |= {"top-1 against": compared.baseline if compared else "", "points": str(points), "p (Holm)": p}
        row |= {heading: round(by_name[name].value, 3) for name, heading in CALIBRATION.items()}
        rows.append(row)
    return rows


def few_shot_rows(result: EvalResult) -> list[dict[str, str]]:
    """A row per few-shot method, as on the terminal: percents by shots, mean and deviation over draws; calibration."""
    by_method: dict[str, list[FewShotSummaryRow]] = {}
    for row in result.few_shot:
        by_method.setdefault(row.method, []).append(row)
    return [
        {"method": method}
        | {f"{_shots(row.shots)} %": _mean(row) for row in rows}
        | {f"{_shots(row.shots)}, calibration error": calibration_change(row) for row in rows if _is_measured(row)}
        for method, rows in by_method.items()
    ]


def calibration_change(row: FewShotSummaryRow) -> str:
    """The calibration error before and after a temperature; one number where none was chosen, or in older runs none."""
    before, after = row.expected_calibration_error_uncalibrated, row.expected_calibration_error
    if before is None or after is None:
        return ""
    return f"{after:.3f}" if row.calibrated_on == "none" else f"{before:.3f}→{after:.3f}"


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
    # No colours: a terminal is given printable text only (coder_core/printable_text.py), and would show their codes.
    console = Console(file=stream, highlight=False, color_system=None, width=None if stream.isatty() else FILE_WIDTH)
    console.width = max(console.width, NARROW)
    is_narrow = console.width < ROOMY
    if result.metrics:
        console.print(_metrics_table(result, is_narrow=is_narrow))
        console.print(_details_table(result, is_narrow=is_narrow))
    if any(metric.method.startswith(CONTROL) for metric in result.metrics):
        console.print(
            "controls: CODER on texts that lost their meaning, or the name; what would ensembling alone give?"
        )
        for line in control_lines(result):
            console.print(line, markup=False, soft_wrap=True)
    if result.few_shot:
        console.print(_few_shot_table(result, is_narrow=is_narrow))
        if any(map(_is_measured, result.few_shot)):
            console.print(_few_shot_calibration_table(result, is_narrow=is_narrow))
    contracts = contracts_of(result)
    if contracts:
        console.print(_contracts_table(contracts, is_narrow=is_narrow))
    lines = [*cost_lines(result), "", "Next:", *(f"  {line}" for line in next_commands(result, program))]
    for line in lines:  # whole, so that they can be copied, however narrow the terminal is
        console.print(line, markup=False, soft_wrap=True)


def control_lines(result: EvalResult) -> list[str]:
    """Every control against the method that it controls, in points of top-1 accuracy."""
    rows = [row for row in result.comparisons if row.metric == "top1" and row.controls == row.baseline]
    found = []
    for row in rows:
        difference, p_value = _difference(row)
        found.append(f"  {row.method} against {row.baseline}: {difference} points, p (Holm, controls alone) {p_value}")
    return found


def contracts_of(result: EvalResult) -> dict[str, ContractColumns]:
    """What every method has read, few-shot methods too; without those of older runs, which do not say."""
    all_rows: list[MetricRow | FewShotSummaryRow] = [*result.metrics, *result.few_shot]
    rows = {row.method: row for row in all_rows if row.reads_labels is not None}
    return {method: {name: getattr(row, name) for name in CONTRACT} for method, row in rows.items()}


def cost_lines(result: EvalResult) -> list[str]:
    """What was embedded, what was found in the store, and what was left out."""
    lines = [
        f"embedded {counted(result.texts_embedded, 'text')} ({result.texts_reused} were in the store) "
        f"and {counted(result.images_embedded, 'image')} ({result.images_reused} were in the store)",
    ]
    if result.images_quarantined:
        lines.append(f"left out {counted(result.images_quarantined, 'image')} that cannot be read: table `quarantine`")
    if result.images_ignored:
        ignored = counted(result.images_ignored, "file that is no image", "files that are no images")
        lines.append(f"ignored {ignored}: table `ignored`")
    rows: list[MetricRow | ComparisonRow] = [*result.metrics, *result.comparisons]
    if any(row.ci_low is None and row.metric in HEADINGS for row in rows):
        lines.append(f"{NO_INTERVAL}: no interval, for all images redrawn are alike: right, or wrong, class by class")
    lines += [f"note: {printable(note)}" for note in result.notes]
    return [*lines, f"run {result.run_id} in {result.seconds:.1f} s, store {result.store}"]


def next_commands(result: EvalResult, program: str) -> list[str]:
    """Commands that lead on."""
    top1 = [metric for metric in result.metrics if metric.metric == "top1" and not metric.method.startswith(CONTROL)]
    store = "" if result.store == "./store" else f" --store {result.store}"
    if not top1:
        own = f"WHERE run_id = '{result.run_id}' ORDER BY shots, top1"
        told = f"SELECT method, shots, top1, top1_std FROM few_shot_summary {own}"  # noqa: S608 - as below
        return [f'{program} query "{told}"{store}', f"{program} tables{store}"]
    best = max(top1, key=lambda metric: metric.value)
    confused = (
        "SELECT class_name, predicted_name, count FROM confusions "  # noqa: S608 - shown, and run by its reader
        f"WHERE run_id = '{result.run_id}' AND method = '{best.method}' ORDER BY count DESC LIMIT 10"
    )
    costs = "SELECT name, started_at, images_embedded, texts_embedded FROM runs ORDER BY 2"
    plot = [f"{program} ablation {result.run_id} --plot ablation.svg{store}"] if result.has_ablation else []
    return [
        *plot,
        f'{program} query "{confused}"{store}',
        f'{program} query "{costs}"{store}',
        f"{program} tables{store}",
    ]


def _metrics_table(result: EvalResult, *, is_narrow: bool) -> Table:
    images, classes = counted(result.image_count, "image"), counted(result.class_count, "class")
    title = f"{result.name}: {images} of {classes}, percent [95 % interval]"
    table = _table(title, dict.fromkeys(HEADINGS.values(), "100.0 [99.9, 100.0]"), is_narrow=is_narrow)
    for method, is_last in _methods(result):
        by_name = {metric.metric: metric for metric in result.metrics if metric.method == method}
        cells = [_cell(by_name[name]) if name in by_name else "" for name in HEADINGS]
        table.add_row(_name(method, by_name["top1"].protocol), *cells, end_section=is_last)
    return table


def _details_table(result: EvalResult, *, is_narrow: bool) -> Table:
    """What stands behind the accuracies: is the difference to the baseline chance, are the probabilities true?"""
    against = sorted({row.baseline for row in result.comparisons if row.controls is None})
    tiers = tiers_of({row.method: _with_interval(row) for row in result.metrics if row.metric == "top1"})
    compared = (
        {f"top-1 against {', '.join(against)}": "+10.0 [+10.0, +10.0]", "p (Holm)": "< 1e-300"} if against else {}
    )
    measured = dict.fromkeys(CALIBRATION.values(), "10.000")
    table = _table("", {"tier": "10"} | compared | measured, is_narrow=is_narrow)
    differences = {row.method: row for row in result.comparisons if row.metric == "top1" and row.baseline in against}
    for method, is_last in _methods(result):
        by_name = {metric.metric: metric for metric in result.metrics if metric.method == method}
        cells = [f"{by_name[name].value:.3f}" if name in by_name else "" for name in CALIBRATION]  # (older runs)
        difference = _difference(differences.get(method)) if against else ()
        table.add_row(Text(method), str(tiers[method]), *difference, *cells, end_section=is_last)
    return table


def _few_shot_table(result: EvalResult, *, is_narrow: bool) -> Table:
    shots = list(dict.fromkeys(row.shots for row in result.few_shot))
    draws = max(row.draws for row in result.few_shot)
    title = f"few-shot: top-1 percent, mean ± standard deviation over {counted(draws, 'draw')}"
    table = _table(title, dict.fromkeys(map(_shots, shots), "10.0 ± 1.0"), is_narrow=is_narrow)
    by_place = {(row.method, row.shots): row for row in result.few_shot}
    for method in dict.fromkeys(row.method for row in result.few_shot):
        rows = [by_place[method, number] for number in shots]
        table.add_row(Text(method), *map(_mean, rows))
    return table


def _few_shot_calibration_table(result: EvalResult, *, is_narrow: bool) -> Table:
    """Are the probabilities of few-shot methods true, before and after a temperature, and what would chance show?"""
    by_method: dict[str, dict[int, FewShotSummaryRow]] = {}
    for row in filter(_is_measured, result.few_shot):
        by_method.setdefault(row.method, {})[row.shots] = row
    shots = list(dict.fromkeys(row.shots for row in result.few_shot))
    sources = {method: {row.calibrated_on or "" for row in rows.values()} for method, rows in by_method.items()}
    alike = set.union(*sources.values())
    chosen = f"on {alike.pop()}" if len(alike) == 1 else "as in the table few_shot_summary"
    title = f"few-shot: calibration error before→after a temperature ({chosen}); by chance: of true probabilities"
    table = _table(
        title, dict.fromkeys(map(_shots, shots), "0.100→0.100") | {"by chance": "0.100"}, is_narrow=is_narrow
    )
    for method, rows in by_method.items():
        cells = [calibration_change(rows[number]) if number in rows else "" for number in shots]
        chances = [row.expected_calibration_error_by_chance or 0.0 for row in rows.values()]
        table.add_row(Text(method), *cells, f"{fmean(chances):.3f}")
    return table


def _is_measured(row: FewShotSummaryRow) -> bool:
    """Whether its calibration was measured: older runs did not."""
    return row.expected_calibration_error is not None


def _shots(number: int) -> str:
    return f"{number} shot" + "s" * (number > 1)


def _mean(row: FewShotSummaryRow) -> str:
    return f"{100 * row.top1:.1f} ± {100 * (row.top1_std or 0):.1f}"


def _contracts_table(contracts: Mapping[str, ContractColumns], *, is_narrow: bool) -> Table:
    """What every method has read: two accuracies can be compared only by who knows that."""
    longest = {"labels": "support+validation", "other images": "yes", "assumes balance": "yes"}
    table = _table("what each method has read", longest, is_narrow=is_narrow)
    table.add_column("texts", overflow="fold")
    for method, columns in contracts.items():
        cells = ("yes" if value is True else "no" if value is False else value for value in columns.values())
        table.add_row(Text(method), *(Text(str(cell)) for cell in cells))
    return table


def _difference(row: ComparisonRow | None) -> tuple[Text, str]:
    if row is None:
        return Text(""), ""
    points = f"{100 * row.difference:+.1f} {_interval(row, '+.1f')}"
    return Text(points), "" if row.p_holm is None else f"{row.p_holm:.2g}" if row.p_holm else "< 1e-300"


def _with_interval(row: MetricRow) -> tuple[float, Interval]:
    """The value and its interval; without one, of no width."""
    low, high = row.value if row.ci_low is None else row.ci_low, row.value if row.ci_high is None else row.ci_high
    return row.value, Interval(low, high)


def _methods(result: EvalResult) -> Iterator[tuple[str, bool]]:
    """Methods in order, and whether a line is drawn below: controls stand apart."""
    methods = list(dict.fromkeys(metric.method for metric in result.metrics))
    for method, following in zip_longest(methods, methods[1:], fillvalue=""):
        yield method, following.startswith(CONTROL) and not method.startswith(CONTROL)


def _table(title: str, headings: Mapping[str, str], *, is_narrow: bool) -> Table:
    """A table whose numbers never break: on a narrow terminal lines, headings and names of methods give way.

    Args:
        title: Above it.
        headings: Heading -> as long a cell as there is.
        is_narrow: Whether there is no room for lines between columns.
    """
    own: dict[str, Any] = {"box": SIMPLE_HEAD, "padding": (0, 0)} if is_narrow else {}
    table = Table(title=Text(title) if title else None, title_justify="left", **own)
    table.add_column("method", overflow="fold")
    for heading, longest in headings.items():
        width = max(map(len, (longest, *heading.split()))) if is_narrow else None
        table.add_column(Text(heading), justify="right", width=width)
    return table


def _name(method: str, protocol: str) -> Text:
    return Text(method if protocol == HONEST else f"{method} ({protocol} protocol, for comparison only)")


def _cell(metric: MetricRow) -> Text:
    return Text(f"{100 * metric.value:.1f} {_interval(metric, '.1f')}")


def _interval(row: MetricRow | ComparisonRow, form: str) -> str:
    if row.ci_low is None or row.ci_high is None:
        return NO_INTERVAL
    return f"[{100 * row.ci_low:{form}}, {100 * row.ci_high:{form}}]"
