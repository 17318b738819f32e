"""What a worker of a Ray cluster does first, whenever it starts."""

import json
import os
from typing import Any

from tasks.cluster_worker import prepare_worker

VARIABLE = "CODER_NAMED_RUN"
"""Tells a worker of which run it is: Ray calls a function by its name, without arguments."""


def preparation(run: tuple[str | None, str] | None, *, finds_threads: bool = False) -> dict[str, Any]:
    """What Ray must be told so that every worker of this run calls `prepare`.

    Args:
        run: The flow run's id and the evaluation's run id, where the run has one.
        finds_threads: Whether workers find out how many threads a pass should have, whatever their environment says.
    """
    hook = f"{__name__}.{(prepare_to_find_threads if finds_threads else prepare).__name__}"
    return {"worker_process_setup_hook": hook, "env_vars": {VARIABLE: json.dumps(run)}}


def prepare() -> None:
    """Called by the worker, before its first task."""
    run = json.loads(os.environ[VARIABLE])
    prepare_worker(None if run is None else (run[0], run[1]))


def prepare_to_find_threads() -> None:
    """The same where nobody has chosen a number of threads: Ray keeps to one that the environment names."""
    from coder_core.embedding.thread_counts import TORCH

    prepare()
    TORCH.heeds_environment = False
