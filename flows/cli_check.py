"""`coder-eval check CONFIG`: what a run would stumble over later, told in seconds; every run starts with this look."""

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from coder_core.errors import CoderError, ConfigError
from flows.cli_common import explain_errors, set_option, store_option, told_errors
from flows.cli_logging import error_line, warning_line

if TYPE_CHECKING:
    from coder_core.recipes.check import Checked
    from coder_core.specs import EvalSpec, Runtime


@click.command()
@click.argument("config", default="demo:flags")
@set_option
@store_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@explain_errors
def check(config: str, overrides: tuple[str, ...], store: str, as_json: bool) -> None:
    """Look at everything that CONFIG names: paths, banks, classes, weights, keys, extras. Nothing is computed.

    Ends with 2 when something would stop a run; every problem is told, each once.
    """
    from coder_core.config import load_runtime, load_spec

    found = look(load_spec(config, overrides), load_runtime(store=store))
    if as_json:
        problems = [str(problem) for problem in found.problems]
        click.echo(json.dumps({"problems": problems, "warnings": found.warnings, "facts": found.facts}))
    else:
        for fact in found.facts:
            click.echo(fact)
        tell(found.warnings)
        for line in (line for problem in found.problems for line in told_errors(problem)):
            click.echo(error_line(line), err=True)
        if not found.problems:
            click.echo("nothing speaks against a run")
    if found.problems:
        sys.exit(ConfigError.exit_code)


def look(spec: "EvalSpec", runtime: "Runtime") -> "Checked":
    """All checks of an evaluation, that of its task runner included."""
    from coder_core.recipes.check import check_evaluation
    from tasks.task_runner_choice import check_task_runner

    problems: list[CoderError] = []
    try:
        check_task_runner(runtime)
    except CoderError as error:
        problems.append(error)
    found = check_evaluation(spec, runtime)
    found.problems[:0] = problems
    return found


def tell(warnings: Sequence[str]) -> None:
    """Print what may be wrong to standard error, one line each."""
    for warning in warnings:
        click.echo(warning_line(warning), err=True)
