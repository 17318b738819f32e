"""The one task: its name and retries are the step's, and only what may pass is tried again."""

from typing import ClassVar

import pytest

from coder_core.errors import CoderError, FeatureFileError, StoreError
from coder_core.interruption import InterruptedWorkError, TimeLimitError
from coder_core.pipeline.context import Context
from coder_core.pipeline.sharding import Shard
from coder_core.pipeline.step import Step
from coder_core.pipeline.traits import PREFLIGHT, STEP, Traits
from coder_core.storage.refusals import DamagedFileError
from tasks.run_step import FinishStep, OneShard, PlanPass, WholeStep, Work, may_pass, run_step, task_for
from tests.coder_core.pipeline.fixtures import Double, Numbers


class Patient(Step[int]):
    """Is tried three times."""

    traits: ClassVar[Traits] = STEP

    def run(self, context: Context) -> int:
        return 0


class Preflight(Patient):
    """Is tried once."""

    traits: ClassVar[Traits] = PREFLIGHT


DOUBLE = Double(numbers=Numbers(key="0" * 64, total=0))


@pytest.mark.parametrize(
    ("work", "name", "title"),
    [
        (WholeStep(Patient()), "patient", "patient"),
        (PlanPass((DOUBLE,)), "plan_double", "plan-double"),
        (OneShard((DOUBLE,), Shard(parts=("part-0", "part-1"), rows=2)), "double", "double-part-0..part-1"),
        (FinishStep(DOUBLE, ()), "finish_double", "finish-double"),
    ],
)
def test_a_task_run_is_called_like_its_step(work: Work, name: str, title: str) -> None:
    assert (task_for(work).name, work.title) == (name, title)
    assert task_for(work).fn is run_step.fn, "there is one task"
    assert task_for(work).task_run_name == "{title}"


def test_retries_are_those_of_the_step() -> None:
    patient = task_for(WholeStep(Patient()))
    assert (patient.retries, patient.retry_delay_seconds) == (2, [1.0, 10.0])
    assert patient.retry_condition_fn is may_pass
    assert task_for(WholeStep(Preflight())).retries == 0


def test_prefect_caches_and_persists_nothing() -> None:
    """The store is the cache; what Prefect persisted would outlive it."""
    from prefect.cache_policies import NO_CACHE

    task = task_for(WholeStep(Patient()))
    assert (task.cache_policy, task.persist_result) == (NO_CACHE, False)


class StateOf:
    """A state whose result is an error, or nothing."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error

    def result(self) -> None:
        if self.error:
            raise self.error


@pytest.mark.parametrize(
    ("error", "is_retried"),
    [
        (StoreError("it refuses."), True),
        (DamagedFileError("its sha256 differs."), False),
        (TimeLimitError("its time is up."), True),
        (InterruptedWorkError("the run has ended."), False),
        (OSError("a network is away"), True),
        (FeatureFileError("NaN."), False),
        (CoderError("whatever."), False),
        (None, False),
    ],
)
def test_what_may_pass_is_retried(error: Exception | None, is_retried: bool) -> None:
    assert may_pass(None, None, StateOf(error)) is is_retried
