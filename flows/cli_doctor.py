"""`coder-eval doctor CONFIG`: are names, label order and texts what they seem? `--fix` edits the config."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from coder_core.counted import counted
from flows.cli_common import explain_errors, set_option, store_option

if TYPE_CHECKING:
    from coder_core.atg.generator import CostEstimate
    from coder_core.recipes.examination import Examination
    from coder_core.review.finding import Finding
    from coder_core.specs import EvalSpec, Runtime

FOUND_STATUS = 3
"""As for every input that should be mended before it is used."""


@click.command()
@click.argument("config")
@set_option
@store_option
@click.option("--fix", is_flag=True, help="Write the proposed names into CONFIG as `class_names`; data stays as it is.")
@click.option("--names-only", is_flag=True, help="Do not load the model: look at names and texts alone.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@explain_errors
def doctor(config: str, overrides: tuple[str, ...], store: str, *, fix: bool, names_only: bool, as_json: bool) -> None:
    """Examine what CONFIG classifies: names, label order, empty classes, texts. No language model is asked.

    Ends with 3 when a fault is left.
    """
    from coder_core.config import load_runtime, load_spec
    from coder_core.recipes.examination import examine, fix_config

    spec, runtime = load_spec(config, overrides), load_runtime(store=store)
    found = examine(spec, runtime, with_encoder=not names_only)
    written = fix_config(config, spec, found) if fix else {}
    if as_json:
        click.echo(found.to_json(written))
    else:
        _tell(found, written, Path(config))
    left = [finding for finding in found.findings if not (written and finding.new_names)]
    sys.exit(FOUND_STATUS if left else 0)


LITTLE = 10
"""Fewer answers to buy than one for so many that are held are few."""


def look_before_paying(spec: "EvalSpec", runtime: "Runtime", estimate: "CostEstimate | None") -> list[str]:
    """Before a language model is asked about names: a handful of images through the encoder, as warnings.

    Without a language model a run costs no money, and is its own look; so is one that buys little beside what was
    bought before, as when a class joins a list.
    """
    if estimate is None or estimate.calls * LITTLE <= estimate.reused:
        return []
    from coder_core.pipeline.runner import inline_runner
    from coder_core.recipes.doctor import look_through_encoder

    with inline_runner(runtime) as run:
        return [str(finding) for finding in look_through_encoder(spec, run)]


def _tell(found: "Examination", written: dict[str, str], config: Path) -> None:
    for finding in found.findings:
        click.echo(f"{finding.fault}: {finding}")
    if not found.findings:
        click.echo("no fault found")
    if written:
        click.echo(f"wrote {counted(len(written), 'name')} into {config} (class_names)")
    elif any(_has_proposal(finding) for finding in found.findings):
        click.echo(f"coder-eval doctor {config} --fix writes the proposed names into it")


def _has_proposal(finding: "Finding") -> bool:
    return bool(finding.new_names)
