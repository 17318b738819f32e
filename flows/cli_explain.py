"""`coder-eval explain RUN IMAGE`: the texts that made one decision."""

import json
import sys

import click

from flows.cli_common import explain_errors, store_option


@click.command()
@click.argument("run_id", metavar="RUN")
@click.argument("image_id", metavar="IMAGE")
@click.option("--method", help="Whose decision: clip, vcd, coder or coder_rerank; default: coder, or what the run has.")
@click.option("--rival", help="Class to compare with; default: the runner-up, or what the rerank overruled.")
@click.option("--top", default=20, show_default=True, type=click.IntRange(min=1), help="Texts to show.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with all texts and nothing else.")
@store_option
@explain_errors
def explain(
    run_id: str, image_id: str, method: str | None, rival: str | None, top: int, *, as_json: bool, store: str
) -> None:
    """Show which texts made RUN decide so about IMAGE: their shares add up to the margin."""
    from coder_core.config import load_runtime
    from coder_core.pipeline.context import Context
    from coder_core.recipes.explain_decision import explain_decision
    from coder_core.recipes.published_runs import open_run
    from coder_core.report.explanation import print_decision

    context = Context.open(load_runtime(store=store))
    manifest = open_run(context.artifacts.store, run_id)
    decision = explain_decision(context, manifest, image_id, method=method, rival=rival)
    if as_json:
        shares = [share._asdict() for share in decision.shares]
        click.echo(json.dumps({**decision._asdict(), "shares": shares}))
        return
    print_decision(decision, sys.stdout, top=top)
