"""`coder-eval store`: check, compact and clear a store. What each command does and never does: docs/store.md.

None of them loads torch or Prefect, and none is needed for a run: care is for stores that live for months.
"""

import re
from datetime import timedelta

import click

from flows.cli_common import explain_errors, open_store, store_option

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_age(_context: click.Context, _option: click.Parameter, value: str) -> timedelta:
    """Read a length of time such as 30d, 12h, 90m or 2w."""
    match = re.fullmatch(r"(\d{1,5})([mhdw])", value)
    if match is None:
        raise click.BadParameter(f"{value!r} is not a time such as 30d, 12h, 90m or 2w.")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")


@click.group()
def store() -> None:
    """Check, compact and clear a store."""


@store.command()
@store_option
@click.option("--repair", is_flag=True, help="Move damaged files to damaged/, so that the next run makes them again.")
@json_option
@explain_errors
def verify(store: str, repair: bool, as_json: bool) -> None:
    """Read every file and compare it with its recorded hash; end with 4 when something is damaged."""
    from coder_core.care.repairing import repair_store
    from coder_core.care.verifying import verify_store
    from coder_core.errors import StoreError

    found = (repair_store if repair else verify_store)(open_store(store))
    click.echo(found.model_dump_json(indent=1) if as_json else str(found))
    if found.damage and not repair:
        remedy = "Run: coder-eval store verify --repair, then run again."
        count = len(found.damage)
        raise StoreError(f"{count} {'file is' if count == 1 else 'files are'} damaged.", found.store, remedy)


@store.command()
@store_option
@click.option("--dry-run", is_flag=True, help="Only say what would be merged.")
@click.option("--grace", callback=parse_age, default="1h", help="How long replaced result files stay (1h).")
@json_option
@explain_errors
def compact(store: str, dry_run: bool, grace: timedelta, as_json: bool) -> None:
    """Merge many small files (parts of ledgers, tables of runs) into few large ones; safe while runs are going."""
    from coder_core.care.store_compaction import compact_store

    done = compact_store(open_store(store), is_dry_run=dry_run, grace=grace)
    click.echo(done.model_dump_json(indent=1) if as_json else str(done))


@store.command()
@store_option
@click.option(
    "--older-than", callback=parse_age, required=True, help="Least time since the last write: 30d, 12h, 90m, 2w."
)
@click.option("--delete", is_flag=True, help="Really remove; without it the command only says what it would remove.")
@click.option("--force", is_flag=True, help="Allow less than a day, when no run uses the store.")
@json_option
@explain_errors
def gc(store: str, older_than: timedelta, delete: bool, force: bool, as_json: bool) -> None:
    """Say what nobody needs any more, and with --delete remove it. Ledgers and published runs always stay."""
    from coder_core.care.collection import collect_garbage

    done = collect_garbage(open_store(store), older_than, is_dry_run=not delete, is_forced=force)
    click.echo(done.model_dump_json(indent=1) if as_json else str(done))
