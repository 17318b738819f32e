"""What a worker of a Dask cluster does first, whenever it starts.

Nothing here imports Prefect when it is loaded: a worker loads it on the thread of its event loop, where Prefect cannot
start its plugins.
"""

import asyncio

import distributed


class Preparation(distributed.WorkerPlugin):
    """Prepares every worker, those that join or are started again later, too.

    Args:
        run: The flow run's id and the evaluation's run id, where the run has one.
    """

    def __init__(self, run: tuple[str | None, str] | None) -> None:
        self._run = run

    async def setup(self, worker: distributed.Worker) -> None:  # noqa: ARG002 - Dask's signature
        """Called by the worker, before its first task."""
        await asyncio.to_thread(_prepare, self._run)


def _prepare(run: tuple[str | None, str] | None) -> None:
    from tasks.cluster_worker import prepare_worker

    prepare_worker(run)
