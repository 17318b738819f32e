"""How many tasks of a run work at the same time, and what a failure means for the others."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from prefect.context import FlowRunContext
from prefect.exceptions import MissingContextError
from prefect.futures import PrefectFuture, as_completed
from prefect.logging import get_run_logger

from coder_core.interruption import interruptible
from coder_core.specs import Runtime
from tasks.gpu import say_what_is_limited
from tasks.runners import for_other_processes, open_runner

First = TypeVar("First")
Report = TypeVar("Report")


@contextmanager
def task_slots(runtime: Runtime) -> Iterator[Runtime]:
    """Submit the tasks of a block to a task runner of this run's own, the one that the runtime names.

    A flow's task runner is fixed when its module is imported, long before the parameters of a run are known. So the run
    context, which `.submit` and `.map` ask for their runner, is given another one here. At the end of the block nothing
    runs any more: after a failure or a cancellation, tasks that wait for a slot are dropped; running ones stop at their
    next batch where they are threads, and are killed where they are processes of a cluster of this run.

    Yields:
        The runtime for the tasks of the block.
    """
    context = FlowRunContext.get()
    if context is None:
        raise MissingContextError("`task_slots` is for the body of a flow.")
    with open_runner(runtime) as runner, context.model_copy(update={"task_runner": runner}), interruptible():
        say_what_is_limited(runtime)
        yield for_other_processes(runtime)


def join(first: PrefectFuture[First], others: Sequence[PrefectFuture[Report]]) -> tuple[First, list[Report]]:
    """Wait for tasks that run side by side, in the order in which they end: the first failure is raised at once."""
    together: list[PrefectFuture[Any]] = [first, *others]
    try:
        for ended in as_completed(together):
            ended.result()
    except Exception:
        get_run_logger().warning("A task failed: no other one is started, and those that run are stopped.")
        raise
    return first.result(), [other.result() for other in others]
