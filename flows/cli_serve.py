"""`coder-eval serve` and `coder-eval deploy`: the pipeline as a service (docs/operations.md)."""

import os
import sys

import click

from flows.cli_common import explain_errors, explain_errors_of_service
from flows.stopping import exit_status

gpu_option = click.option(
    "--gpu-slots",
    default=1,
    show_default=True,
    type=click.IntRange(min=1),
    help="Tasks on the accelerator at a time, all runs together; a limit that the server has already stays.",
)


@click.command()
@click.option("--runs", default=2, show_default=True, type=click.IntRange(min=1), help="Flow runs at a time.")
@gpu_option
@explain_errors_of_service
def serve(runs: int, gpu_slots: int) -> None:
    """Start server, deployments and worker on this machine, and keep them running until Ctrl-C or SIGTERM."""
    from service.prefect_settings import load_prefect_settings

    load_prefect_settings()
    from service.serve import Service, load_settings

    def say(line: str) -> None:
        click.echo(line)

    sys.exit(exit_status(Service(load_settings(os.environ, runs=runs, gpu_slots=gpu_slots), say).run()))


@click.command()
@click.option("--pool-type", default="process", show_default=True, help="Type of the work pool, if there is none yet.")
@gpu_option
@explain_errors
def deploy(pool_type: str, gpu_slots: int) -> None:
    """Make the server that PREFECT_API_URL names ready: work pool, deployments, limits, the watch over silent runs."""
    from flows.cli_prefect import prefect_ready, require_server

    with prefect_ready(require_server("Set it to the server's URL, which ends in /api.")):
        from prefect.client.orchestration import get_client

        from service.deployment_setup import prepare

        with get_client(sync_client=True) as client:
            prepare(client, os.environ, pool_type=pool_type, gpu_slots=gpu_slots)
    click.echo("Deployed. A worker carries the runs out: prefect worker start --pool coder")
