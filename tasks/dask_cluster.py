"""Tasks on Dask: a cluster of this machine that lives as long as the run, or one that is there already.

Needs the extra `dask`. The local cluster listens on loopback, shows no dashboard, and its workers think with as many
threads as this process does, so that sums are added in the same order and results are equal to the last digit.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from typing import Any

import dask
import distributed
from distributed.comm.core import connect
from prefect_dask.task_runners import DaskTaskRunner

from coder_core.errors import ConfigError
from coder_core.specs import Runtime
from coder_core.storage.store import Store
from tasks.cluster_worker import Greeting, ask_a_worker, greet, lost_workers
from tasks.dask_workers import Preparation
from tasks.json_logs import named_run
from tasks.task_runner_choice import ADDRESS_PLACE

LOOPBACK = "127.0.0.1"
CONNECT_SECONDS = 10
GREETING_SECONDS = 60.0
"""For a worker to import this project and answer; an adaptive cluster may have to start one first."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Dask sets them to 1 unless it is told None."""

RESERVED = {"GPU": 1}
"""Of a task that runs a model. Dask knows of no accelerator unless it is told: `dask worker --resources GPU=1`."""

LOG_LEVELS = {
    "distributed": logging.WARNING,
    "distributed.nanny": logging.ERROR,
    "distributed.worker": logging.ERROR,
}
"""Dask tells every connection, and warns that a worker had work when its run ended, and that it was killed then."""

LOCAL_SETTINGS: dict[str, Any] = {
    "distributed.nanny.pre-spawn-environ": dict.fromkeys(THREAD_VARIABLES),
    "distributed.dashboard.link": "",  # there is none to be told of
    "logging": {name: logging.getLevelName(level).lower() for name, level in LOG_LEVELS.items()},
}


@contextmanager
def open_dask(runtime: Runtime) -> Iterator[DaskTaskRunner]:
    """Start or find the cluster; at the end of the block a local one is gone, with all its processes.

    Raises:
        ConfigError: The cluster does not answer, or cannot work for this run.
        ServiceError: Its workers end without a word.
    """
    for name, level in LOG_LEVELS.items():
        logging.getLogger(name).setLevel(level)
    with ExitStack() as stack:
        if runtime.task_runner_address is None:
            stack.enter_context(dask.config.set(LOCAL_SETTINGS))
            runner = stack.enter_context(_local(runtime.workers))
        else:
            runner = stack.enter_context(_existing(runtime.task_runner_address))
            ask_a_worker(runtime, partial(_greeting_of, runner.client))
        runner.client.register_plugin(Preparation(named_run()), name="coder-eval")
        stack.enter_context(_lost_workers_explained())
        yield runner


def reservation(runner: DaskTaskRunner) -> Callable[[], AbstractContextManager[Any]] | None:
    """What a task that runs a model is submitted in: it goes to a worker that has `GPU`; None where no worker has."""
    workers = runner.client.scheduler_info()["workers"].values()
    if not any(worker["resources"].get(name, 0) >= count for worker in workers for name, count in RESERVED.items()):
        return None
    return partial(dask.annotate, resources=RESERVED)  # type: ignore[attr-defined]


def _local(workers: int) -> DaskTaskRunner:
    settings = {"n_workers": workers, "threads_per_worker": 1, "processes": True, "host": LOOPBACK}
    # Its page of numbers cannot be left out, but need not be at the port that every cluster wants.
    scheduler = {"dashboard": False, "dashboard_address": f"{LOOPBACK}:0"}
    # Without a limit of memory: Dask would kill a worker where a thread may go on.
    return DaskTaskRunner(cluster_kwargs={**settings, "scheduler_kwargs": scheduler, "memory_limit": 0})


@contextmanager
def _existing(address: str) -> Iterator[DaskTaskRunner]:
    _check_address(address)
    with DaskTaskRunner(address=address) as runner:
        yield runner


def _check_address(address: str) -> None:
    """Ask whether a scheduler is there: Dask itself waits for ever for one that takes the call and says nothing."""
    with ThreadPoolExecutor(1) as thread:  # this one may run a loop of its own
        try:
            thread.submit(asyncio.run, _shake_hands(address)).result()
        except Exception as error:
            problem = f"no Dask scheduler answers there ({type(error).__name__})."
            remedy = "Start it (`dask scheduler`), or correct the address: tcp://host:8786."
            raise ConfigError(problem, f"{ADDRESS_PLACE}: {address}", remedy) from error


async def _shake_hands(address: str) -> None:
    keys = distributed.Security().get_connection_args("client")
    calling = connect(address, timeout=CONNECT_SECONDS, **keys)
    comm = await asyncio.wait_for(calling, CONNECT_SECONDS)
    await comm.close()


def _greeting_of(client: distributed.Client, store: Store, probe: str) -> Greeting:
    found: Greeting = client.submit(greet, store, probe, pure=False).result(timeout=GREETING_SECONDS)
    return found


@contextmanager
def _lost_workers_explained() -> Iterator[None]:
    try:
        yield
    except (distributed.KilledWorker, distributed.client.FutureCancelledError) as error:
        raise lost_workers("Dask", error) from error
