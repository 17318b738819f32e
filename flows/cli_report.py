"""`coder-eval report [RUN ...]`: a run as one HTML file, to be looked at and sent on."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from coder_core.errors import CoderError
from flows.cli_common import explain_errors, store_option
from flows.cli_logging import warning_line

if TYPE_CHECKING:
    from coder_core.pipeline.context import Context
    from coder_core.report.publish_report import WrittenReport
    from coder_core.specs import Runtime

DEFAULT_OUTPUT = Path("report.html")


@click.command()
@click.argument("runs", metavar="[RUN ...]", nargs=-1)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=DEFAULT_OUTPUT,
    show_default=True,
    help="The file.",
)
@click.option("--no-pictures", is_flag=True, help="Leave the images of the gallery out.")
@store_option
@explain_errors
def report(runs: tuple[str, ...], output: Path, no_pictures: bool, store: str) -> None:
    """Write a report of RUN (its id, its evaluation, or `latest`, the default) as one HTML file that asks no network.

    Of several runs the report is about the first, and the others are compared with it.
    """
    from coder_core.config import load_runtime
    from coder_core.pipeline.context import Context
    from coder_core.report.publish_report import write_report
    from coder_core.storage.output_file import write_file

    context = Context.open(load_runtime(store=store))
    made = write_report(context, runs or ("latest",), has_pictures=not no_pictures)
    write_file(output, made.page)
    _keep(context, made, is_kept=not no_pictures)
    click.echo(_told(made.run_id, output, len(made.page.encode("utf-8"))))


def keep_report_of(runtime: "Runtime", run_id: str) -> None:
    """Write the report of a run that has just ended, and keep it; what goes wrong is told, and harms no result."""
    from coder_core.pipeline.context import Context
    from coder_core.report.publish_report import keep_report, write_report

    context = Context.open(runtime)
    try:
        keep_report(context, write_report(context, [run_id]))
    except CoderError as error:
        click.echo(warning_line(f"no report: {error}"), err=True)


def write_kept_report(runtime: "Runtime", run_id: str, output: Path, *, is_told: bool = True) -> None:
    """Write the report that a run has kept to a file, and name it.

    Raises:
        InputError: The file cannot be written.
    """
    from coder_core.report.publish_report import report_path
    from coder_core.storage.output_file import write_file
    from coder_core.storage.store import Store

    kept = Store(runtime.store)
    path = report_path(run_id)
    if not kept.exists(path):
        return  # why, has been told
    page = kept.read_bytes(path)
    write_file(output, page)
    if is_told:
        click.echo(_told(run_id, output, len(page)))


def _keep(context: "Context", made: "WrittenReport", *, is_kept: bool) -> None:
    from coder_core.report.publish_report import keep_report

    if not is_kept:
        return
    try:
        keep_report(context, made)
    except CoderError as error:  # a store that is read only
        click.echo(warning_line(f"not kept in the store: {error}"), err=True)


def _told(run_id: str, output: Path, size: int) -> str:
    return f"report of {run_id}: {output.resolve()} ({size / 1e6:.1f} MB; open it in a browser)"
