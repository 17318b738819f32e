"""What Prefect's page shows of a run: tables of numbers, Markdown where names or pictures are shown.

A key belongs to one evaluation and one kind of content, and stays the same from run to run: Prefect then keeps the
history of `flags-metrics` by itself. Names of classes never enter a table artifact (coder_core/report/markdown.py).
"""

import hashlib
import re
from collections.abc import Sequence
from typing import Any

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from coder_core.evaluation.ablation_rows import AblationRow
from coder_core.report.ablation_plot import plot_ablation
from coder_core.report.markdown import embed_svg, escape_markdown, markdown_table
from coder_core.report.run_plots import plot_accuracy, plot_few_shot, plot_step_times
from coder_core.report.timeline import StepTime
from coder_core.steps.results import EvalResult

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


def show_table(evaluation: str, content: str, rows: list[dict[str, Any]], description: str) -> None:
    """Show rows without names in them; the page can search and sort them."""
    create_table_artifact(rows, key=artifact_key(evaluation, content), description=escape_markdown(description))


def show_named_rows(evaluation: str, content: str, rows: Sequence[dict[str, Any]], description: str) -> None:
    """Show rows with names of classes or words of a language model in them."""
    headings = list(dict.fromkeys(name for row in rows for name in row))
    table = markdown_table(headings, [[row.get(name) for name in headings] for row in rows])
    show_markdown(evaluation, content, table, description)


def show_markdown(evaluation: str, content: str, markdown: str, description: str) -> None:
    """Show Markdown in which everything that is data is escaped already."""
    create_markdown_artifact(markdown, key=artifact_key(evaluation, content), description=escape_markdown(description))


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
