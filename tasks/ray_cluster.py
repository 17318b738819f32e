"""Tasks on Ray: a cluster of this machine that lives as long as the run, or one that is there already.

Needs the extra `ray`. The local cluster listens on loopback with a token of its own, shows no dashboard and reports to
nobody. Ray reads most of what it is told from the environment, when it is imported and when its processes start.
"""

import logging
import os
import secrets
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from typing import Any

from prefect.task_runners import TaskRunner

from coder_core.embedding.thread_counts import is_chosen_in_environment
from coder_core.errors import ConfigError
from coder_core.specs import Runtime
from coder_core.storage.store import Store
from tasks.cluster_worker import Greeting, ask_a_worker, greet, lost_workers
from tasks.json_logs import named_run
from tasks.ray_workers import preparation
from tasks.task_runner_choice import ADDRESS_PLACE

CONNECT_SECONDS = 10.0
GREETING_SECONDS = 60.0
"""For a worker to import this project and answer."""

OBJECT_STORE_BYTES = 100 * 2**20
"""Handles travel, never arrays; Ray asks for 75 MiB at least."""

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_DISABLE_WORKER_LOG_PREFIX": "1",  # JSON lines stay JSON
}
LOCAL_ENVIRONMENT = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # the name is Ray's; it makes loopback the address of this machine
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # hides none from tasks that reserve none
}


TOKEN_LOGGER = "ray._private.authentication.authentication_token_setup"  # noqa: S105 - no password
"""Warns that a local cluster asks for its token, which is as it should be."""


@contextmanager
def open_ray(runtime: Runtime) -> Iterator[TaskRunner[Any]]:
    """Start or find the cluster; at the end of the block a local one is gone, with all its processes.

    Raises:
        ConfigError: The cluster does not answer, or cannot work for this run.
        ServiceError: Its workers end without a word.
    """
    _set_defaults(QUIET)
    is_local = runtime.task_runner_address is None
    settings: dict[str, Any] = {
        "logging_level": logging.WARNING,
        "runtime_env": preparation(named_run(), finds_threads=is_local and not is_chosen_in_environment()),
    }
    with ExitStack() as stack:
        if runtime.task_runner_address is None:
            stack.enter_context(_torch_threads_in_environment())
            runner = stack.enter_context(_local(runtime.workers, settings))
        else:
            runner = stack.enter_context(_existing(runtime.task_runner_address, settings))
            ask_a_worker(runtime, _greeting_of)
        stack.enter_context(_lost_workers_explained())
        yield runner


def reservation() -> Callable[[], AbstractContextManager[Any]] | None:
    """What a task that runs a model is submitted in: Ray gives it an accelerator; None where the cluster has none.

    Ray would end a worker after one task with an accelerator, and the model with it.
    """
    import ray
    from prefect_ray.context import remote_options

    offered: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    if offered.get("GPU", 0) < 1:
        return None
    return partial(remote_options, num_gpus=1, max_calls=0)


@contextmanager
def _local(workers: int, settings: dict[str, Any]) -> Iterator[TaskRunner[Any]]:
    logging.getLogger(TOKEN_LOGGER).setLevel(logging.ERROR)
    _set_defaults({**LOCAL_ENVIRONMENT, "RAY_AUTH_TOKEN": secrets.token_hex(32)})
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        local = {"address": "local", "num_cpus": workers, "include_dashboard": False, "_temp_dir": folder}
        local |= {"_node_ip_address": "127.0.0.1", "object_store_memory": OBJECT_STORE_BYTES}
        with _started(None, {**settings, **local}) as runner:
            yield runner


@contextmanager
def _torch_threads_in_environment() -> Iterator[None]:
    """Have tasks think with as many threads as here, so that sums are added in the same order; passes find their own.

    Ray would give each one thread. What it adds to the environment is gone with the cluster: the next run in this
    process finds out for itself.
    """
    import torch

    is_chosen = "OMP_NUM_THREADS" in os.environ
    _set_defaults({"OMP_NUM_THREADS": str(torch.get_num_threads())})
    try:
        yield
    finally:
        if not is_chosen:
            os.environ.pop("OMP_NUM_THREADS", None)


@contextmanager
def _existing(address: str, settings: dict[str, Any]) -> Iterator[TaskRunner[Any]]:
    _check_address(address)
    with ExitStack() as stack:
        try:
            runner = stack.enter_context(_started(address, settings))
        except Exception as error:
            problem = f"the Ray cluster there refuses ({type(error).__name__}: {_first_line(error)})."
            remedy = "Use the same versions of Ray and Python, and its token (RAY_AUTH_MODE=token), on every machine."
            raise ConfigError(problem, f"{ADDRESS_PLACE}: {address}", remedy) from error
        yield runner


@contextmanager
def _started(address: str | None, settings: dict[str, Any]) -> Iterator[TaskRunner[Any]]:
    """Enter the runner, and leave Prefect its answer to SIGTERM, by which it cancels: Ray puts its own in its place."""
    import ray
    from prefect_ray import RayTaskRunner

    answer = signal.getsignal(signal.SIGTERM)
    with ExitStack() as stack:
        stack.callback(ray.shutdown)  # once more than Prefect does: what has half started must end, too
        runner = stack.enter_context(RayTaskRunner(address=address, init_kwargs=settings))
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, answer)
        yield runner


def _check_address(address: str) -> None:
    """Ask whether somebody is there: Ray itself would try for minutes, and then end this process."""
    import grpc

    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS).close()
        if os.environ.get("RAY_USE_TLS", "0") == "0":
            with grpc.insecure_channel(f"{host}:{port}") as channel:
                grpc.channel_ready_future(channel).result(timeout=CONNECT_SECONDS)
    except (OSError, ValueError, OverflowError, grpc.FutureTimeoutError) as error:
        problem = f"no Ray cluster answers there ({type(error).__name__})."
        remedy = "Start it (`ray start --head`), or correct the address: host:6379, or ray://host:10001."
        raise ConfigError(problem, f"{ADDRESS_PLACE}: {address}", remedy) from error


def _greeting_of(store: Store, probe: str) -> Greeting:
    import ray

    try:
        found: Greeting = ray.get(ray.remote(greet).remote(store, probe), timeout=GREETING_SECONDS)
    except ray.exceptions.RayTaskError as error:  # its message is the traceback of the worker
        raise error.cause from error
    return found


@contextmanager
def _lost_workers_explained() -> Iterator[None]:
    import ray

    try:
        yield
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError, ray.exceptions.RaySystemError) as error:
        raise lost_workers("Ray", error) from error


def _set_defaults(values: dict[str, str]) -> None:
    for name, value in values.items():
        os.environ.setdefault(name, value)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "")[:200]
