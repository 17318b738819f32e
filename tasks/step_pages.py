"""What Prefect's page shows of a step: tables of numbers, Markdown where names or pictures are shown.

A key belongs to one evaluation and one kind of content, and stays the same from run to run: Prefect then keeps the
history of `flags-metrics` by itself. Names of classes never enter a table artifact (coder_core/report/markdown.py).
A step that is worth a page registers what it shows; all others show nothing.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import singledispatch
from typing import Any, cast

from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.logging import get_run_logger

from coder_core.counted import counted
from coder_core.errors import CoderError
from coder_core.evaluation.ablation_rows import summarise_draws
from coder_core.pipeline.artifact_types import AblationArtifact, ImageEmbeddingsArtifact
from coder_core.pipeline.context import Context
from coder_core.pipeline.eval_result import EvalResult
from coder_core.pipeline.step import Step
from coder_core.recipes.compare_runs import compare_with_previous
from coder_core.redaction import redact, redact_value
from coder_core.report.ablation_plot import plot_ablation
from coder_core.report.class_changes import added_rows, comparison_rows, describe_comparison
from coder_core.report.markdown import embed_svg, escape_markdown, markdown_table
from coder_core.report.run_list import history_rows, list_runs
from coder_core.report.run_plots import plot_accuracy, plot_few_shot, plot_step_times
from coder_core.report.summary import cost_lines, few_shot_rows, generation_rows, headline, wide_metric_rows
from coder_core.report.timeline import StepTime, list_step_times
from coder_core.results.query_process import SPARE
from coder_core.results.schema import AblationRow
from coder_core.results.warehouse import Warehouse
from coder_core.steps.ablate_texts import AblateTexts, read_ablation
from coder_core.steps.embed_images import EmbedImages
from coder_core.steps.generate_texts import CheckGeneration
from coder_core.steps.publish_run import PublishRun

HISTORY_RUNS = 50
"""Runs of an evaluation that its table of history shows."""
NAME_DIGITS = 6
"""Of the hash that keeps evaluations apart whose names differ in what a key cannot hold."""


def artifact_key(evaluation: str, content: str) -> str:
    """Name an artifact: lower case letters, digits and dashes, the same for every run of an evaluation.

    Args:
        evaluation: The evaluation's name.
        content: What is shown, such as `metrics`.
    """
    plain = re.sub(r"[^a-z0-9]+", "-", evaluation.lower()).strip("-")
    if plain != evaluation:
        plain = f"{plain}-{hashlib.sha256(evaluation.encode()).hexdigest()[:NAME_DIGITS]}"
    return f"{plain}-{content}"


@singledispatch
def show_step(step: Step[Any], result: Any, context: Context) -> None:
    """Show what a step found; nothing, unless its class is registered below."""


@show_step.register
def _(step: EmbedImages, result: ImageEmbeddingsArtifact, context: Context) -> None:  # noqa: ARG001
    if result.quarantined:
        text = "%s images cannot be read and are left out: see table `quarantine`."
        get_run_logger().warning(text, result.quarantined)


@show_step.register
def _(step: CheckGeneration, result: Any, context: Context) -> None:  # noqa: ARG001
    show_named_rows(step.evaluation, "texts", generation_rows(result), str(result).splitlines()[0])


@show_step.register
def _(step: AblateTexts, result: AblationArtifact, context: Context) -> None:
    rows = [row._asdict() for row in summarise_draws(read_ablation(context, result))]
    told = "top-1 accuracy by kinds and number of texts, mean and deviation over draws"
    show_table(step.evaluation, "ablation", rows, f"{step.evaluation}: {told}")


@show_step.register
def _(step: PublishRun, result: EvalResult, context: Context) -> None:
    times = list_step_times(result.records)
    images, classes = counted(result.image_count, "image"), counted(result.class_count, "class")
    about = f"{result.name}: {images}, {classes}; run {result.run_id}"
    show_markdown(result.name, "summary", summary_page(result), f"{headline(result)}; {about}")
    if result.metrics:
        show_table(result.name, "metrics", wide_metric_rows(result), about)
    if result.few_shot:
        show_table(
            result.name, "few-shot", few_shot_rows(result), f"{about}; mean ± deviation over draws, before → after"
        )
    show_table(result.name, "timings", [time._asdict() for time in times], f"{about}, {result.seconds:.1f} s in all")
    ablation = step.manifest.ablation
    show_plots(result, times, read_ablation(context, ablation) if ablation else [], about)
    show_history(result, context)
    show_class_changes(result, context)


def show_history(result: EvalResult, context: Context) -> None:
    """Show the runs of this evaluation so far: one table that grows, for whoever looks at the page of any of them."""
    try:
        runs = list_runs(Warehouse(context.artifacts.store), name=result.name, limit=HISTORY_RUNS)
    except CoderError as error:  # the run itself is finished and published
        get_run_logger().warning("its history is not shown: %s", error)
        return
    finally:
        SPARE.clear()  # a worker asks once, and keeps no process for a next question
    show_table(
        result.name,
        "history",
        history_rows(runs),
        f"{result.name}: {counted(len(runs), 'run')}, newest first: {result.run_id}",
    )


def show_class_changes(result: EvalResult, context: Context) -> None:
    """Show what new classes did to old ones, where the run before this one had other classes."""
    try:
        comparison = compare_with_previous(context, result.name, result.run_id)
    except CoderError as error:  # the run itself is finished and published
        get_run_logger().warning("not compared with the run before: %s", error)
        return
    if comparison is not None:
        tables = [named_table(rows) for rows in (added_rows(comparison), comparison_rows(comparison)) if rows]
        show_markdown(result.name, "class-changes", "\n\n".join(tables), describe_comparison(comparison))


def summary_page(result: EvalResult) -> str:
    """What a person wants to know first: the result, every method beside the others, what it cost, how to go on."""
    lines = [f"**{escape_markdown(headline(result))}**"]
    if rows := wide_metric_rows(result):
        lines += [named_table(rows), "Percent, with 95 % intervals; differences are top-1, in points."]
    if by_shots := few_shot_rows(result):
        lines += [
            named_table(by_shots),
            "Few-shot: top-1 percent, mean ± standard deviation over draws; calibration error before → after.",
        ]
    lines += [escape_markdown(line) for line in cost_lines(result)]
    return "\n\n".join(lines)


def show_table(evaluation: str, content: str, rows: list[dict[str, Any]], description: str) -> None:
    """Show rows without names in them; the page can search and sort them."""
    create_table_artifact(
        cast("list[dict[str, Any]]", redact_value(rows)),
        key=artifact_key(evaluation, content),
        description=escape_markdown(redact(description)),
    )


def show_named_rows(evaluation: str, content: str, rows: Sequence[dict[str, Any]], description: str) -> None:
    """Show rows with names of classes or words of a language model in them."""
    show_markdown(evaluation, content, named_table(rows), description)


def named_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as a table of Markdown, every cell escaped."""
    headings = list(dict.fromkeys(name for row in rows for name in row))
    return markdown_table(headings, [[row.get(name) for name in headings] for row in rows])


def show_markdown(evaluation: str, content: str, markdown: str, description: str) -> None:
    """Show Markdown in which everything that is data is escaped already."""
    create_markdown_artifact(
        redact(markdown), key=artifact_key(evaluation, content), description=escape_markdown(description)
    )


def show_plots(
    result: EvalResult, steps: Sequence[StepTime], ablation: Sequence[AblationRow], description: str
) -> None:
    """Show the accuracies, the text ablation where there is one, and the time of each step as pictures."""
    pictures = [embed_svg(plot_accuracy(result), "top-1 accuracy by method")] if result.metrics else []
    if result.few_shot:
        pictures.append(embed_svg(plot_few_shot(result.few_shot), "few-shot accuracy by shots"))
    if ablation:
        pictures.append(embed_svg(plot_ablation(ablation, title=result.name), "accuracy by number and kinds of texts"))
    pictures.append(embed_svg(plot_step_times(steps), "seconds by step"))
    show_markdown(result.name, "plots", "\n\n".join(pictures), description)
