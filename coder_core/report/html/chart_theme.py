"""How charts look: one set of colours that stands out on white and on dark, text that the page's own style colours.

Numbers and marks are drawn by Vega-Lite. Text, grid and axes take their colour from the page's style sheet, so that
light, dark and paper need no second drawing.
"""

from collections.abc import Iterable
from typing import Any

import altair as alt

BLUE, ORANGE, GREEN, RED, GREY = "#2f7fd1", "#c7741a", "#2a9351", "#d0493f", "#7d8590"
"""Each at 3:1 or more against white and against the dark ground: as much as WCAG 2.2 asks of graphics (1.4.11)."""
PALETTE = [BLUE, ORANGE, GREEN, "#8a63d2", "#c9568f", "#1a9a9a", "#a0694b", RED, "#6b8e23", GREY]
ROW_PIXELS = 24
IS_CHOSEN = "chosen == '' || datum.series == chosen"
"""For a chart's marks: whether the line is the one that is singled out, or none is."""
SHORT_NAME = 14
"""Characters that the names of a chart have where it does not say it."""


def finish(
    chart: alt.Chart | alt.LayerChart | alt.FacetChart, *, description: str, height: int, names: Iterable[str] = ()
) -> dict[str, Any]:
    """Give a chart what all have, and return it as Vega-Lite.

    Args:
        chart: Built with Altair.
        description: What it shows, for who cannot see it.
        height: Pixels. A number: of a height that rows decide, Vega-Lite warns on the console.
        names: What its legend or an axis names, so that there is room for the longest.
    """
    sized = chart.properties(width="container", height=height, description=description)
    found: dict[str, Any] = sized.to_dict()
    found["config"] = CONFIG
    found["autosize"] = {"type": "fit-x", "contains": "padding"}
    found["usermeta"] = {"characters": max((len(name) for name in names), default=SHORT_NAME)}
    found.pop("$schema", None)
    return found


def single_out(chart: dict[str, Any], series: Iterable[str], chosen: str = "") -> dict[str, Any]:
    """Let the page single out one line of a chart whose marks ask `IS_CHOSEN`: it puts a list of them above it."""
    chart["usermeta"] |= {"series": list(dict.fromkeys(series)), "chosen": chosen}
    return chart


def inline(rows: list[dict[str, Any]]) -> alt.InlineData:
    """Rows that travel in the chart."""
    return alt.InlineData(values=rows)


CONFIG: dict[str, Any] = {
    "background": None,
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal"},
    "legend": {"labelFontSize": 12, "titleFontSize": 12, "orient": "top"},
    "range": {"category": PALETTE},
    "header": {"labelFontSize": 12},
}
