"""Who runs steps: the one interface that recipes see, and the runner that needs nothing but this process.

A recipe says what follows what; a runner says where, how often and how many at a time. `InlineRunner` is for the
library, tests, benchmarks and notebooks; `tasks/prefect_runner.py` has the one that makes every step a task run of
Prefect, on threads, Dask or Ray. All give the same tables, to the last byte.
"""

import logging
import random
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar, cast

from coder_core.interruption import check_interruption, interruptible
from coder_core.pipeline.artifact_handle import ArtifactHandle
from coder_core.pipeline.context import Context
from coder_core.pipeline.sharding import ShardedStep, ShardReport, finish_step, plan_pass, run_shard
from coder_core.pipeline.step import Done, Step, StepRecord
from coder_core.pipeline.traits import Traits, is_worth_retrying
from coder_core.specs import Runtime

Result = TypeVar("Result")
First = TypeVar("First")
Second = TypeVar("Second")
Made = TypeVar("Made", bound=ArtifactHandle)
Value = TypeVar("Value")

JITTER = 0.5
"""Share by which a delay may be longer: what failed together does not come back together."""

logger = logging.getLogger(__name__)


class Runner(Protocol):
    """Runs steps. `records` has what each did, in the order in which the recipe asked."""

    runtime: Runtime
    engine: str
    records: list[StepRecord]
    started_at: datetime

    def __call__(self, step: Step[Result], /) -> Result:
        """Run one step and wait for it."""
        ...

    def together(self, first: Step[First], second: Step[Second]) -> tuple[First, Second]:
        """Run two steps side by side; the first failure that no retry mends stops the other."""
        ...

    def each(self, steps: Iterable[Step[Result]]) -> list[Result]:
        """Run any number of steps side by side."""
        ...

    def in_one_pass(self, steps: Sequence[ShardedStep[Made]]) -> list[Made]:
        """Run steps of one class that work through the same artifact, reading it once."""
        ...

    def name_run(self, name: str) -> str:
        """The run's id: the evaluation's name, when it started, and what tells it from others; always the same one."""
        ...


class InlineRunner:
    """Runs steps in this thread, one after the other.

    Args:
        runtime: Where the store is, which device, how fast.
        run_id: Names the run; by default it is made of the evaluation's name, the time and a random number.
    """

    engine = "inline"

    def __init__(self, runtime: Runtime, *, run_id: str | None = None) -> None:
        self.runtime = runtime
        self.records: list[StepRecord] = []
        self.started_at = datetime.now(UTC)
        self._run_id = run_id
        self._context = Context.open(runtime)

    def __call__(self, step: Step[Result]) -> Result:
        """See `Runner`."""
        if isinstance(step, ShardedStep):
            return cast(Result, self.in_one_pass([step])[0])
        return cast(Result, self._account(with_retries(lambda: step(self._context), step.traits)))

    def together(self, first: Step[First], second: Step[Second]) -> tuple[First, Second]:
        """See `Runner`."""
        return self(first), self(second)

    def each(self, steps: Iterable[Step[Result]]) -> list[Result]:
        """See `Runner`."""
        return [self(step) for step in steps]

    def in_one_pass(self, steps: Sequence[ShardedStep[Made]]) -> list[Made]:
        """See `Runner`."""
        if not steps:
            return []
        context, traits = self._context, steps[0].traits
        found = with_retries(lambda: plan_pass(steps, context), traits)
        reports: list[ShardReport] = []
        for shard in found.shards:
            reports += with_retries(lambda shard=shard: run_shard(found.missing, shard, context), traits)  # type: ignore[misc]
        for step in found.missing:
            found.done[step.key] = with_retries(lambda step=step: finish_step(step, reports, context), traits)  # type: ignore[misc]
        return [cast(Made, self._account(found.done[step.key])) for step in steps]

    def name_run(self, name: str) -> str:
        """See `Runner`."""
        if self._run_id is None:
            self._run_id = f"{name}-{self.started_at:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
        return self._run_id

    def _account(self, done: Done) -> Any:
        self.records += done.records
        return done.result


@contextmanager
def inline_runner(runtime: Runtime, *, run_id: str | None = None) -> Iterator[InlineRunner]:
    """A runner for a block; when the block ends by an exception, what still works for it stops at its next batch."""
    with interruptible():
        yield InlineRunner(runtime, run_id=run_id)


def with_retries(work: Callable[[], Value], traits: Traits) -> Value:
    """Call until it succeeds, as often as the traits say, and only after failures that may pass."""
    for delay in traits.retry_delays:
        try:
            return work()
        except Exception as error:
            if not is_worth_retrying(error):
                raise
            logger.warning("tried again in %.0f s: %s: %s", delay, type(error).__name__, error)
        _wait(delay * (1 + JITTER * random.random()))  # noqa: S311 - no secret
    return work()


def _wait(seconds: float) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        check_interruption()
        time.sleep(min(left, 0.5))
