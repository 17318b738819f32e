"""`coder-eval data`: which published data sets are known by name, what of them is here, and getting them."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, get_args

import click

from coder_core.errors import ConfigError, raise_all
from flows.cli_common import explain_errors
from flows.cli_logging import note_line

if TYPE_CHECKING:
    from coder_core.datasets.status import DatasetStatus
    from coder_core.specs import PublishedName

root_option = click.option("--root", help="The folder of data sets.  [default: CODER_DATA_ROOT, or a cache folder]")


@click.group()
def data() -> None:
    """Published data sets by name: what is here, and getting them (docs/datasets.md)."""


@data.command(name="list")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@root_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@explain_errors
def list_command(names: tuple[str, ...], root: str | None, as_json: bool) -> None:
    """Say of every data set, or of some, whether it is here, with images by part, the size to fetch, and terms."""
    from coder_core.datasets.places import data_root
    from coder_core.datasets.status import look_at_datasets

    known = _known(names)
    if not as_json:
        click.echo(f"data sets below {data_root(root)}")
    found = []
    for status in look_at_datasets(known or None, root):
        found.append(status)
        if not as_json:
            click.echo("\n".join(_lines(status)))
    if as_json:
        click.echo(json.dumps({"root": data_root(root), "datasets": [asdict(status) for status in found]}))


@data.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@root_option
@click.option("--max-seconds", type=click.FloatRange(min=0, min_open=True), help="For each file.  [default: a day]")
@explain_errors
def get(names: tuple[str, ...], root: str | None, max_seconds: float | None) -> None:
    """Fetch data sets, verify them, unpack them. What came is kept when it breaks off: the same command goes on."""
    from coder_core.datasets.fetching import FetchLimits
    from coder_core.datasets.getting import get_dataset
    from coder_core.errors import CoderError
    from flows.engines import logs_on_stderr

    limits = FetchLimits(max_seconds=max_seconds) if max_seconds else FetchLimits()
    problems: list[CoderError] = []
    with logs_on_stderr():
        for name in _known(names):
            try:
                get_dataset(name, root, limits=limits, tell=lambda line: click.echo(note_line(line), err=True))
            except CoderError as error:
                problems.append(error)
    raise_all(problems)


def _known(names: Sequence[str]) -> "list[PublishedName]":
    """Names of data sets, as they are known; hyphens may stand for `_`.

    Raises:
        ConfigError: One is not known.
    """
    import difflib

    from coder_core.specs import PublishedName

    known: dict[str, PublishedName] = {name: name for name in get_args(PublishedName)}
    found = []
    for name in names:
        word = name.lower().replace("-", "_")
        if word not in known:
            close = difflib.get_close_matches(word, known, n=1)
            remedy = f"Did you mean {close[0]!r}?" if close else f"There are: {', '.join(known)}."
            raise ConfigError(f"there is no data set {name!r:.80}.", "data", remedy)
        found.append(known[word])
    return found


def _lines(status: "DatasetStatus") -> list[str]:
    counts = ", ".join(f"{part} {count:,}" for part, count in status.images.items())
    fetched = f"{status.gigabytes:.2f} GB" if status.gigabytes else "by hand"
    lines = [f"{status.name:<16} {status.state:<11} {fetched:>9}  {status.title}: {counts or 'no part is whole'}"]
    if status.place:
        lines.append(f"  in {status.place}")
    lines += [f"  {part}: {problem}" for part, problem in status.problems.items()]
    if status.by_hand and status.state != "present":
        lines.append(f"  {status.by_hand}")
    return [*lines, f"  terms: {status.terms}"]
