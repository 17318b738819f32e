"""A run in pictures: accuracy with its interval, few-shot means, and where the time went.

Bars for few things that are compared, lines for what has an order. Names are data: nothing in them is read as
mathematics.
"""

from collections.abc import Sequence

from matplotlib.figure import Figure

from coder_core.pipeline.eval_result import EvalResult
from coder_core.report.svg import to_svg
from coder_core.report.timeline import StepTime
from coder_core.results.render import printable
from coder_core.results.schema import FewShotSummaryRow

WIDTH_INCHES, BAR_INCHES, FRAME_INCHES = 8.0, 0.3, 1.2


def plot_accuracy(result: EvalResult) -> bytes:
    """Draw top-1 accuracy of every method (percent) with its 95 % interval; the first method stands on top.

    Returns:
        An SVG document; the same result gives the same bytes.
    """
    rows = [metric for metric in result.metrics if metric.metric == "top1"][::-1]
    values = [100 * row.value for row in rows]
    below = [100 * max(row.value - (row.value if row.ci_low is None else row.ci_low), 0.0) for row in rows]
    above = [100 * max((row.value if row.ci_high is None else row.ci_high) - row.value, 0.0) for row in rows]
    figure = _bar_figure([row.method for row in rows], values, errors=[below, above])
    (axes,) = figure.axes
    axes.set_xlim(0, 100)
    axes.set_xlabel("top-1 accuracy, percent, with 95 % interval")
    axes.set_title(printable(result.name), parse_math=False)
    return to_svg(figure)


def plot_step_times(steps: Sequence[StepTime]) -> bytes:
    """Draw the seconds of every step; the first step stands on top.

    Returns:
        An SVG document.
    """
    last_first = list(steps)[::-1]
    figure = _bar_figure([f"{step.step} ({step.origin})" for step in last_first], [step.seconds for step in last_first])
    figure.axes[0].set_xlabel("seconds in this run")
    return to_svg(figure)


def plot_few_shot(rows: Sequence[FewShotSummaryRow]) -> bytes:
    """Draw top-1 accuracy (percent, mean and standard deviation over draws) against images per class.

    Returns:
        An SVG document.
    """
    figure = Figure(figsize=(WIDTH_INCHES, 5.0), layout="constrained")
    axes = figure.add_subplot()
    for method in dict.fromkeys(row.method for row in rows):
        points = sorted((row for row in rows if row.method == method), key=lambda row: row.shots)
        spread = [100 * (point.top1_std or 0.0) for point in points]
        shots, means = [point.shots for point in points], [100 * point.top1 for point in points]
        axes.errorbar(shots, means, yerr=spread, fmt="o-", mfc="none", capsize=3, label=method)
    axes.set_xscale("log", base=2)
    axes.set_xlabel("support images per class")
    axes.set_ylabel("top-1 accuracy, percent")
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    return to_svg(figure)


def _bar_figure(
    names: Sequence[str], values: Sequence[float], *, errors: Sequence[Sequence[float]] | None = None
) -> Figure:
    figure = Figure(figsize=(WIDTH_INCHES, FRAME_INCHES + BAR_INCHES * len(names)), layout="constrained")
    axes = figure.add_subplot()
    places = range(len(names))
    axes.barh(places, values, xerr=errors, capsize=3, color="#4878a8")
    axes.set_yticks(places, [printable(name) for name in names], parse_math=False)
    axes.grid(visible=True, axis="x", alpha=0.3)
    return figure
