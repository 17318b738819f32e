"""`make_report`: one HTML page about a run, and beside it others that it is compared with."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from coder_core.errors import CoderError
from coder_core.pipeline.context import Context
from coder_core.recipes.compare_runs import compare_runs
from coder_core.report.html.class_gains import class_gains, gains_chart
from coder_core.report.html.confusions import confusion_chart, confusion_data
from coder_core.report.html.few_shot_lines import few_shot_lines
from coder_core.report.html.gallery import choose_groups, gallery_data
from coder_core.report.html.head import (
    NONE,
    answer,
    answer_note,
    cost_facts,
    left_out,
    method_lines,
    p_text,
    percent,
    question,
    run_facts_of,
)
from coder_core.report.html.method_charts import (
    accuracy_chart,
    calibration_chart,
    runs_chart,
    timing_chart,
    transduction_chart,
)
from coder_core.report.html.page import render_page
from coder_core.report.html.quality import quality_data
from coder_core.report.html.run_facts import RunFacts, read_run_facts
from coder_core.report.html.scripts import vega_script
from coder_core.report.html.shown_text import name_pair, shorten
from coder_core.report.html.study_charts import ablation_chart, few_shot_chart
from coder_core.report.html.thumbnails import PictureReader, Thumbnails, make_thumbnails, picture_reader
from coder_core.report.html.why_chart import why_chart
from coder_core.results.schema import QuarantineRow, TransductionRow

QUARANTINE_SHOWN = 100
REASON_CHARACTERS = 300
SECTIONS = (
    ("methods", "Methods"),
    ("few_shot", "Few-shot"),
    ("classes", "Classes"),
    ("confusions", "Confusions"),
    ("gallery", "Gallery"),
    ("texts", "Texts"),
    ("calibration", "Calibration"),
    ("batch", "Batch"),
    ("quality", "Data quality"),
    ("runs", "Runs"),
    ("cost", "Cost"),
)


def make_report(
    context: Context, run_ids: Sequence[str], *, has_pictures: bool = True, read_pictures: PictureReader | None = None
) -> str:
    """Write the report of a run as one HTML file that asks no network.

    Args:
        context: The store.
        run_ids: Published runs. The report is about the first; the others are compared with it.
        has_pictures: False leaves the images of the gallery out: a report may go to who must not see them.
        read_pictures: Gives the images; default: from where the data set has listed them.

    Returns:
        The page.

    Raises:
        StoreError: There is no such run, or its row cannot be read.
    """
    with ThreadPoolExecutor(1) as beside:
        script = beside.submit(vega_script)  # takes a second or two, in which the tables are read
        facts = {run_id: read_run_facts(context.artifacts.store, run_id) for run_id in dict.fromkeys(run_ids)}
        own = facts[run_ids[0]]
        data = _page_data(own, context)
        data["charts"] = _charts(facts)
        notes = _add_gallery(
            data, own, context, read_pictures if has_pictures else _no_pictures, has_pictures=has_pictures
        )
        script.result()
    others = [_compared(context, facts[run_id], own.run_id) for run_id in list(facts)[1:]]
    return render_page(_contents(own, data, others, notes), data)


def _no_pictures(_image_ids: Sequence[str]) -> dict[str, bytes]:
    return {}


def _page_data(facts: RunFacts, context: Context) -> dict[str, Any]:
    return {
        "classes": [name_pair(name) for name in facts.class_names],
        "best": facts.best,
        "gains": class_gains(facts),
        "confusions": confusion_data(facts),
        "quality": quality_data(facts, context),
    }


def _add_gallery(
    data: dict[str, Any], facts: RunFacts, context: Context, read: PictureReader | None, *, has_pictures: bool
) -> list[str]:
    """Put images, explanations and pictures in; returns what is to be said about them."""
    groups = choose_groups(facts)
    data["gallery"], data["pictures"] = None, {}
    if not groups:
        return []
    data["gallery"] = gallery_data(facts, groups, context)
    rows = list(dict.fromkeys(int(row) for group in groups for row in group.rows))
    image_ids = [facts.answers.image_ids[row] for row in rows]
    if read is None and facts.manifest is not None:
        read = picture_reader(context, facts.manifest)
    made = make_thumbnails(image_ids, read) if read and has_pictures else Thumbnails({}, "Made without pictures.")
    data["pictures"] = {str(at): made.shown[name] for at, name in enumerate(image_ids) if name in made.shown}
    return [shorten(note, REASON_CHARACTERS) for note in (made.note, data["gallery"].pop("note")) if note]


def _charts(facts: dict[str, RunFacts]) -> dict[str, Any]:
    own = next(iter(facts.values()))
    labels = {f"{at + 1}: {shorten(one.run_id, 48)}": one for at, one in enumerate(facts.values())}
    return {
        "accuracy": accuracy_chart(own),
        "few-shot": few_shot_chart(own),
        "ablation": ablation_chart(own),
        "calibration": calibration_chart(own),
        "batch": transduction_chart(own),
        "timings": timing_chart(own),
        "runs": runs_chart(labels) if len(facts) > 1 else None,
        "gains": gains_chart(),
        "confusions": confusion_chart(),
        "why": why_chart(),
    }


def _contents(
    facts: RunFacts, data: dict[str, Any], others: Sequence[dict[str, Any]], notes: list[str]
) -> dict[str, Any]:
    charts = data["charts"]
    has = {
        "methods": True,
        "few_shot": charts["few-shot"],
        "classes": data["gains"],
        "confusions": data["confusions"]["cells"],
        "gallery": data["gallery"],
        "texts": charts["ablation"],
        "calibration": charts["calibration"],
        "batch": charts["batch"],
        "quality": facts.answers.image_ids,
        "runs": others,
        "cost": True,
    }
    name = shorten(facts.run.name)
    return {
        "title": f"{name}: CODER Eval report",
        "name": name,
        "question": question(facts),
        "answer": answer(facts),
        "answer_note": answer_note(facts),
        "facts": run_facts_of(facts),
        "sections": [{"key": key.replace("_", "-"), "short": short} for key, short in SECTIONS if has[key]],
        "has": {key: bool(value) for key, value in has.items()},
        "methods": method_lines(facts),
        "baseline": shorten(facts.baseline or ""),
        "best": shorten(facts.best or ""),
        "few_shot": few_shot_lines(facts),
        "gallery_notes": notes,
        "batches": facts.of(TransductionRow),
        "quality_note": data["quality"].pop("note"),
        "others": others,
        "costs": cost_facts(facts),
        "left_out": left_out(facts),
        "quarantine": [
            (shorten(row.image_id), shorten(row.problem, REASON_CHARACTERS))
            for row in facts.of(QuarantineRow)[:QUARANTINE_SHOWN]
        ],
        "run_id": facts.run_id,
        "version": facts.run.code_version or "",
        "made_at": f"{datetime.now(UTC):%Y-%m-%d %H:%M}",
    }


def _compared(context: Context, other: RunFacts, run_id: str) -> dict[str, Any]:
    """The paired comparison of another run with this one, or why there is none."""
    found: dict[str, Any] = {"label": f"{shorten(other.run_id)}, {other.run.started_at:%Y-%m-%d %H:%M} UTC"}
    try:
        compared = compare_runs(context, other.run_id, run_id)
    except CoderError as error:
        return found | {
            "note": f"Not compared: {shorten(str(error), REASON_CHARACTERS)}",
            "methods": [],
            "settings": [],
        }
    methods = [
        {
            "method": shorten(row.method),
            "n": f"{row.n:,}",
            "before": percent(row.before),
            "after": percent(row.after),
            "points": f"{100 * (row.after - row.before):+.1f}",
            "p": p_text(row.p_holm),
        }
        for row in compared.methods
    ]
    settings = [
        {"key": shorten(row.key), "before": shorten(row.before or NONE), "after": shorten(row.after or NONE)}
        for row in compared.settings
    ]
    note = "" if methods else "The runs have no method, or no image, in common."
    return found | {"note": note, "methods": methods, "settings": settings}
