"""`coder-eval texts`: buy, import, look at and export the texts of a config's classes.

Every command reads the same config as `coder-eval run`, so what is shown is what would be evaluated.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flows.cli_common import explain_errors, set_option, store_option
from flows.cli_logging import warning_line

if TYPE_CHECKING:
    from coder_core.recipes.text_commands import TextBankCommands


KINDS = ("attribute", "sentence", "analogous_class", "synonym")
"""Kinds of phrase that a list of texts per class may be."""


def parse_aliases(_context: click.Context, _option: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Read `old=new` pairs: what a file calls a class, and the class's name."""
    pairs = [value.partition("=") for value in values]
    for (old, separator, new), value in zip(pairs, values, strict=True):
        if not (separator and old.strip() and new.strip()):
            raise click.BadParameter(f"{value!r} is not of the form old=new.")
    return {old.strip(): new.strip() for old, _, new in pairs}


force_option = click.option("--force", is_flag=True, help="Replace a file that holds something else.")


@click.group()
def texts() -> None:
    """Generate, import, show and export the texts about the classes."""


@texts.command()
@click.argument("config")
@set_option
@store_option
@click.option("--dry-run", is_flag=True, help="Print calls, tokens and dollars; ask nothing.")
@click.option("--max-cost-usd", type=float, help="Stop before this is passed; what was bought is kept.")
@click.option("--batch", is_flag=True, help="Use the provider's Batch API: cheaper, and done within a day.")
@explain_errors
def generate(
    config: str, overrides: tuple[str, ...], store: str, dry_run: bool, max_cost_usd: float | None, batch: bool
) -> None:
    """Buy the texts that the store lacks from the language model that CONFIG names."""
    commands = _open_text_commands(config, overrides, store, max_cost_usd=max_cost_usd)
    _warn_of_equal_classes(commands)
    _warn_of_names(commands)
    if dry_run:
        click.echo(str(commands.estimate(is_batch=batch)))
        return
    report = commands.generate(is_batch=batch)
    click.echo(str(report))
    from coder_core.llm.faults import LlmError
    from coder_core.steps.generate_texts import check_generation

    check_generation(report)
    if report.has_failures:
        sys.exit(LlmError.exit_code)


@texts.command("import")
@click.argument("source")
@click.option("--classes", "class_config", help="A config whose class list counts; default: the file's own names.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="Text bank to write.")
@click.option("--verbatim", is_flag=True, help="Keep phrases as they are instead of repairing their ends.")
@click.option(
    "--alias", "aliases", multiple=True, callback=parse_aliases, metavar="OLD=NEW", help="The file's name for a class."
)
@click.option("--kind", type=click.Choice(KINDS), help="What the texts of a class-to-list file are (attribute).")
@force_option
@explain_errors
def import_texts(
    source: str,
    class_config: str | None,
    out: Path,
    verbatim: bool,
    aliases: dict[str, str],
    kind: str | None,
    force: bool,
) -> None:
    """Turn published texts (JSON of the CODER data, VCD, CuPL) into a text bank, and say what did not match."""
    from coder_core.recipes.text_commands import import_published
    from coder_core.texts.bank import PhraseKind

    chosen = PhraseKind(kind) if kind else None
    click.echo(
        import_published(
            source, class_config, out, repair=not verbatim, alias=aliases or None, kind=chosen, is_forced=force
        )
    )


@texts.command()
@click.argument("config")
@set_option
@store_option
@click.option("--class", "class_name", help="Show every text of one class instead of the summary.")
@explain_errors
def show(config: str, overrides: tuple[str, ...], store: str, class_name: str | None) -> None:
    """Show the texts that an evaluation of CONFIG would use, and what a reviewer should look at."""
    click.echo(_open_text_commands(config, overrides, store).show(class_name))


@texts.command()
@click.argument("config")
@set_option
@store_option
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="Text bank to write.")
@force_option
@explain_errors
def export(config: str, overrides: tuple[str, ...], store: str, out: Path, force: bool) -> None:
    """Write the texts of CONFIG to one bank file, to read, edit or share."""
    _open_text_commands(config, overrides, store).export(out, is_forced=force)
    click.echo(f"wrote {out}")


@texts.command()
@click.argument("config")
@click.argument("edited", type=click.Path(path_type=Path, dir_okay=False))
@set_option
@store_option
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="Edits file to write.")
@force_option
@explain_errors
def edits(config: str, edited: Path, overrides: tuple[str, ...], store: str, out: Path, force: bool) -> None:
    """Turn an exported and hand-edited bank into an edits file (`texts.edits`), which survives regeneration."""
    click.echo(_open_text_commands(config, overrides, store).write_edits(edited, out, is_forced=force))


def _warn_of_equal_classes(commands: "TextBankCommands") -> None:
    """Classes of one name get the same questions: said before anything is spent on them."""
    from coder_core.texts.bank_checks import equal_classes_warning

    warning = equal_classes_warning(commands.classes)
    if warning is not None:
        click.echo(warning_line(warning), err=True)


def _warn_of_names(commands: "TextBankCommands") -> None:
    """Questions about `AnnualCrop` are paid for, and answered, as they are asked."""
    from coder_core.encoders.imagenet_names import names_by_wordnet_id
    from coder_core.review.finding import Fault
    from coder_core.review.name_checks import check_names

    domain = commands.spec.texts.domain
    for finding in check_names(commands.classes, domain=domain, wordnet_names=names_by_wordnet_id):
        if finding.fault is not Fault.SAME_NAME:
            click.echo(warning_line(str(finding)), err=True)


def _open_text_commands(
    config: str, overrides: tuple[str, ...], store: str, *, max_cost_usd: float | None = None
) -> "TextBankCommands":
    from coder_core.recipes.text_commands import open_text_commands

    return open_text_commands(config, overrides, store, max_cost_usd=max_cost_usd)
