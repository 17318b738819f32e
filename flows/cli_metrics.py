"""`coder-eval metrics RUN FOLDER`: a run's numbers in the files of other tools."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from flows.cli_common import explain_errors, open_store, store_option

if TYPE_CHECKING:
    from coder_core.report.exchange_formats import ExchangeFormat


@click.command()
@click.argument("run")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--format", "form", type=click.Choice(["clip_benchmark", "mteb"]), required=True, help="Whose files.")
@click.option("--method", "methods", multiple=True, help="Only this one (repeatable); default: all but controls.")
@click.option("--task", help="What mteb calls the data set, e.g. DTDZeroShot; default: the data set's name.")
@click.option("--force", is_flag=True, help="Replace files that hold something else.")
@store_option
@explain_errors
def metrics(
    run: str,
    folder: Path,
    *,
    form: "ExchangeFormat",
    methods: tuple[str, ...],
    task: str | None,
    force: bool,
    store: str,
) -> None:
    """Write the metrics of RUN into FOLDER as CLIP_benchmark or mteb writes them: one JSON file per method."""
    from coder_core.recipes.published_runs import find_run
    from coder_core.report.exchange_formats import exchange_files
    from coder_core.results.result_tables import ResultTables
    from coder_core.results.schema import MetricRow, RunRow
    from coder_core.storage.output_file import write_file

    opened = open_store(store)
    run_id, tables = find_run(opened, run), ResultTables(opened)
    (row,) = tables.read_rows(RunRow, run_id)
    rows = tables.read_rows(MetricRow, run_id)
    for name, content in exchange_files(run_id, row, rows, form, methods=methods, task=task):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, content, replaces_other=force)
        click.echo(click.format_filename(path))
