"""The text ablation as a picture: accuracy against texts per class, one line per choice of kinds.

Drawn with matplotlib's objects, without its global state, as SVG whose bytes depend on the rows alone. Names are data:
nothing in them is read as mathematics.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from itertools import cycle

from matplotlib.figure import Figure

from coder_core.evaluation.ablation import AblationRow, AblationSummary, summarise_draws
from coder_core.report.svg import to_svg
from coder_core.results.render import printable

__all__ = ["plot_ablation"]

SIZE_INCHES = (8.0, 5.0)
STYLES = ("o-", "s--", "^:", "D-.", "v-")
"""Marker and line of one choice of kinds after the other: where two lines lie on each other, both are seen."""


def plot_ablation(rows: Sequence[AblationRow], *, title: str) -> bytes:
    """Draw top-1 accuracy (percent, mean and standard deviation over draws) against descriptive texts per class.

    Args:
        rows: Of an ablation. Texts per class are those that there really were, on average; a single draw has no bar.
        title: Stands above, as it is.

    Returns:
        An SVG document; the same rows give the same bytes.
    """
    lines: dict[str, list[AblationSummary]] = defaultdict(list)
    for summary in summarise_draws(rows):
        lines[summary.kinds].append(summary)
    figure = Figure(figsize=SIZE_INCHES, layout="constrained")
    axes = figure.add_subplot()
    for (kinds, points), style in zip(lines.items(), cycle(STYLES)):
        points = sorted(points, key=lambda point: point.mean_texts)
        texts, means = [point.mean_texts for point in points], [100 * point.top1 for point in points]
        spread = [math.nan if point.top1_std is None else 100 * point.top1_std for point in points]
        axes.errorbar(texts, means, yerr=spread, fmt=style, mfc="none", capsize=3, label=kinds.replace("_", " "))
    axes.set_xlabel("descriptive texts per class, on average")
    axes.set_ylabel("top-1 accuracy, percent")
    axes.set_title(printable(title), parse_math=False)
    axes.grid(visible=True, alpha=0.3)
    axes.legend(title="kinds of text")
    return to_svg(figure)
