"""`coder-eval runs` and `coder-eval show RUN`: which runs there are, and what one of them found."""

import json
import sys

import click

from flows.cli_common import explain_errors, open_store, program_name, store_option


@click.command()
@click.argument("name", required=False)
@click.option("--limit", default=30, show_default=True, type=click.IntRange(min=1), help="Runs to list, newest first.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list and nothing else.")
@click.option("--pager/--no-pager", default=True, help="On a terminal, show a long list page by page (PAGER).")
@store_option
@explain_errors
def runs(name: str | None, limit: int, as_json: bool, pager: bool, store: str) -> None:
    """List the runs of a store, or of the evaluation NAME: when, data set, model, best method, cost."""
    from coder_core.results.query_process import SPARE

    SPARE.prepare()
    from coder_core.report.run_list import list_runs, write_runs
    from coder_core.results.warehouse import Warehouse
    from flows.pager import show

    found = list_runs(Warehouse(open_store(store)), name=name, limit=limit)
    if as_json:
        click.echo(json.dumps([run._asdict() | {"started_at": run.started_at.isoformat()} for run in found]))
    else:
        show(write_runs(found), is_paged=pager)


@click.command()
@click.argument("run")
@store_option
@explain_errors
def show(run: str, store: str) -> None:
    """Print the summary of RUN again: named by its id, by its evaluation (the latest run of that), or as `latest`."""
    from coder_core.config import load_runtime
    from coder_core.pipeline.context import Context
    from coder_core.recipes.published_result import read_result
    from coder_core.report.summary import print_summary

    print_summary(read_result(Context.open(load_runtime(store=store)), run), sys.stdout, program=program_name())
