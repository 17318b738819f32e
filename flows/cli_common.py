"""What the commands share: options, and how an expected error is told."""

import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from coder_core.errors import CoderError
from flows.cli_logging import error_line
from flows.stopping import describe_stop, stoppable

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


GOES_ON = frozenset({"run", "predict", "generate", "watch"})
"""Commands that go on from what is in the store when they are started again."""


def explain_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Turn an expected error into one line on standard error and the exit status that its class names.

    Ctrl-C, SIGTERM and a closed terminal end the command within five seconds (`flows.stopping`).
    """

    @wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        store = kwargs.get("store") if command.__name__ in GOES_ON else None
        with stoppable(lambda name: describe_stop(name, store)):
            explain_errors_of_service(command)(*args, **kwargs)

    return wrapper


def explain_errors_of_service(command: Callable[..., None]) -> Callable[..., None]:
    """The same for a command that takes care of signals itself."""

    @wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except CoderError as error:
            words = [word for word in str(error).split() if word.strip("^")]  # DuckDB points at a place in its own line
            click.echo(error_line(" ".join(words)), err=True)
            sys.exit(error.exit_code)

    return wrapper
