"""`coder-eval export RUN FOLDER`: a classifier of a run, as a folder that an application takes away."""

from pathlib import Path

import click

from coder_core.counted import counted
from flows.cli_common import explain_errors, store_option


@click.command()
@click.argument("run")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--method", help="A method of the run; default: coder, or the first that the run has for new images.")
@click.option("--shots", type=click.IntRange(min=1), help="Of a few-shot method; default: the most that RUN has.")
@click.option(
    "--precision",
    default=0.95,
    show_default=True,
    type=click.FloatRange(min=0, max=1),
    help="Share of the answers that are right on validation images; below: none of these.",
)
@click.option("--no-texts", is_flag=True, help="Leave the texts out: smaller, and nothing can be explained.")
@click.option("--onnx", is_flag=True, help="Write the text side as an ONNX matrix, too; for linear methods.")
@click.option("--force", is_flag=True, help="Replace another classifier in FOLDER.")
@store_option
@explain_errors
def export(
    run: str,
    folder: Path,
    *,
    method: str | None,
    shots: int | None,
    precision: float,
    no_texts: bool,
    onnx: bool,
    force: bool,
    store: str,
) -> None:
    """Write the classifier of a method of RUN into FOLDER: safetensors, JSON, and nothing of the store."""
    from coder_core.config import load_runtime
    from coder_core.pipeline.runner import inline_runner
    from coder_core.recipes.export_classifier import export_classifier
    from coder_core.recipes.published_runs import open_run
    from coder_core.storage.store import Store

    manifest = open_run(Store(store), run)
    with inline_runner(load_runtime(store=store), run_id=manifest.run_id) as runner:
        card = export_classifier(
            manifest,
            folder,
            runner,
            method=method,
            shots=shots,
            precision=precision,
            with_texts=not no_texts,
            with_onnx=onnx,
            is_forced=force,
        )
    click.echo(
        f"{folder}: {card.method} of {manifest.run_id}, {counted(len(card.classes), 'class')}, "
        f"encoder {card.encoder.label}"
    )
    if card.calibration is None:
        click.echo("probabilities are as the method gives them: the run has no validation images to choose on")
    cut = card.none_of_these
    if cut is not None:
        right = f"{100 * cut.precision:.1f} % of {cut.kept} of {cut.images} validation images are right above it"
        click.echo(f'"none of these" below {cut.threshold:.4f}: {right}')
    elif card.calibration is not None and card.calibration.images:
        click.echo(f'"none of these" is never said: no limit makes {100 * precision:g} % of the answers right')
    click.echo(f"Next: coder-eval predict {folder} IMAGES...")
