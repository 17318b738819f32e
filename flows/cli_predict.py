"""`coder-eval predict RUN IMAGES...`: what do these images show, by the classes and texts of a published run?"""

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from coder_core.counted import counted
from coder_core.errors import ConfigError
from flows.cli_common import engine_option, explain_errors, is_export, store_option
from flows.cli_logging import note_line
from flows.cli_prefect import prefect_ready

if TYPE_CHECKING:
    from coder_core.pipeline.run_manifest import RunManifest
    from coder_core.recipes.predict import Predicted
    from coder_core.specs import Runtime
    from flows.engines import EngineName

BROKEN_STATUS = 3
"""As for every input that cannot be used; what could be classified is printed and written all the same."""

_FOLDER_REMEDY = "An exported classifier is one method already: leave the option out, or name the run."


class Asked(NamedTuple):
    """What was typed beside RUN and where to look for it; see the options of the command."""

    images: tuple[str, ...]
    method: str | None
    shots: int | None
    form: str
    out: str | None
    model: str | None
    none_below: float | None
    is_explained: bool
    adapt: bool


@click.command()
@click.argument("run")
@click.argument("images", metavar="IMAGES...", nargs=-1, required=True)
@click.option("--method", help="A method of the run; default: coder, or the first that the run has for new images.")
@click.option("--shots", type=click.IntRange(min=1), help="Of a few-shot method; default: the most that RUN has.")
@click.option(
    "--format", "form", type=click.Choice(["table", "csv", "csv-excel", "json"]), default="table", show_default=True
)
@click.option("--out", help="Write all answers to this .parquet file, too: a path or an fsspec URL. Of a run alone.")
@click.option("--model", help="Of an exported classifier: its encoder, where it is here.")
@click.option("--none-below", type=click.FloatRange(0, 1), help="Least probability of an answer; below: none of these.")
@click.option("--adapt", is_flag=True, help="First let all IMAGES together, without labels, move the classifier.")
@click.option("--explain", "is_explained", is_flag=True, help="Of an exported classifier: the texts that decided.")
@store_option
@engine_option
@explain_errors
def predict(run: str, store: str, engine: "EngineName", **options: Any) -> None:
    """Classify IMAGES (files, folders, patterns, URLs) with RUN: a run id, an evaluation's name, or an exported folder.

    Ends with 3 when an image could not be read: it is named on standard error, all others are answered.
    """
    asked = Asked(**options)
    broken = _ask_folder(run, asked) if is_export(run) else _ask_run(run, asked, store, engine)
    if broken:
        sys.exit(BROKEN_STATUS)


def _ask_folder(folder: str, asked: Asked) -> int:
    """Print the answers of an exported classifier; gives the number of images that could not be read."""
    from coder_core.config import load_runtime
    from flows.cli_predict_folder import predict_with_folder

    given = {"--method": asked.method, "--shots": asked.shots, "--out": asked.out}
    if of_a_run := [option for option, value in given.items() if value is not None]:
        raise ConfigError(f"{' and '.join(of_a_run)}: of a published run alone.", folder, _FOLDER_REMEDY)
    runtime = load_runtime()
    return predict_with_folder(
        folder,
        asked.images,
        form=asked.form,
        model=asked.model,
        none_below=asked.none_below,
        explain=asked.is_explained,
        adapt=asked.adapt,
        device=runtime.device,
        workers=runtime.workers,
    )


def _ask_run(run: str, asked: Asked, store: str, engine: "EngineName") -> int:
    """Print the answers of a published run; gives the number of images that could not be read."""
    from coder_core.config import load_runtime
    from coder_core.recipes.published_runs import open_run
    from coder_core.storage.store import Store
    from tasks.task_runner_choice import check_task_runner

    if asked.model is not None or asked.is_explained:
        remedy = f"Export it first: coder-eval export {run} FOLDER."
        raise ConfigError("--model and --explain are of an exported classifier.", f"run {run}", remedy)
    runtime = load_runtime(store=store)
    check_task_runner(runtime)
    asked = _sealed(asked)
    manifest = open_run(Store(store), run)
    asked = _with_method(asked, manifest)
    if runtime.device not in {"auto", "cpu"}:
        from coder_core.encoders.device import check_device  # torch

        check_device(runtime.device)
    return _print_answers(_classify(manifest, asked, runtime, engine), asked, runtime)


def _with_method(asked: Asked, manifest: "RunManifest") -> Asked:
    """The same, with a method of the run; a wrong one is refused before anything is started.

    Raises:
        ConfigError: The run has no such method for new images.
    """
    from coder_core.recipes.predict import choose_classifier, choose_method, describe_choice

    method = choose_method(manifest, asked.method, shots=asked.shots)
    choose_classifier(manifest, method, shots=asked.shots)
    if asked.adapt:
        from coder_core.recipes.adapt import check_adaptable

        check_adaptable(manifest, method)
    if asked.method is None and (note := describe_choice(manifest, method, shots=asked.shots)):
        click.echo(note_line(note), err=True)
    return asked._replace(method=method)


def _sealed(asked: Asked) -> Asked:
    """The same, with addresses as they may be kept; a file that cannot be written is told now.

    Raises:
        ConfigError: It cannot.
    """
    from coder_core.sealing import seal
    from coder_core.storage.exports import check_export

    images, out = tuple(seal(image) for image in asked.images), asked.out and seal(asked.out)
    if out is not None:
        check_export(out)
    return asked._replace(images=images, out=out)


def _classify(manifest: "RunManifest", asked: Asked, runtime: "Runtime", engine: "EngineName") -> "Predicted":
    from flows.engines import choose_engine

    chosen, images = choose_engine(engine, runtime), list(asked.images)
    if chosen.name == "prefect":
        with prefect_ready(chosen.server):
            from flows.predict import predict as predict_flow

            return predict_flow(manifest.run_id, images, asked.method, asked.shots, asked.out, runtime, asked.adapt)
    from coder_core.pipeline.runner import inline_runner
    from coder_core.recipes.predict import predict as predict_images

    wanted: dict[str, Any] = {"method": asked.method, "shots": asked.shots, "output": asked.out, "adapt": asked.adapt}
    with inline_runner(runtime, run_id=manifest.run_id) as runner:
        return predict_images(manifest, images, runner, **wanted)


def _print_answers(predicted: "Predicted", asked: Asked, runtime: "Runtime") -> int:
    """Print what came out; gives the number of images that could not be read."""
    from coder_core.pipeline.context import Context
    from coder_core.report.prediction_table import read_named, render_named

    rows = list(read_named(Context.open(runtime), predicted.table))
    batch = {"batch": predicted.batch.batch, "batch_reason": predicted.batch.reason} if predicted.batch else {}
    told = render_named(rows, asked.form, none_below=asked.none_below or 0.0, more=batch)
    click.echo(told.removesuffix("\n"))
    broken = [row for row in rows if row.problem is not None]
    for row in broken:
        click.echo(note_line(f"left out: {row.image}: {row.problem}"), err=True)
    if predicted.batch:
        click.echo(note_line(predicted.describe_batch()), err=True)
    what = f"run {predicted.run_id}, method {predicted.method}: {counted(predicted.images, 'image')}"
    click.echo(note_line(f"{what}; {predicted.location}"), err=True)
    return len(broken)
