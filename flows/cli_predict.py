"""`coder-eval predict RUN IMAGES...`: what do these images show, by the classes and texts of a published run?"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from coder_core.errors import ConfigError
from flows.cli_common import engine_option, explain_errors, store_option
from flows.cli_logging import note_line
from flows.cli_prefect import prefect_ready

if TYPE_CHECKING:
    from flows.engines import EngineName

BROKEN_STATUS = 3
"""As for every input that cannot be used; what could be classified is printed and written all the same."""


@click.command()
@click.argument("run")
@click.argument("given", metavar="IMAGES...", nargs=-1, required=True)
@click.option("--method", default="coder", show_default=True, help="A method of the run.")
@click.option("--shots", type=click.IntRange(min=1), help="Of a few-shot method; default: the most that RUN has.")
@click.option(
    "--format", "form", type=click.Choice(["table", "csv", "csv-excel", "json"]), default="table", show_default=True
)
@click.option("--out", help="Write all answers to this .parquet file, too: a path or an fsspec URL. Of a run alone.")
@click.option("--model", help="Of an exported classifier: its encoder, where it is here.")
@click.option("--none-below", type=click.FloatRange(0, 1), help="Least probability of an answer; below: none of these.")
@click.option("--explain", "is_explained", is_flag=True, help="Of an exported classifier: the texts that decided.")
@store_option
@engine_option
@explain_errors
def predict(
    run: str,
    given: tuple[str, ...],
    method: str,
    shots: int | None,
    form: str,
    out: str | None,
    store: str,
    engine: "EngineName",
    *,
    model: str | None,
    none_below: float | None,
    is_explained: bool,
) -> None:
    """Classify IMAGES (files, folders, patterns, URLs) with RUN: a run id, an evaluation's name, or an exported folder.

    Ends with 3 when an image could not be read: it is named on standard error, all others are answered.
    """
    from coder_core.config import load_runtime

    if (Path(run) / "classifier.json").is_file():
        from flows.cli_predict_folder import predict_with_folder

        runtime = load_runtime()
        _exit(
            predict_with_folder(
                run,
                given,
                form=form,
                model=model,
                none_below=none_below,
                explain=is_explained,
                device=runtime.device,
                workers=runtime.workers,
            )
        )
    if model is not None or is_explained:
        remedy = f"Export it first: coder-eval export {run} FOLDER --method {method}."
        raise ConfigError("--model and --explain are of an exported classifier.", f"run {run}", remedy)
    from coder_core.recipes.predict import choose_classifier
    from coder_core.recipes.published_runs import open_run
    from coder_core.sealing import seal
    from coder_core.storage.exports import check_export
    from coder_core.storage.store import Store
    from flows.engines import choose_engine
    from tasks.task_runner_choice import check_task_runner

    runtime = load_runtime(store=store)
    check_task_runner(runtime)
    images, out = [seal(image) for image in given], out and seal(out)
    if out is not None:
        check_export(out)
    manifest = open_run(Store(store), run)
    choose_classifier(manifest, method, shots=shots)  # a wrong one is refused before the start
    chosen = choose_engine(engine, runtime)
    if chosen.name == "prefect":
        with prefect_ready(chosen.server):
            from flows.predict import predict as predict_flow

            predicted = predict_flow(run, images, method, shots, out, runtime)
    else:
        from coder_core.pipeline.runner import inline_runner
        from coder_core.recipes.predict import predict as predict_images

        with inline_runner(runtime, run_id=manifest.run_id) as runner:
            predicted = predict_images(manifest, images, runner, method=method, shots=shots, output=out)
    from coder_core.pipeline.context import Context
    from coder_core.report.prediction_table import read_named, render_named

    rows = list(read_named(Context.open(runtime), predicted.table))
    click.echo(render_named(rows, form, none_below=none_below or 0.0).removesuffix("\n"))
    broken = [row for row in rows if row.problem is not None]
    for row in broken:
        click.echo(note_line(f"left out: {row.image}: {row.problem}"), err=True)
    what = f"run {predicted.run_id}, method {predicted.method}: {predicted.images} images"
    click.echo(note_line(f"{what}; {predicted.location}"), err=True)
    if broken:
        sys.exit(BROKEN_STATUS)


def _exit(broken: int) -> NoReturn:
    sys.exit(BROKEN_STATUS if broken else 0)
