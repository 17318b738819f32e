"""The commands `coder-eval query` and `coder-eval tables`: what the result tables hold."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click

from flows.cli_common import explain_errors, open_store, store_option

MEMORY_HELP = "Most memory, in GB (a quarter of the machine's)."


@click.command()
@click.argument("sql")
@store_option
@click.option(
    "--format", "form", type=click.Choice(["table", "csv", "csv-excel", "json"]), default="table", show_default=True
)
@click.option("--memory", type=click.FloatRange(min=0.1), envvar="CODER_QUERY_MEMORY", metavar="GB", help=MEMORY_HELP)
@click.option("--seconds", type=click.FloatRange(min=0.1), envvar="CODER_QUERY_SECONDS", help="Most time (120).")
@click.option("--rows", type=click.IntRange(min=1), envvar="CODER_QUERY_ROWS", help="Most rows printed (100000).")
@explain_errors
def query(sql: str, store: str, form: str, memory: float | None, seconds: float | None, rows: int | None) -> None:
    """Answer one SELECT over the result tables."""
    from coder_core.results.query_process import SPARE

    SPARE.prepare()
    from coder_core.results.query_limits import QueryLimits
    from coder_core.results.query_result import QueryResult
    from coder_core.results.render import to_csv, to_json, to_table
    from coder_core.results.warehouse import Warehouse

    asked = {"memory_bytes": memory and int(memory * 1e9), "seconds": seconds, "rows": rows}
    limits = QueryLimits(**{name: value for name, value in asked.items() if value is not None})  # type: ignore[arg-type]
    result = Warehouse(open_store(store), limits).query(sql)
    renderers: dict[str, Callable[[QueryResult], str]] = {
        "table": to_table,
        "csv": partial(to_csv, for_terminal=sys.stdout.isatty()),
        "csv-excel": partial(to_csv, for_terminal=sys.stdout.isatty(), for_spreadsheet=True),
        "json": to_json,
    }
    answer = renderers[form](result).removesuffix("\n")
    click.echo(answer, color=True)  # or click would take pieces out of what it holds


@click.command()
@store_option
@explain_errors
def tables(store: str) -> None:
    """List the result tables and views, their columns, and how many rows each table has."""
    from coder_core.results.overview import overview

    for line in overview(open_store(store)):
        click.echo(line)


@click.command()
@click.option("--output", "-o", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The file.")
@click.option("--force", is_flag=True, help="Replace the file that is there.")
@store_option
@explain_errors
def warehouse(output: Path, force: bool, store: str) -> None:
    """Write every result table and view into one DuckDB file, for tools that open such."""
    from coder_core.results.warehouse_file import write_warehouse

    written = write_warehouse(open_store(store), output, is_forced=force)
    shown = click.format_filename(output)
    click.echo(f"{shown}: {written.runs} runs, {sum(written.rows.values())} rows in {len(written.rows)} tables")
