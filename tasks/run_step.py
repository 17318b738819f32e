"""The one task: whatever a step does, it does here, under its own name, with its own retries and time limit.

Prefect sees a task run per step and per shard; what they do, they ask the core for. Our storage is the cache, so a task
may run again at any time: it goes on where it stopped.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from prefect import Task, task
from prefect.cache_policies import NO_CACHE

from coder_core.pipeline.accelerator import Accelerator, LocalAccelerator
from coder_core.pipeline.artifact_handle import ArtifactHandle
from coder_core.pipeline.context import Context
from coder_core.pipeline.runner import JITTER
from coder_core.pipeline.sharding import Pass, Shard, ShardedStep, ShardReport, finish_step, plan_pass, run_shard
from coder_core.pipeline.step import Done, Step
from coder_core.pipeline.traits import Traits, is_worth_retrying
from coder_core.redaction import redact_error
from coder_core.sealing import Seals, accept_seals
from coder_core.specs import Runtime
from tasks.gpu import ServerAccelerator
from tasks.step_pages import show_step

Sharded = ShardedStep[ArtifactHandle]


class Work(Protocol):
    """What a task run does: a step, or one of the pieces that a sharded step is cut into."""

    @property
    def title(self) -> str:
        """Name of the task run."""
        ...

    @property
    def name(self) -> str:
        """Name of the task."""
        ...

    @property
    def traits(self) -> Traits:
        """How it is to be run."""
        ...

    def do(self, context: Context) -> Any:
        """Do it."""
        ...


class WholeStep(NamedTuple):
    """A step that is not cut."""

    step: Step[Any]

    @property
    def name(self) -> str:
        """The step's."""
        return self.step.name

    @property
    def title(self) -> str:
        """The step's."""
        return self.step.title

    @property
    def traits(self) -> Traits:
        """The step's."""
        return self.step.traits

    def do(self, context: Context) -> Done:
        """Do the step, and show what people look at."""
        done = self.step(context)
        show_step(self.step, done.result, context)
        return done


class _OfPass(NamedTuple):
    """Base of the pieces of steps that share a pass."""

    steps: tuple[Sharded, ...]


class PlanPass(_OfPass):
    """Find what is there, and cut the rest into shards."""

    @property
    def name(self) -> str:
        """The first step's."""
        return f"plan_{self.steps[0].name}"

    @property
    def title(self) -> str:
        """The first step's."""
        return f"plan-{self.steps[0].title}"

    @property
    def traits(self) -> Traits:
        """Those of all steps of a class."""
        return self.steps[0].traits

    def do(self, context: Context) -> Pass:
        """Plan."""
        return plan_pass(self.steps, context)


class OneShard(NamedTuple):
    """One shard, for all steps of a pass."""

    steps: tuple[Sharded, ...]
    shard: Shard

    @property
    def name(self) -> str:
        """The first step's."""
        return self.steps[0].name

    @property
    def title(self) -> str:
        """The first step's, with the parts of the shard."""
        return f"{self.steps[0].title}-{self.shard.name}"

    @property
    def traits(self) -> Traits:
        """Those of all steps of a class."""
        return self.steps[0].traits

    def do(self, context: Context) -> tuple[ShardReport, ...]:
        """Work through the shard."""
        return run_shard(self.steps, self.shard, context)


class FinishStep(NamedTuple):
    """Join the shards of one step."""

    step: Sharded
    reports: tuple[ShardReport, ...]

    @property
    def name(self) -> str:
        """The step's."""
        return f"finish_{self.step.name}"

    @property
    def title(self) -> str:
        """The step's."""
        return f"finish-{self.step.title}"

    @property
    def traits(self) -> Traits:
        """The step's."""
        return self.step.traits

    def do(self, context: Context) -> Done:
        """Join, and show what people look at."""
        done = finish_step(self.step, self.reports, context)
        show_step(self.step, done.result, context)
        return done


class CarriedWork(NamedTuple):
    """Work for another process; never written anywhere.

    Attributes:
        work: What is to be done.
        seals: What that process must know to open the addresses in it.
        has_accelerator: Whether the cluster keeps one for it, so that nobody else needs to be asked.
    """

    work: Work
    seals: Seals
    has_accelerator: bool = False

    @property
    def name(self) -> str:
        """The work's."""
        return self.work.name

    @property
    def title(self) -> str:
        """The work's."""
        return self.work.title

    @property
    def traits(self) -> Traits:
        """The work's."""
        return self.work.traits

    def do(self, context: Context) -> Any:
        """Learn, and work."""
        accept_seals(self.seals)
        return self.work.do(context)


@task(task_run_name="{title}", cache_policy=NO_CACHE, persist_result=False)
def run_step(work: Work, runtime: Runtime, title: str) -> Any:  # noqa: ARG001 - Prefect names the run by the title
    """Do one piece of work, in whatever process this is."""
    try:
        return work.do(Context.open(runtime, _accelerator_for(work, runtime)))
    except Exception as error:
        redact_error(error)  # Prefect keeps its words as the state of the run
        raise


def _accelerator_for(work: Work, runtime: Runtime) -> Accelerator:
    if isinstance(work, CarriedWork) and work.has_accelerator:
        return LocalAccelerator(runtime)
    return ServerAccelerator(runtime)


def task_for(work: Work) -> Task[Any, Any]:
    """The task with the work's own name and retries; its time limit is watched by the core, which can stop threads."""
    delays = list(work.traits.retry_delays)
    if not delays:
        return run_step.with_options(name=work.name)
    return run_step.with_options(
        name=work.name,
        retries=len(delays),
        retry_delay_seconds=delays,
        retry_jitter_factor=JITTER,
        retry_condition_fn=may_pass,
    )


def may_pass(_task: Any, _run: Any, state: Any) -> bool:
    """Whether the failure of a task run is one that a second try may mend."""
    try:
        state.result()
    except Exception as error:  # noqa: BLE001 - judged, whatever it is
        return is_worth_retrying(error)
    return False


def pieces(steps: Sequence[Sharded], found: Pass) -> list[OneShard]:
    """The shards of a pass, as work."""
    return [OneShard(found.missing, shard) for shard in found.shards] if steps else []
