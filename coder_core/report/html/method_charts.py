"""Charts of methods: accuracies with intervals, calibration, seconds, runs against each other."""

from collections.abc import Mapping
from typing import Any

import altair as alt

from coder_core.report.html.chart_theme import (
    BLUE,
    GREEN,
    GREY,
    IS_CHOSEN,
    ORANGE,
    ROW_PIXELS,
    finish,
    inline,
    single_out,
)
from coder_core.report.html.run_facts import RunFacts, is_control
from coder_core.report.html.shown_text import shorten
from coder_core.results.schema import ReliabilityRow, TimingRow, TransductionRow

PERCENT = "top-1 accuracy, percent"


def accuracy_chart(facts: RunFacts) -> dict[str, Any] | None:
    """Top-1 accuracy of every method with its 95 % interval."""
    rows = [
        {
            "method": shorten(name),
            "value": 100 * row.value,
            "low": 100 * (row.value if row.ci_low is None else row.ci_low),
            "high": 100 * (row.value if row.ci_high is None else row.ci_high),
            "kind": "control" if is_control(name) else "best" if name == facts.best else "method",
        }
        for name, row in facts.top1.items()
    ]
    if not rows:
        return None
    kinds = alt.Scale(domain=["best", "method", "control"], range=[GREEN, BLUE, GREY])
    base = alt.Chart(inline(rows)).encode(
        y=alt.Y("method:N", sort=None, title=None),
        color=alt.Color("kind:N", scale=kinds, title=None, legend=alt.Legend(symbolOpacity=1)),
    )
    tips = [_tip("method", "N"), _tip("value"), _tip("low", title="from"), _tip("high", title="to")]
    bars = base.mark_bar(opacity=0.35, height=ROW_PIXELS // 2).encode(
        x=alt.X("value:Q", title=PERCENT, scale=alt.Scale(domain=[0, 100])), tooltip=tips
    )
    rules = base.mark_rule(strokeWidth=3).encode(x="low:Q", x2="high:Q", tooltip=tips)
    points = base.mark_point(filled=True, size=70, opacity=1).encode(x="value:Q", tooltip=tips)
    said = "Top-1 accuracy of every method with its 95 percent interval; the table above has the same numbers."
    return finish(alt.layer(bars, rules, points), description=said, height=ROW_PIXELS * len(rows), names=facts.top1)


def calibration_chart(facts: RunFacts) -> dict[str, Any] | None:
    """Accuracy against confidence, bin by bin; on the diagonal what is said with 80 % is right in 80 %."""
    rows: list[dict[str, Any]] = [
        {
            "series": shorten(row.method),
            "confidence": 100 * row.confidence,
            "accuracy": 100 * row.accuracy,
            "low": 100 * row.ci_low,
            "high": 100 * row.ci_high,
            "images": row.n,
        }
        for row in facts.of(ReliabilityRow)
        if not is_control(row.method)
    ]
    if not rows:
        return None
    diagonal = alt.Chart(inline([{"at": 0}, {"at": 100}])).mark_line(color=GREY, strokeDash=[4, 4], size=1.5)
    best = shorten(facts.best or "")
    shade = alt.condition(IS_CHOSEN, alt.value(1), alt.value(0.22))
    base = alt.Chart(inline(rows)).encode(
        x=alt.X("confidence:Q", title="confidence, percent", scale=alt.Scale(domain=[0, 100])),
        color=alt.Color("series:N", sort=None, title=None),
        opacity=shade,
    )
    tips = [_tip("series", "N", title="method"), _tip("confidence"), _tip("accuracy"), _tip("images")]
    accuracy = alt.Y("accuracy:Q", title="right, percent", scale=alt.Scale(domain=[0, 100]))
    layers = alt.layer(
        diagonal.encode(x="at:Q", y="at:Q"),
        base.mark_rule(strokeWidth=2).encode(
            y=alt.Y("low:Q"), y2="high:Q", opacity=alt.condition(IS_CHOSEN, alt.value(0.45), alt.value(0))
        ),
        base.mark_line(size=2).encode(y=accuracy),
        base.mark_point(filled=True).encode(
            y=accuracy,
            size=alt.Size("images:Q", legend=None, scale=alt.Scale(type="sqrt", range=[12, 260])),
            tooltip=tips,
        ),
    ).add_params(alt.param(name="chosen", value=best))
    said = "Share of right answers against confidence in 15 bins, a line per method; on the diagonal both agree."
    series = [row["series"] for row in rows]
    return single_out(finish(layers, description=said, height=340, names=series), series, best)


def timing_chart(facts: RunFacts) -> dict[str, Any] | None:
    """Seconds of the steps that took longest, those of one kind added up."""
    seconds: dict[str, list[float]] = {}
    for row in facts.of(TimingRow):
        known = seconds.setdefault(shorten(row.step), [0.0, 0, 0])
        known[0], known[1], known[2] = known[0] + row.seconds, known[1] + row.rows, known[2] + row.computed
    longest = sorted(seconds.items(), key=lambda item: -item[1][0])[:20]
    if not longest:
        return None
    rows = [
        {
            "step": step,
            "seconds": took,
            "rows": count,
            "origin": "computed" if computed or not count else "in the store",
        }
        for step, (took, count, computed) in longest
    ]
    origins = alt.Scale(domain=["computed", "in the store"], range=[BLUE, GREY])
    chart = (
        alt.Chart(inline(rows))
        .mark_bar(height=ROW_PIXELS // 2)
        .encode(
            x=alt.X("seconds:Q", title="seconds in this run"),
            y=alt.Y("step:N", sort=None, title=None),
            color=alt.Color("origin:N", scale=origins, title=None),
            tooltip=[_tip("step", "N"), alt.Tooltip("seconds:Q", format=".2f"), _tip("rows", form=",")],
        )
    )
    return finish(chart, description="Seconds of the longest steps of the run.", height=(ROW_PIXELS - 4) * len(rows))


def transduction_chart(facts: RunFacts) -> dict[str, Any] | None:
    """What reading the whole batch added to the method below, by what the batch was taken for."""
    rows: list[dict[str, Any]] = []
    for row in facts.of(TransductionRow):
        before, after = facts.top1.get(row.stage1), facts.top1.get(row.method)
        if before is not None and after is not None:
            name = f"{shorten(row.method)} ({row.batch})"
            rows.append({"method": name, "before": 100 * before.value, "after": 100 * after.value, "batch": row.batch})
    if not rows:
        return None
    base = alt.Chart(inline(rows)).encode(y=alt.Y("method:N", sort=None, title=None))
    tips = [_tip("method", "N"), _tip("before"), _tip("after"), _tip("batch", "N")]
    limits = alt.Scale(domain=[0, 100])
    layers = alt.layer(
        base.mark_rule(strokeWidth=3, color=GREY).encode(
            x=alt.X("before:Q", scale=limits, title=PERCENT), x2="after:Q"
        ),
        base.mark_point(filled=True, size=80, color=ORANGE, opacity=1).encode(x="before:Q", tooltip=tips),
        base.mark_point(filled=True, size=80, color=GREEN, opacity=1).encode(x="after:Q", tooltip=tips),
    )
    said = "Top-1 accuracy before (orange) and after (green) the whole batch of images was read, by regime."
    return finish(layers, description=said, height=(ROW_PIXELS + 6) * len(rows), names=[row["method"] for row in rows])


def runs_chart(runs: Mapping[str, RunFacts]) -> dict[str, Any] | None:
    """Top-1 accuracy of every method in every run."""
    rows: list[dict[str, Any]] = []
    for label, facts in runs.items():
        for name, row in ((name, row) for name, row in facts.top1.items() if not is_control(name)):
            low, high = (row.value if one is None else one for one in (row.ci_low, row.ci_high))
            rows.append(
                {"run": label, "method": shorten(name), "value": 100 * row.value, "low": 100 * low, "high": 100 * high}
            )
    if not rows:
        return None
    tips = [_tip("run", "N"), _tip("method", "N"), _tip("value"), _tip("low", title="from"), _tip("high", title="to")]
    base = alt.Chart(inline(rows)).encode(
        y=alt.Y("method:N", sort=None, title=None),
        yOffset=alt.YOffset("run:N", sort=None),
        color=alt.Color("run:N", sort=None, title=None),
        tooltip=tips,
    )
    layers = alt.layer(
        base.mark_rule(strokeWidth=3).encode(
            x=alt.X("low:Q", title=PERCENT, scale=alt.Scale(domain=[0, 100])), x2="high:Q"
        ),
        base.mark_point(filled=True, size=70, opacity=1).encode(x="value:Q"),
    )
    said = "Top-1 accuracy with its 95 percent interval, of every method in every run."
    return finish(layers, description=said, height=14 * len(rows) + ROW_PIXELS, names=runs)


def _tip(field: str, kind: str = "Q", *, title: str | None = None, form: str = ".1f") -> alt.Tooltip:
    if kind != "Q":
        return alt.Tooltip(f"{field}:{kind}", title=title or field)
    return alt.Tooltip(f"{field}:Q", title=title or field, format="," if field == "images" else form)
