"""Class by class against the baseline: who gained, who lost, and which of it is more than chance."""

from typing import Any

import altair as alt
import pyarrow as pa
import pyarrow.compute as pc

from coder_core.report.html.chart_theme import GREEN, GREY, RED, ROW_PIXELS, finish
from coder_core.report.html.run_facts import RunFacts, finite, is_control

SIGNIFICANT = 0.05


def class_gains(facts: RunFacts) -> dict[str, Any]:
    """Columns of every method that was compared class by class, shares in 0..1."""
    table = facts.tables["class_comparisons"]
    methods = [name for name in pc.unique(table.column("method")).to_pylist() if not is_control(name)]
    return {name: _columns(table.filter(pc.equal(table.column("method"), name))) for name in methods}


def _columns(table: pa.Table) -> dict[str, Any]:
    whole = ("class_id", "n", "gained", "lost")
    found = {name: table.column(name).to_pylist() for name in whole}
    shares = {"before": "recall_baseline", "after": "recall"}
    found |= {key: [round(value, 4) for value in finite(table.column(name)).tolist()] for key, name in shares.items()}
    found["p"] = [None if value is None else float(f"{value:.3g}") for value in table.column("p_holm").to_pylist()]
    return found


def gains_chart() -> dict[str, Any]:
    """The classes that gained and lost most; the page puts in the method that is chosen."""
    kinds = alt.Scale(domain=["gain", "loss", "within chance"], range=[GREEN, RED, GREY])
    base = alt.Chart(alt.NamedData(name="gains")).encode(y=alt.Y("name:N", sort=None, title=None))
    tips = [
        alt.Tooltip("name:N", title="class"),
        alt.Tooltip("points:Q", format="+.1f"),
        alt.Tooltip("n:Q", title="images"),
    ]
    tips += [
        alt.Tooltip("before:Q", format=".1f"),
        alt.Tooltip("after:Q", format=".1f"),
        alt.Tooltip("p:N", title="p (Holm)"),
    ]
    bars = base.mark_bar(height=ROW_PIXELS // 2).encode(
        x=alt.X("points:Q", title="points of recall against the baseline"),
        color=alt.Color("kind:N", scale=kinds, title=None),
        tooltip=tips,
    )
    said = (
        "Points of recall that the classes gained or lost most against the baseline; the table below has all classes."
    )
    return finish(bars, description=said, height=ROW_PIXELS)
