"""The runner of recipes under Prefect: every step is a task run, every shard one of its own.

Steps that stand alone run in the flow's own thread; those that run side by side, and shards, are submitted to the task
runner that the runtime names: threads, Dask or Ray. The first failure that no retry mends stops everything.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar, cast

from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from prefect.exceptions import MissingContextError
from prefect.futures import PrefectFuture, as_completed
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from coder_core.config import load_runtime
from coder_core.interruption import interruptible
from coder_core.pipeline.artifact_handle import ArtifactHandle
from coder_core.pipeline.sharding import Pass, ShardedStep, ShardReport
from coder_core.pipeline.step import Done, Step, StepRecord
from coder_core.redaction import redact_error
from coder_core.sealing import seals
from coder_core.specs import Runtime
from tasks.gpu import report_missing_limit
from tasks.json_logs import name_run_in_logs
from tasks.last_messages import bound_last_messages
from tasks.logs import prepare_logs
from tasks.run_step import CarriedWork, FinishStep, OneShard, PlanPass, Sharded, WholeStep, Work, task_for
from tasks.task_runners import Reserve, for_other_processes, open_task_runner

Result = TypeVar("Result")
First = TypeVar("First")
Second = TypeVar("Second")
Made = TypeVar("Made", bound=ArtifactHandle)

bound_last_messages()  # when a flow is loaded: one that fails at its first line must end, too


@contextmanager
def prefect_runner(
    runtime: Runtime | None = None, *, name: str | None = None, run_id: str | None = None
) -> Iterator["PrefectRunner"]:
    """A runner for the body of a flow.

    A flow's task runner is fixed when its module is imported, long before the parameters of a run are known. So the run
    context, which `.submit` asks for its runner, is given another one here. At the end of the block nothing runs any
    more: after a failure or a cancellation, tasks that wait for a slot are dropped; running ones stop at their next
    batch where they are threads, and are killed where they are processes of a cluster of this run.

    Args:
        runtime: Where and how fast; what is not given comes from CODER_* in the environment of the worker.
        name: The evaluation that the flow run works for: names the run.
        run_id: The run that the flow run works for, where that exists already.

    Raises:
        MissingContextError: No flow runs here.
    """
    prepare_logs()
    context = FlowRunContext.get()
    if context is None:
        raise MissingContextError("`prefect_runner` is for the body of a flow.")
    runtime = runtime or load_runtime()
    named = run_id or (name and name_run(name))
    if named:
        name_run_in_logs(str(flow_run.id), named)
        if name:
            name_flow_run(context, named)
        get_run_logger().info("Run %s", named)
    with (
        open_task_runner(runtime) as opened,
        context.model_copy(update={"task_runner": opened.tasks}),
        interruptible(),
    ):
        if opened.reserve is None:
            report_missing_limit(runtime)
        try:
            yield PrefectRunner(for_other_processes(runtime), named or "", opened.reserve)
        except Exception as error:
            redact_error(error)  # Prefect keeps its words as the state of the run
            raise


def name_run(name: str) -> str:
    """Name a run by its evaluation and its flow run: a retry of the flow is the same run."""
    scheduled = flow_run.scheduled_start_time or datetime.now(UTC)
    return f"{name}-{scheduled:%Y%m%dT%H%M%S}-{str(flow_run.id)[-8:]}"


def call_flow_run(name: str) -> None:
    """Call the flow run of this flow by what it does, on Prefect's page, in its logs and in the lines of `serve`."""
    context = FlowRunContext.get()
    if context is not None:
        name_flow_run(context, name)


def name_flow_run(context: FlowRunContext, name: str) -> None:
    """Call the flow run by the run's id on Prefect's page and in its logs: results are found under the same name."""
    if context.flow_run is None or context.flow_run.name == name:
        return
    with get_client(sync_client=True) as client:
        client.update_flow_run(context.flow_run.id, name=name)
    context.flow_run.name = name


class _Submitted(NamedTuple):
    """A step whose work was submitted: what is awaited, and what is left to do then."""

    futures: Sequence[PrefectFuture[Any]]
    steps: tuple[Sharded, ...]
    found: Pass | None


class PrefectRunner:
    """Runs steps as task runs of the flow run that this process works for; see `coder_core.pipeline.runner.Runner`."""

    def __init__(self, runtime: Runtime, run_id: str, reserve: Reserve | None = None) -> None:
        self.runtime = runtime
        self._reserve = reserve
        self.engine: str = runtime.task_runner
        self.records: list[StepRecord] = []
        self.started_at = datetime.now(UTC)
        self._run_id = run_id

    def __call__(self, step: Step[Result]) -> Result:
        """Run one step and wait for it."""
        if isinstance(step, ShardedStep):
            return cast(Result, self.in_one_pass([step])[0])
        if self._reserve is not None and step.traits.needs_device:  # which this process need not have
            return cast(Result, self._run_all([(step,)])[0][0])
        return cast(Result, self._account(self._call(WholeStep(step))))

    def together(self, first: Step[First], second: Step[Second]) -> tuple[First, Second]:
        """Run two steps side by side."""
        one, other = self._run_all([(first,), (second,)])
        return one[0], other[0]

    def each(self, steps: Iterable[Step[Result]]) -> list[Result]:
        """Run any number of steps side by side."""
        asked = list(steps)
        if len(asked) == 1:
            return [self(asked[0])]
        return [results[0] for results in self._run_all([(step,) for step in asked])]

    def in_one_pass(self, steps: Sequence[ShardedStep[Made]]) -> list[Made]:
        """Run steps of one class that work through the same artifact, reading it once."""
        return self._run_all([tuple(steps)])[0] if steps else []

    def name_run(self, name: str) -> str:
        """The run's id."""
        return self._run_id or name_run(name)

    def _run_all(self, groups: Sequence[tuple[Step[Any], ...]]) -> list[list[Any]]:
        """Submit groups of steps (each shares a pass), wait for all, and finish them in order."""
        submitted = [self._submit_group(steps) for steps in groups]
        wait_for([future for group in submitted for future in group.futures])
        return [self._finish(group) for group in submitted]

    def _submit_group(self, steps: tuple[Step[Any], ...]) -> _Submitted:
        if not isinstance(steps[0], ShardedStep):
            return _Submitted([self._submit(WholeStep(steps[0]))], (), None)
        sharded = cast(tuple[Sharded, ...], steps)
        found: Pass = self._call(PlanPass(sharded))
        futures = [self._submit(OneShard(found.missing, shard)) for shard in found.shards]
        return _Submitted(futures, sharded, found)

    def _finish(self, group: _Submitted) -> list[Any]:
        if group.found is None:
            return [self._account(group.futures[0].result())]
        reports: tuple[ShardReport, ...] = tuple(report for future in group.futures for report in future.result())
        done = dict(group.found.done)
        for step in group.found.missing:
            own = tuple(report for report in reports if report.key == step.key)
            done[step.key] = self._call(FinishStep(step, own))
        return [self._account(done[step.key]) for step in group.steps]

    def _call(self, work: Work) -> Any:
        return task_for(work)(work, self.runtime, work.title)

    def _submit(self, work: Work) -> PrefectFuture[Any]:
        reserve = self._reserve if work.traits.needs_device else None
        carried = self._carried(work, has_accelerator=reserve is not None)
        with nullcontext() if reserve is None else reserve():
            return task_for(work).submit(carried, self.runtime, work.title)

    def _carried(self, work: Work, *, has_accelerator: bool) -> Work:
        known = seals()
        if self.runtime.task_runner == "threads" or not (known.addresses or has_accelerator):
            return work
        return CarriedWork(work, known, has_accelerator)

    def _account(self, done: Done) -> Any:
        self.records += done.records
        return done.result


def wait_for(futures: Sequence[PrefectFuture[Any]]) -> None:
    """Wait for tasks that run side by side, in the order in which they end: the first failure is raised at once."""
    try:
        for ended in as_completed(list(futures)):
            ended.result()
    except Exception:
        get_run_logger().warning("A task failed: no other one is started, and those that run are stopped.")
        raise
