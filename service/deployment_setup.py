"""What a Prefect server holds for this project: work pool, deployments, the accelerator's limit, the watch over runs.

Everything here may be done again at any time and changes nothing that is as it should be. `serve` does it for its own
server; for a server that stands elsewhere `coder-eval deploy` does.
"""

import subprocess
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from coder_core.errors import ServiceError

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.events import AutomationCore

POOL = "coder"
"""The work pool that prefect.yaml names."""

SILENCE = timedelta(seconds=90)
"""A run that says nothing for so long is dead: three of the 30-second heartbeats that prefect.yaml asks for, the
shortest that Prefect takes."""

WATCH_NAME = "coder: a silent run has crashed"
COMMAND_SECONDS = 300.0
"""For one `prefect` command; deploying takes 10 s."""

_ENDINGS = ("Completed", "Failed", "Cancelled", "Crashed")


def prepare(client: "SyncPrefectClient", environment: Mapping[str, str], *, pool_type: str, gpu_slots: int) -> None:
    """Make the server ready: after this it takes runs, and a worker on the pool carries them out.

    Args:
        client: Of the server.
        environment: For `prefect` commands; names the same server.
        pool_type: Of the work pool, where there is none yet.
        gpu_slots: Tasks on the accelerator at a time, where there is no limit yet.

    Raises:
        ServiceError: A command failed.
    """
    ensure_pool(client, environment, pool_type=pool_type)
    run_prefect(environment, "--no-prompt", "deploy", "--all", "--prefect-file", str(deployment_file()))
    ensure_gpu_limit(client, gpu_slots)
    ensure_watch(client, silence=SILENCE)


def deployment_file() -> Path:
    """What is deployed: the prefect.yaml of this folder, else the one that is installed with this package."""
    here, package = Path("prefect.yaml").resolve(), Path(__file__).parent
    places = (here, package / "prefect.yaml", package.parent / "prefect.yaml")
    return next(place for place in places if place.is_file())


def ensure_pool(client: "SyncPrefectClient", environment: Mapping[str, str], *, pool_type: str) -> None:
    """Create the work pool if there is none; one that is there stays as it is."""
    from prefect.exceptions import ObjectNotFound

    try:
        client.read_work_pool(POOL)
    except ObjectNotFound:
        run_prefect(environment, "work-pool", "create", POOL, "--type", pool_type)


def ensure_gpu_limit(client: "SyncPrefectClient", slots: int) -> None:
    """Create the limit that `tasks.gpu` takes slots of; one that is there stays as somebody has set it."""
    from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
    from prefect.exceptions import ObjectNotFound

    from tasks.gpu import GPU_LIMIT

    try:
        client.read_global_concurrency_limit_by_name(GPU_LIMIT)
    except ObjectNotFound:
        client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=GPU_LIMIT, limit=slots))


def ensure_watch(client: "SyncPrefectClient", *, silence: timedelta) -> None:
    """Create or renew the automation that reports runs crashed whose process is gone.

    A worker reports the crash of a run that it started. When it is gone as well, nobody would: the run stays Running
    for ever, and its deployment's concurrency slot with it.
    """
    automation = silent_run_automation(silence)
    found = client.read_automations_by_name(WATCH_NAME)
    if found:
        client.update_automation(found[0].id, automation)
    else:
        client.create_automation(automation)


def silent_run_automation(silence: timedelta) -> "AutomationCore":
    """A heartbeat that neither another heartbeat nor an end follows in time makes the run Crashed."""
    from prefect.client.schemas.objects import StateType
    from prefect.events import AutomationCore, EventTrigger
    from prefect.events.actions import ChangeFlowRunState
    from prefect.events.schemas.automations import Posture

    message = (
        f"The run has been silent for {silence.total_seconds():.0f} s: its process or its machine is gone. "
        "Run again: it goes on from what is in the store."
    )
    return AutomationCore(
        name=WATCH_NAME,
        description="Heartbeats come every 30 s (prefect.yaml); without it a run whose worker died stays Running.",
        trigger=EventTrigger(
            after={"prefect.flow-run.heartbeat"},
            expect={"prefect.flow-run.heartbeat", *(f"prefect.flow-run.{ending}" for ending in _ENDINGS)},
            match={"prefect.resource.id": ["prefect.flow-run.*"]},
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=silence,
        ),
        actions=[ChangeFlowRunState(state=StateType.CRASHED, name="Crashed", message=message, force=False)],
    )


def run_prefect(environment: Mapping[str, str], *arguments: str) -> str:
    """Run one `prefect` command; gives what it says.

    Raises:
        ServiceError: It failed.
    """
    command = [sys.executable, "-m", "prefect", *arguments]
    shown = f"prefect {' '.join(arguments)}"
    try:
        done = subprocess.run(  # noqa: S603 - our own words
            command, env=environment, capture_output=True, text=True, timeout=COMMAND_SECONDS, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired as error:
        raise ServiceError(f"it did not end within {COMMAND_SECONDS:.0f} s.", shown, "Run it by hand.") from error
    if done.returncode != 0:
        said = " ".join((done.stderr + done.stdout).split())[-400:]
        raise ServiceError(f"it ended with {done.returncode}: {said}", shown, "Mend what it says and start again.")
    return done.stdout
