"""Why one class and not another: what each text adds, each bar where the one before ended, and the gap below."""

from typing import Any

import altair as alt

from coder_core.report.html.chart_theme import BLUE, GREEN, GREY, RED, ROW_PIXELS, finish, inline

TEXT_CHARACTERS = 50
"""Of a text beside its bar; all of it is in the list below."""


def why_chart() -> dict[str, Any]:
    """Bars that add up to the gap; the page puts in the image that is looked at."""
    sides = alt.Scale(domain=["for", "against", "gap"], range=[GREEN, RED, BLUE])
    base = alt.Chart(alt.NamedData(name="shares")).encode(y=alt.Y("label:N", sort=None, title=None))
    tips = [alt.Tooltip("label:N", title="text"), alt.Tooltip("kind:N"), alt.Tooltip("about:N"), alt.Tooltip("share:N")]
    bars = base.mark_bar(height=15).encode(
        x=alt.X("start:Q", title="logits: green adds to the lead of the answer, red takes from it"),
        x2="end:Q",
        color=alt.Color("side:N", scale=sides, title=None),
        tooltip=tips,
    )
    zero = alt.Chart(inline([{"at": 0}])).mark_rule(color=GREY).encode(x="at:Q")
    said = "What each text adds to the gap between the answer and its rival; the bars add up to it."
    return finish(alt.layer(zero, bars), description=said, height=ROW_PIXELS, names=["x" * TEXT_CHARACTERS])
