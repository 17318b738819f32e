"""What the tasks of a run work on: threads of its process, or processes of a Dask or Ray cluster.

Whatever it is, a run gives the same tables: tasks share nothing but the store. What threads have for free is carried to
other processes here: Prefect's API, even where it is a temporary server of this run; a store that means the same
elsewhere; the words of the logs. Clusters are imported only where a run asks for one.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, NamedTuple, cast

from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from coder_core.specs import Runtime
from coder_core.storage.store import Store
from tasks.task_runner_choice import check_task_runner

AnyRunner = TaskRunner[Any]
Reserve = Callable[[], AbstractContextManager[Any]]


class OpenRunner(NamedTuple):
    """What the tasks of a run are submitted to.

    Attributes:
        tasks: Prefect's runner.
        reserve: For a task that is submitted within its block, the cluster keeps an accelerator; None where it knows of
            none, or the run wants none.
    """

    tasks: AnyRunner
    reserve: Reserve | None = None


@contextmanager
def open_task_runner(runtime: Runtime) -> Iterator[OpenRunner]:
    """Start what a run's tasks work on, and end it with the block: after a failure, tasks that wait are dropped.

    Raises:
        ConfigError: It cannot be used, or does not answer.
    """
    check_task_runner(runtime)
    with ExitStack() as stack:
        if runtime.task_runner != "threads":
            stack.enter_context(_api_for_other_processes())
        tasks = stack.enter_context(_opener(runtime.task_runner)(runtime))
        yield OpenRunner(tasks, None if runtime.device == "cpu" else _reservation(runtime.task_runner, tasks))


def for_other_processes(runtime: Runtime) -> Runtime:
    """The same runtime, with a store that means the same in a process with another working directory."""
    if runtime.task_runner == "threads":
        return runtime
    return runtime.model_copy(update={"store": Store(runtime.store).url()})


@contextmanager
def _open_threads(runtime: Runtime) -> Iterator[AnyRunner]:
    runner: ThreadPoolTaskRunner[Any] = ThreadPoolTaskRunner(max_workers=runtime.workers)
    with runner:
        yield runner


def _opener(name: str) -> Callable[[Runtime], AbstractContextManager[AnyRunner]]:
    if name == "dask":
        from tasks.dask_cluster import open_dask

        return open_dask
    if name == "ray":
        from tasks.ray_cluster import open_ray

        return open_ray
    return _open_threads


def _reservation(name: str, tasks: AnyRunner) -> Reserve | None:
    if name == "dask":
        from tasks.dask_cluster import reservation

        return reservation(cast(Any, tasks))
    if name == "ray":
        from tasks.ray_cluster import reservation as ray_reservation

        return ray_reservation()
    return None


@contextmanager
def _api_for_other_processes() -> Iterator[None]:
    """Name the server of this run in the settings, which travel with every task.

    A run without a server of its own has started a temporary one; a worker that is told nothing would start another.
    """
    with get_client(sync_client=True) as client:
        url = str(client.api_url).rstrip("/")
    with temporary_settings({PREFECT_API_URL: url}):
        yield
