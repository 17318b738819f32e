"""`coder-eval`: parse, call one flow or one core function, print.

Nothing heavy is imported before it is needed: `--help`, `tables` and `query` load neither torch nor Prefect.
Results go to standard output, everything else to standard error; every expected error is one line and an exit status.
"""

import json
import os
import shutil
import sys
from functools import partial
from typing import TYPE_CHECKING

import click

from flows.cli_ablation import ablation
from flows.cli_classes import classes, compare, print_class_changes
from flows.cli_common import explain_errors, set_option, store_option
from flows.cli_explain import explain
from flows.cli_predict import predict
from flows.cli_prefect import prefect_ready
from flows.cli_serve import deploy, serve
from flows.cli_store import store as store_group
from flows.cli_texts import texts

if TYPE_CHECKING:
    from coder_core.specs import Runtime
    from coder_core.steps.results import EvalResult

MEMORY_HELP = "Most memory, in GB (a quarter of the machine's)."


@click.group()
@click.version_option(package_name="coder-eval")
def main() -> None:
    """Classify images by texts instead of labels, and measure it honestly."""


main.add_command(texts)
main.add_command(store_group)
main.add_command(explain)
main.add_command(ablation)
main.add_command(classes)
main.add_command(compare)
main.add_command(predict)
main.add_command(serve)
main.add_command(deploy)


@main.command()
@click.argument("config", default="demo:flags")
@set_option
@store_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@explain_errors
def run(config: str, overrides: tuple[str, ...], store: str, as_json: bool) -> None:
    """Run the evaluation that CONFIG describes (default: the embedded demonstration)."""
    from coder_core.config import load_runtime, load_spec
    from tasks.runner_choice import check_task_runner

    load_spec(config, overrides)  # a wrong config is told before anything is started
    runtime = load_runtime(store=store)
    check_task_runner(runtime)
    result = _run_flow(config, list(overrides), runtime)
    if as_json:
        found: dict[str, object] = {"run_id": result.run_id}
        found["metrics"] = [metric.model_dump() for metric in result.metrics]
        found["comparisons"] = [row.model_dump() for row in result.comparisons]
        click.echo(json.dumps(found))
        return
    from coder_core.report.summary import print_summary

    print_summary(result, sys.stdout, program=_program_name())
    print_class_changes(result.name, result.run_id, store)


@main.command()
@click.argument("sql")
@store_option
@click.option("--format", "form", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True)
@click.option("--memory", type=click.FloatRange(min=0.1), envvar="CODER_QUERY_MEMORY", metavar="GB", help=MEMORY_HELP)
@click.option("--seconds", type=click.FloatRange(min=0.1), envvar="CODER_QUERY_SECONDS", help="Most time (120).")
@click.option("--rows", type=click.IntRange(min=1), envvar="CODER_QUERY_ROWS", help="Most rows printed (100000).")
@explain_errors
def query(sql: str, store: str, form: str, memory: float | None, seconds: float | None, rows: int | None) -> None:
    """Answer one SELECT over the result tables."""
    from coder_core.results.query_process import SPARE

    SPARE.prepare()
    from coder_core.results.query_limits import QueryLimits
    from coder_core.results.render import to_csv, to_json, to_table
    from coder_core.results.warehouse import Warehouse
    from coder_core.storage.store import Store

    asked = {"memory_bytes": memory and int(memory * 1e9), "seconds": seconds, "rows": rows}
    limits = QueryLimits(**{name: value for name, value in asked.items() if value is not None})  # type: ignore[arg-type]
    result = Warehouse(Store(store), limits).query(sql)
    render = {"table": to_table, "csv": partial(to_csv, for_terminal=sys.stdout.isatty()), "json": to_json}[form]
    click.echo(render(result).removesuffix("\n"), color=True)  # or click would take pieces out of what it holds


@main.command()
@store_option
@explain_errors
def tables(store: str) -> None:
    """List the result tables and views, their columns, and how many rows each table has."""
    from coder_core.results.overview import overview
    from coder_core.storage.store import Store

    for line in overview(Store(store)):
        click.echo(line)


def _program_name() -> str:
    """How to call this program from here: its bare name where the shell finds it, its path otherwise."""
    return "coder-eval" if shutil.which("coder-eval") else os.path.relpath(sys.argv[0])


def _run_flow(config: str, overrides: list[str], runtime: "Runtime") -> "EvalResult":
    with prefect_ready():
        from flows.coder_eval import coder_eval

        return coder_eval(config, overrides, runtime)


if __name__ == "__main__":
    main()
