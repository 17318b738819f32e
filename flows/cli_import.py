"""`coder-eval import clip-retrieval FOLDER`: what another tool has embedded, as a config."""

from pathlib import Path
from typing import Any

import click

from coder_core.errors import CoderError
from flows.cli_common import explain_errors, store_option, told_errors
from flows.cli_logging import warning_line


@click.group(name="import")
def import_group() -> None:
    """Take over what another tool has computed."""


@import_group.command(name="clip-retrieval")
@click.argument("folder")
@click.option("--labels", metavar="COLUMN", help="Column of the metadata, or `folders` (default: label, else folders).")
@click.option("--classes", type=click.Path(), help="Names, one per line: what label numbers mean, or which compete.")
@click.option("--model", help="What made the vectors: it embeds the sentences about the classes.")
@click.option("--texts", metavar="FOLDER", help="Instead: a folder of clip-retrieval whose captions are the sentences.")
@click.option("--domain", help="Whose sentences: bird, food, texture, satellite, ... (general).")
@click.option("--name", help="Of the evaluation; default: the folder's.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="The config; default: NAME.yaml.")
@click.option("--force", is_flag=True, help="Replace files that hold something else.")
@store_option
@explain_errors
def clip_retrieval(*, out: Path | None, force: bool, store: str, **wish: Any) -> None:
    """Write the config of an evaluation of the vectors in FOLDER (img_emb, metadata), and say what it lacks."""
    from coder_core.config import load_runtime
    from coder_core.recipes.check import check_evaluation
    from coder_core.recipes.import_retrieval import RetrievalWish, import_retrieval

    runtime = load_runtime(store=store)
    imported = import_retrieval(RetrievalWish(**wish), out, runtime=runtime, is_forced=force)
    for fact in imported.facts:
        click.echo(fact)
    click.echo(f"wrote {imported.path}" + (f" and {imported.written}" if imported.written else ""))
    checked = check_evaluation(imported.spec, runtime)
    for line in (*checked.warnings, *_lacks(checked.problems)):
        click.echo(warning_line(line), err=True)
    click.echo(f"Next: coder-eval run {imported.path}")


def _lacks(problems: list[CoderError]) -> list[str]:
    """What a run would stop at: the config is there all the same, and can be edited."""
    return [f"a run would stop here: {line}" for problem in problems for line in told_errors(problem)]
