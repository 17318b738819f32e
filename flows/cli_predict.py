"""`coder-eval predict RUN IMAGES...`: what do these images show, by the classes and texts of a published run?"""

import sys

import click

from flows.cli_common import explain_errors, store_option
from flows.cli_prefect import prefect_ready

BROKEN_STATUS = 3
"""As for every input that cannot be used; what could be classified is printed and written all the same."""


@click.command()
@click.argument("run")
@click.argument("images", nargs=-1, required=True)
@click.option("--method", default="coder", show_default=True, help="A method of the run.")
@click.option("--format", "form", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True)
@click.option("--out", help="Write all answers to this .parquet file, too: a path or an fsspec URL.")
@store_option
@explain_errors
def predict(run: str, images: tuple[str, ...], method: str, form: str, out: str | None, store: str) -> None:
    """Classify IMAGES (files, folders, patterns, URLs) with RUN: a run id, or an evaluation's name for its latest run.

    Ends with 3 when an image could not be read: it is named on standard error, all others are answered.
    """
    from coder_core.config import load_runtime
    from coder_core.steps.past_classifiers import recall_classifier
    from coder_core.storage.exports import check_export
    from tasks.runner_choice import check_task_runner

    runtime = load_runtime(store=store)
    check_task_runner(runtime)
    if out is not None:
        check_export(out)
    recall_classifier(run, method, runtime)  # a wrong run or method is told before anything is started
    with prefect_ready():
        from flows.predict import predict as predict_flow

        answers = predict_flow(run, list(images), method, out, runtime)
    from coder_core.report.answers import render_answers
    from coder_core.results.render import printable
    from coder_core.steps.answers import read_answers

    rows = list(read_answers(answers, runtime))
    click.echo(render_answers(rows, form).removesuffix("\n"))
    broken = [row for row in rows if row.problem is not None]
    for row in broken:
        click.echo(f"left out: {printable(row.image)}: {printable(str(row.problem))}", err=True)
    click.echo(f"run {answers.run_id}, method {answers.method}: {answers.images} images; {answers.location}", err=True)
    if broken:
        sys.exit(BROKEN_STATUS)
