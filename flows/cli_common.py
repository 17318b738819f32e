"""What the commands share: options, and how an expected error is told."""

import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from coder_core.errors import CoderError, SeveralProblemsError
from flows.cli_logging import error_line

DEFAULT_STORE = "./store"

set_option = click.option(
    "--set", "overrides", multiple=True, metavar="KEY.PATH=VALUE", help="Override one setting of the config."
)

store_option = click.option(
    "--store",
    default=lambda: os.environ.get("CODER_STORE", DEFAULT_STORE),
    show_default="CODER_STORE, or ./store",
    help="Root of the store: a folder or an fsspec URL such as s3://bucket/prefix.",
)

engine_option = click.option(
    "--engine",
    type=click.Choice(["auto", "prefect", "inline"]),
    default="auto",
    show_default=True,
    help="auto: under the Prefect server that is running, else in this process; prefect starts a temporary server.",
)


def explain_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Turn an expected error into one line per problem on standard error, and the exit status that its class names."""

    @wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except CoderError as error:
            for line in told_errors(error):
                click.echo(error_line(line), err=True)
            sys.exit(error.exit_code)

    return wrapper


def told_errors(error: CoderError) -> list[str]:
    """An error in the lines that its reader sees: one for each problem."""
    problems = error.problems if isinstance(error, SeveralProblemsError) else (error,)
    # DuckDB points with ^ at a place in its own line
    return [" ".join(word for word in str(problem).split() if word.strip("^")) for problem in problems]
