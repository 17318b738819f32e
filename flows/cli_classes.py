"""`coder-eval classes`: what changed in the classes of an evaluation since it ran last, and telling the server."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from coder_core.errors import CoderError
from flows.cli_common import explain_errors, set_option, store_option
from flows.cli_logging import note_line
from flows.cli_prefect import prefect_ready, require_server

if TYPE_CHECKING:
    from coder_core.class_source.class_look import ClassLook


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


@click.command()
@click.argument("before", metavar="RUN_BEFORE")
@click.argument("after", metavar="RUN_AFTER")
@click.option("--method", help="Compare classes by this method of both; default: coder, or the first of both.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with every class and nothing else.")
@store_option
@explain_errors
def compare(before: str, after: str, method: str | None, store: str, as_json: bool) -> None:
    """Compare two runs: settings that differ, every method's gains and losses, what new classes did to old ones.

    A run is named by its id, by its evaluation (the latest run of that), or as `latest`.
    """
    from coder_core.config import load_runtime
    from coder_core.pipeline.context import Context
    from coder_core.recipes.compare_runs import compare_runs
    from coder_core.report.class_changes import write_comparison

    found = compare_runs(Context.open(load_runtime(store=store)), before, after, method=method)
    click.echo(found.model_dump_json(indent=1) if as_json else write_comparison(found))


def print_class_changes(name: str, run_id: str, store: str) -> None:
    """After a run: what its new classes did to old ones, where the run before had other classes."""
    from coder_core.config import load_runtime
    from coder_core.pipeline.context import Context
    from coder_core.recipes.compare_runs import compare_with_previous
    from coder_core.report.class_changes import write_comparison

    try:
        comparison = compare_with_previous(Context.open(load_runtime(store=store)), name, run_id)
    except CoderError as error:  # the run itself is finished and published
        click.echo(note_line(f"not compared with the run before: {error}"), err=True)
        return
    if comparison is not None:
        click.echo(f"\n{write_comparison(comparison)}")


def _look_only(config: str, overrides: tuple[str, ...], store: str) -> "ClassLook":
    from coder_core.config import load_runtime, load_spec
    from coder_core.pipeline.runner import inline_runner
    from coder_core.steps.look_at_classes import LookAtClasses

    with inline_runner(load_runtime(store=store)) as run:
        return run(LookAtClasses(spec=load_spec(config, overrides)))


def _run_flow(config: str, overrides: tuple[str, ...], store: str) -> "ClassLook":
    from coder_core.config import load_runtime, load_spec

    load_spec(config, overrides)  # a wrong config is told before anything is started
    server = require_server("Start one, or use --dry-run, or run the evaluation yourself: coder-eval run.")
    from coder_core.sealing import seal, seal_text

    with prefect_ready(server):
        from flows.watch_classes import watch_classes

        known = [seal_text(override) for override in overrides]  # Prefect keeps the parameters
        return watch_classes(seal(_from_anywhere(config)), known, load_runtime(store=store))


def _from_anywhere(config: str) -> str:
    """The config as the worker finds it, wherever that works."""
    return str(Path(config).resolve()) if Path(config).is_file() else config
