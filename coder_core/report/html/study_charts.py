"""Charts of what was varied: number and kinds of texts, labelled images per class."""

from typing import Any

import altair as alt

from coder_core.evaluation.ablation_rows import summarise_draws
from coder_core.report.html.chart_theme import IS_CHOSEN, finish, inline, single_out
from coder_core.report.html.run_facts import RunFacts
from coder_core.report.html.shown_text import shorten
from coder_core.results.schema import AblationRow, FewShotSummaryRow


def ablation_chart(facts: RunFacts) -> dict[str, Any] | None:
    """Accuracy against the number of texts, a line per choice of kinds."""
    rows = [
        _spread(row.top1, row.top1_std)
        | {"series": row.kinds.replace("+", " + "), "at": row.mean_texts, "draws": row.draws}
        for row in summarise_draws(facts.of(AblationRow))
        if row.mean_texts > 0
    ]
    said = (
        "Top-1 accuracy against descriptive texts per class, mean and deviation over draws, a line per choice of kinds."
    )
    return _curves(rows, "descriptive texts per class, on average", said)


def few_shot_chart(facts: RunFacts) -> dict[str, Any] | None:
    """Accuracy against labelled images per class, a line per method."""
    rows = [
        _spread(row.top1, row.top1_std) | {"series": shorten(row.method), "at": row.shots, "draws": row.draws}
        for row in facts.of(FewShotSummaryRow)
    ]
    said = "Top-1 accuracy against labelled images per class, mean and deviation over draws, a line per method."
    ticks = sorted({row["at"] for row in rows})
    return _curves(rows, "labelled images per class", said, ticks=ticks)


def _spread(mean: float, deviation: float | None) -> dict[str, Any]:
    spread = deviation or 0.0
    low, high = max(mean - spread, 0.0), min(mean + spread, 1.0)
    return {"mean": 100 * mean, "low": 100 * low, "high": 100 * high, "deviation": 100 * spread}


def _curves(
    rows: list[dict[str, Any]], across: str, description: str, *, ticks: list[float] | None = None
) -> dict[str, Any] | None:
    """Mean lines with bands of one deviation; the legend picks a line out."""
    if not rows:
        return None
    axis = alt.Axis(format="~s", values=ticks) if ticks else alt.Axis(format="~s")
    base = alt.Chart(inline(rows)).encode(
        x=alt.X("at:Q", title=across, scale=alt.Scale(type="log", base=2), axis=axis),
        color=alt.Color("series:N", sort=None, title=None),
        opacity=alt.condition(IS_CHOSEN, alt.value(1), alt.value(0.12)),
    )
    tips = [alt.Tooltip("series:N"), alt.Tooltip("at:Q", title="at"), alt.Tooltip("mean:Q", format=".1f")]
    tips += [alt.Tooltip("deviation:Q", format=".1f"), alt.Tooltip("draws:Q")]
    mean = alt.Y("mean:Q", title="top-1 accuracy, percent", scale=alt.Scale(zero=False))
    layers = alt.layer(
        base.mark_rule(strokeWidth=6, strokeOpacity=0.3).encode(y=alt.Y("low:Q"), y2="high:Q"),
        base.mark_line(size=2).encode(y=mean),
        base.mark_point(filled=True, size=50).encode(y=mean, tooltip=tips),
    ).add_params(alt.param(name="chosen", value=""))
    series = [row["series"] for row in rows]
    return single_out(finish(layers, description=description, height=360, names=series), series)
