"""Every run that a server watches gives signs of life more often than the watch expects them."""

from pathlib import Path

import yaml

from flows.cli_prefect import PREFECT_DEFAULTS
from service.deployment_setup import SILENCE

ROOT = Path(__file__).parents[2]
FREQUENCY = "PREFECT_FLOWS_HEARTBEAT_FREQUENCY"
MISSED = 2
"""Heartbeats that may get lost before a run counts as dead."""


def test_runs_from_the_command_line_and_from_a_worker_are_not_taken_for_dead() -> None:
    deployed = yaml.safe_load(Path("prefect.yaml").read_text("utf-8"))["definitions"]["work_pool"]["job_variables"][
        "env"
    ]
    for environment in (PREFECT_DEFAULTS, deployed):
        assert int(environment[FREQUENCY]) * (MISSED + 1) <= SILENCE.total_seconds()
