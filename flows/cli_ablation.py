"""`coder-eval ablation RUN`: what every number and kind of texts is worth, as a table and as a picture."""

import sys
from pathlib import Path

import click

from flows.cli_common import explain_errors, store_option


@click.command()
@click.argument("run_id", metavar="RUN")
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Also write the plot to this SVG file.")
@store_option
@explain_errors
def ablation(run_id: str, plot: Path | None, store: str) -> None:
    """Show the text ablation of RUN: top-1 percent by kinds and number of texts, over draws."""
    from coder_core.recipes.published_runs import read_run_ablation
    from coder_core.report.ablation_table import print_ablation

    rows = read_run_ablation(store, run_id)
    print_ablation(rows, sys.stdout)
    if plot is not None:
        from coder_core.report.ablation_plot import plot_ablation
        from coder_core.storage.output_file import write_file

        write_file(plot, plot_ablation(rows, title=run_id))
        click.echo(f"plot: {plot}")
