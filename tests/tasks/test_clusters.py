"""A cluster that does not answer, answers as another, or loses its workers is told in one error, and soon."""

import os
import socket
from collections.abc import Iterator
from contextvars import Context
from importlib.util import find_spec
from pathlib import Path

import pytest

from coder_core.errors import ConfigError, ServiceError
from coder_core.specs import Runtime
from coder_core.storage.store import Store
from tasks.cluster_worker import Greeting, ask_a_worker, greet
from tasks.json_logs import _run_id_of, name_run_of_process

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]  # the libraries themselves would wait for minutes, or for ever
needs_dask = pytest.mark.skipif(find_spec("prefect_dask") is None, reason="the extra `dask` is not installed")
needs_ray = pytest.mark.skipif(find_spec("prefect_ray") is None, reason="the extra `ray` is not installed")


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a port that takes every call and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def closed() -> str:
    """The address of a port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


@needs_dask
@pytest.mark.parametrize("address", ["silent", "closed", "tcp://nonsense", "other://127.0.0.1:1"])
def test_a_dask_scheduler_that_does_not_answer(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    from tasks import dask_cluster

    monkeypatch.setattr(dask_cluster, "CONNECT_SECONDS", 0.5)
    where = address if "//" in address else f"tcp://{request.getfixturevalue(address)}"
    refuse(dask_cluster._check_address, where, "no Dask scheduler answers there")


@needs_ray
@pytest.mark.parametrize("address", ["silent", "closed", "auto", "host:name", "127.0.0.1:99999"])
def test_a_ray_cluster_that_does_not_answer(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    from tasks import ray_cluster

    monkeypatch.setattr(ray_cluster, "CONNECT_SECONDS", 0.5)
    where = request.getfixturevalue(address) if address in ("silent", "closed") else address
    refuse(ray_cluster._check_address, where, "no Ray cluster answers there")


def refuse(check: object, address: str, told: str) -> None:
    with pytest.raises(ConfigError) as raised:
        check(address)
    assert str(raised.value).startswith(f"CODER_TASK_RUNNER_ADDRESS (runtime.task_runner_address): {address}: {told}")


@needs_dask
def test_dask_workers_that_end_without_a_word_are_explained() -> None:
    import distributed

    from tasks.dask_cluster import _lost_workers_explained

    with (
        pytest.raises(ServiceError, match=r"Dask cluster ended while they worked \(KilledWorker\).*Run again"),
        _lost_workers_explained(),
    ):
        raise distributed.KilledWorker("task", None, 3)


def _threads_of_this_process() -> tuple[bool, str | None]:
    from coder_core.embedding.thread_counts import TORCH

    return TORCH.heeds_environment, os.environ.get("OMP_NUM_THREADS")


@needs_ray
@pytest.mark.thorough
@pytest.mark.parametrize("chosen", [None, "1"])
def test_workers_of_a_local_ray_cluster_find_their_threads_unless_somebody_has_chosen(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, chosen: str | None
) -> None:
    """Ray gives a task one thread where the environment says nothing, so it is told torch's own number."""
    import torch

    from tasks.ray_cluster import open_ray

    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if chosen is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", chosen)
    with open_ray(Runtime(task_runner="ray", workers=1, store=str(tmp_path))):
        import ray

        found = ray.get(ray.remote(_threads_of_this_process).remote(), timeout=50)
    assert found == (chosen is not None, chosen or str(torch.get_num_threads()))
    assert os.environ.get("OMP_NUM_THREADS") == chosen, "the next run in this process finds out for itself"


@needs_ray
def test_ray_workers_that_end_without_a_word_are_explained() -> None:
    import ray

    from tasks.ray_cluster import _lost_workers_explained

    with (
        pytest.raises(ServiceError, match=r"Ray cluster ended while they worked \(WorkerCrashedError\).*Run again"),
        _lost_workers_explained(),
    ):
        raise ray.exceptions.WorkerCrashedError


HERE = greet(Store("memory://"), "nothing")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (HERE._replace(python="3.9", sees_store=True), "its workers have Python 3.9"),
        (HERE._replace(project="0.0.1", sees_store=True), "and coder-eval 0.0.1"),
        (HERE._replace(sees_store=False), "its workers do not see the store"),
        (
            ModuleNotFoundError("No module named 'tasks'\nand much more"),
            "ModuleNotFoundError: No module named 'tasks').",
        ),
        (TimeoutError(), "TimeoutError: no worker has answered)."),
    ],
)
def test_workers_that_would_fail_later_are_refused(tmp_path: Path, answer: Greeting | Exception, told: str) -> None:
    runtime = Runtime(store=str(tmp_path), task_runner="dask", task_runner_address="tcp://there:8786")

    def ask(_store: Store, _probe: str) -> Greeting:
        if isinstance(answer, Exception):
            raise answer
        return answer

    with pytest.raises(ConfigError) as raised:
        ask_a_worker(runtime, ask)
    assert told in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1
    ask_a_worker(runtime, greet)
    assert Store(runtime.store).list() == []


def test_a_worker_knows_the_run_of_a_flow_run() -> None:
    name_run_of_process("flow-run-elsewhere", "flags-1")
    assert _run_id_of("flow-run-elsewhere") == "flags-1"
    assert _run_id_of("another") is None
    elsewhere = Context()  # what another test has run in this process is named in this one's
    assert elsewhere.run(_run_id_of, None) is None
