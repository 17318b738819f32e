"""The accelerator is held by few tasks at a time: within a process by a counter, between processes by Prefect.

The processes of a Dask or Ray cluster are several, too: there the server's limit alone keeps the tasks of a run apart.

Prefect's `concurrency(name)` is silently no limit when nobody has created `name` on the server. So the limit is looked
up first: where it is, a slot of it is taken with `strict=True`; where it is not, the run says once that only its own
tasks are kept apart. `serve` creates it; elsewhere `prefect gcl create coder-gpu --limit 1` does. On the CPU there is
nothing to share and nothing is asked.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from prefect.client.orchestration import get_client
from prefect.concurrency.asyncio import AcquireConcurrencySlotTimeoutError
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectNotFound
from prefect.logging import get_run_logger

from coder_core.interruption import check_interruption, not_counted
from coder_core.pipeline.accelerator import PATIENCE_SECONDS, LocalAccelerator, is_cpu
from coder_core.specs import Runtime

GPU_LIMIT = "coder-gpu"
"""Name of the global concurrency limit on the server."""

LEASE_SECONDS = 60.0
"""After this time a slot whose holder was killed is free again (the server looks every 15 s); the shortest is best, and
Prefect renews a lease at three quarters of it."""


class ServerAccelerator:
    """Keeps tasks apart within this process, and between processes by a limit on Prefect's server.

    Args:
        runtime: Which device, and how many of this process may hold it.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._local = LocalAccelerator(runtime)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Wait for the device, and hold it for a block; on the CPU this does nothing."""
        if is_cpu(self._runtime):
            yield
            return
        with self._local.hold(), ExitStack() as stack:
            with not_counted():
                if has_server_limit():
                    _take_server_slot(stack)
            yield


def report_missing_limit(runtime: Runtime) -> None:
    """Say in the log of a run that other runs are not kept off its accelerator, if that is so."""
    if is_cpu(runtime) or has_server_limit():
        return
    if runtime.task_runner == "threads":
        kept = "only the tasks of this run are kept apart on the accelerator. To share it with other runs"
    else:
        kept = f"task_runner {runtime.task_runner!r} works in several processes, and nothing keeps them apart on the "
        kept += "accelerator. To share it"
    get_run_logger().warning(
        "The server has no limit %r: %s, create it once: prefect gcl create %s --limit 1", GPU_LIMIT, kept, GPU_LIMIT
    )


def has_server_limit() -> bool:
    """Whether the server has the limit, and enforces it."""
    with get_client(sync_client=True) as client:
        try:
            return client.read_global_concurrency_limit_by_name(GPU_LIMIT).active
        except ObjectNotFound:
            return False


def _take_server_slot(stack: ExitStack) -> None:
    """Enter the limit. A lease that cannot be renewed (the server restarts) is told and does not end the work."""
    is_told = False
    while True:
        slot = concurrency(
            GPU_LIMIT,
            timeout_seconds=PATIENCE_SECONDS,
            lease_duration=LEASE_SECONDS,
            strict=True,
            raise_on_lease_renewal_failure=False,
        )
        try:
            stack.enter_context(slot)
            return
        except AcquireConcurrencySlotTimeoutError:
            check_interruption()
        if not is_told:
            get_run_logger().info("Waiting for a slot of %r.", GPU_LIMIT)
            is_told = True
