"""`coder-eval classes`: what changed in the classes of an evaluation since it ran last, and telling the server."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flows.cli_common import explain_errors, set_option, store_option
from flows.cli_prefect import prefect_ready, require_server

if TYPE_CHECKING:
    from coder_core.steps.class_watch import ClassLook


@click.group()
def classes() -> None:
    """Notice new, removed and renamed classes."""


@classes.command()
@click.argument("config")
@set_option
@store_option
@click.option("--dry-run", is_flag=True, help="Only print what changed; needs no server.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@explain_errors
def watch(config: str, overrides: tuple[str, ...], store: str, dry_run: bool, as_json: bool) -> None:
    """Compare the classes of CONFIG with those evaluated last; a difference starts the evaluation, once."""
    from coder_core.report.class_changes import write_look

    look = _look_only(config, overrides, store) if dry_run else _run_flow(config, overrides, store)
    click.echo(look.model_dump_json(indent=1) if as_json else write_look(look))
    if look.unfinished is not None:
        sys.exit(3)


def _look_only(config: str, overrides: tuple[str, ...], store: str) -> "ClassLook":
    from coder_core.config import load_runtime, load_spec
    from coder_core.steps.class_watch import look_at_classes

    return look_at_classes(load_spec(config, overrides), load_runtime(store=store))


def _run_flow(config: str, overrides: tuple[str, ...], store: str) -> "ClassLook":
    from coder_core.config import load_runtime, load_spec

    load_spec(config, overrides)  # a wrong config is told before anything is started
    require_server("Start one, or use --dry-run, or run the evaluation yourself: coder-eval run.")
    with prefect_ready():
        from flows.watch_classes import watch_classes

        return watch_classes(_from_anywhere(config), list(overrides), load_runtime(store=store))


def _from_anywhere(config: str) -> str:
    """The config as the worker finds it, wherever that works."""
    return str(Path(config).resolve()) if Path(config).is_file() else config
