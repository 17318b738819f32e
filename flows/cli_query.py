"""The commands `coder-eval query`, `tables` and `warehouse`: what the result tables hold."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from coder_core.counted import counted
from flows.cli_common import explain_errors, open_store, store_option
from flows.cli_logging import note_line

if TYPE_CHECKING:
    from coder_core.results.query_limits import QueryLimits
    from coder_core.results.query_result import QueryResult

MEMORY_HELP = "Most memory, in GB (a quarter of the machine's)."
FORMATS = ("table", "csv", "csv-excel", "json", "markdown", "parquet")
force_option = click.option("--force", is_flag=True, help="Replace the file that is there.")


@click.command()
@click.argument("sql", required=False)
@click.option("--example", metavar="NAME", help="Ask a shipped question, and show its SQL.")
@click.option("--examples", is_flag=True, help="List the shipped questions.")
@click.option("--run", "run", metavar="RUN", help="Ask the example about this run, not about the latest ones.")
@store_option
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True)
@click.option("--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="Write the answer to a file.")
@force_option
@click.option("--pager/--no-pager", default=True, help="On a terminal, show a long answer page by page (PAGER).")
@click.option("--memory", type=click.FloatRange(min=0.1), envvar="CODER_QUERY_MEMORY", metavar="GB", help=MEMORY_HELP)
@click.option("--seconds", type=click.FloatRange(min=0.1), envvar="CODER_QUERY_SECONDS", help="Most time (120).")
@click.option("--rows", type=click.IntRange(min=1), envvar="CODER_QUERY_ROWS", help="Most rows printed (100000).")
@explain_errors
def query(
    sql: str | None, example: str | None, examples: bool, run: str | None, store: str, form: str, **options: Any
) -> None:
    """Answer one SELECT over the result tables and views."""
    if examples:
        from coder_core.results.examples import list_examples

        click.echo("\n".join(list_examples()))
        return
    _check_usage(sql, example, run, is_shown=form != "parquet" or options["output"] is not None)
    from coder_core.results.query_process import SPARE

    SPARE.prepare()
    asked = sql if sql is not None else _example_sql(str(example), run, store)
    answer = partial(_ask, asked, store, _limits(**options))
    if options["output"] is not None:
        _write(answer, form, options["output"], is_forced=options["force"])
    else:
        _print(answer(), form, is_paged=options["pager"])


def _check_usage(sql: str | None, example: str | None, run: str | None, *, is_shown: bool) -> None:
    """Refuse options that do not go together.

    Args:
        sql: The question, in SQL.
        example: The name of a shipped question.
        run: The run that it is about.
        is_shown: Whether the answer may go to a terminal.
    """
    if (sql is None) == (example is None):
        raise click.UsageError("Ask one question: some SQL, or --example NAME (--examples lists them).")
    if run is not None and example is None:
        raise click.UsageError("--run goes with --example; in SQL, say WHERE run_id = '...'.")
    if not is_shown and sys.stdout.isatty():
        raise click.UsageError("Parquet is no text: name a file with --output.")


def _example_sql(name: str, run: str | None, store: str) -> str:
    from coder_core.results.examples import find_example

    example = find_example(name)
    run_id = None
    if run is not None:
        if not example.is_about_runs:
            raise click.UsageError(f"The question {name} is about all runs: leave out --run.")
        from coder_core.recipes.published_runs import find_run

        run_id = find_run(open_store(store), run)
    sql = example.sql(run_id)
    for line in (example.question, "", *sql.split("\n"), ""):
        click.echo(note_line(line), err=True)
    return sql


def _limits(*, memory: float | None, seconds: float | None, rows: int | None, **_others: Any) -> "QueryLimits":
    from coder_core.results.query_limits import QueryLimits

    asked = {"memory_bytes": memory and int(memory * 1e9), "seconds": seconds, "rows": rows}
    return QueryLimits(**{name: value for name, value in asked.items() if value is not None})  # type: ignore[arg-type]


def _ask(sql: str, store: str, limits: "QueryLimits") -> "QueryResult":
    """Answer; on a terminal, an error in the SQL is shown where it is."""
    from coder_core.errors import QueryError
    from coder_core.results.warehouse import Warehouse

    try:
        return Warehouse(open_store(store), limits).query(sql)
    except QueryError as error:
        if sys.stderr.isatty():
            from coder_core.results.query_errors import excerpt

            for line in excerpt(sql, error.place):
                click.echo(note_line(f"  {line}"), err=True)
        raise


def _renderers(*, is_terminal: bool = False) -> "dict[str, Callable[[QueryResult], str | bytes]]":
    """How an answer is written, by the name of the format."""
    from coder_core.results.render import to_csv, to_json, to_table

    def to_markdown(result: "QueryResult") -> str:
        from coder_core.report.markdown import answer_table

        return answer_table(result)

    def to_parquet(result: "QueryResult") -> bytes:
        from coder_core.results.parquet_answer import to_parquet

        return to_parquet(result)

    return {
        "table": to_table,
        "csv": partial(to_csv, for_terminal=is_terminal),
        "csv-excel": partial(to_csv, for_terminal=is_terminal, for_spreadsheet=True),
        "json": to_json,
        "markdown": to_markdown,
        "parquet": to_parquet,
    }


def _print(result: "QueryResult", form: str, *, is_paged: bool) -> None:
    content = _renderers(is_terminal=sys.stdout.isatty())[form](result)
    if isinstance(content, bytes):
        sys.stdout.buffer.write(content)
        return
    from flows.pager import show

    show(content.removesuffix("\n"), is_paged=is_paged)


def _write(answer: "Callable[[], QueryResult]", form: str, path: Path, *, is_forced: bool) -> None:
    """Ask, and write a file; a place that cannot be written is told before the question is asked."""
    from coder_core.storage.output_file import built_file

    with built_file(path, is_forced=is_forced) as built:
        result = answer()
        content = _renderers()[form](result)
        if isinstance(content, str):
            content = f"{content.removesuffix(chr(10))}\n".encode("utf-8", "backslashreplace")
        built.write_bytes(content)
    click.echo(note_line(f"{click.format_filename(path)}: {counted(len(result.rows), 'row')}"), err=True)


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
@force_option
@store_option
@explain_errors
def warehouse(output: Path, force: bool, store: str) -> None:
    """Write every result table and view into one DuckDB file, for tools that open such."""
    from coder_core.results.warehouse_file import write_warehouse

    written = write_warehouse(open_store(store), output, is_forced=force)
    shown = click.format_filename(output)
    rows, tables = counted(sum(written.rows.values()), "row"), counted(len(written.rows), "table")
    click.echo(f"{shown}: {counted(written.runs, 'run')}, {rows} in {tables}")
