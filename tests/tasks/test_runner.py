"""The runner of recipes under Prefect: `workers` bounds what runs at a time, a failure is told at once, steps in order.

Steps are threads here, so they may tell what they do to objects of the test.
"""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.exceptions import MissingContextError
from prefect.runtime import flow_run

from coder_core.errors import FeatureFileError, StoreError
from coder_core.interruption import TimeLimitError
from coder_core.pipeline.context import Context
from coder_core.pipeline.runner import InlineRunner, Runner
from coder_core.pipeline.step import Step
from coder_core.pipeline.traits import Traits
from coder_core.specs import Runtime
from tasks.prefect_runner import PrefectRunner, prefect_runner
from tests.coder_core.pipeline.fixtures import Count, Double, Sum
from tests.fixtures_deployment import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]
HASTY = Traits(retry_delays=(0.0, 0.0))
PATIENCE_SECONDS = 30.0


class Gauge:
    """Counts how many are inside at a time."""

    def __init__(self) -> None:
        self.now = self.most = self.total = 0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            self.now += 1
            self.total += 1
            self.most = max(self.most, self.now)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self.now -= 1


class Act(Step[int]):
    """Does what a test wants done under its name."""

    acts: ClassVar[dict[str, Callable[[], None]]] = {}
    traits: ClassVar[Traits] = HASTY

    act: str
    number: int = 0

    @property
    def title(self) -> str:
        return f"{self.act}-{self.number}"

    def run(self, context: Context) -> int:
        self.acts[self.act]()
        return self.number


@pytest.fixture(autouse=True)
def _forget_acts() -> Iterator[None]:
    yield
    Act.acts.clear()


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    return Runtime(store=str(tmp_path / "store"), device="cpu", workers=2, shard_images=6)


def in_flow(runtime: Runtime, recipe: Callable[[PrefectRunner], Any]) -> Any:
    """Run a recipe in a flow of its own."""

    @flow
    def body() -> Any:
        with prefect_runner(runtime) as run:
            return recipe(run)

    return body()


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_of_the_runtime_bound_the_steps_of_a_run(runtime: Runtime, workers: int) -> None:
    gauge, together = Gauge(), threading.Barrier(workers)

    def work() -> None:
        with gauge:
            together.wait(PATIENCE_SECONDS)
            time.sleep(0.05)  # for one too many to come in

    Act.acts["work"] = work
    steps = [Act(act="work", number=number) for number in range(6)]
    assert in_flow(runtime.model_copy(update={"workers": workers}), lambda run: run.each(steps)) == list(range(6))
    assert gauge.most == workers


def test_no_step_is_no_task(runtime: Runtime) -> None:
    assert in_flow(runtime, lambda run: (run.each([]), run.in_one_pass([]))) == ([], [])


def test_a_runner_belongs_to_the_body_of_a_flow(runtime: Runtime) -> None:
    with pytest.raises(MissingContextError), prefect_runner(runtime):
        pass


def test_the_first_failure_is_raised_and_nothing_is_left_running(runtime: Runtime) -> None:
    gauge, is_running = Gauge(), threading.Event()

    def embed_texts() -> None:
        assert is_running.wait(PATIENCE_SECONDS)
        raise FeatureFileError("a text has no feature.")

    def embed_images() -> None:
        with gauge:
            is_running.set()
            time.sleep(0.5)  # the failure comes meanwhile

    Act.acts.update(embed_texts=embed_texts, embed_images=embed_images)
    steps = [Act(act="embed_texts"), *(Act(act="embed_images", number=number) for number in range(20))]
    with pytest.raises(FeatureFileError, match="a text has no feature"):
        in_flow(runtime, lambda run: run.each(steps))
    assert gauge.now == 0, "the run ended while a step of it was running"
    assert gauge.total <= 3, "steps were started after the failure"


def test_a_failing_step_is_raised_while_the_other_one_goes_on(runtime: Runtime) -> None:
    may_end, has_ended = threading.Event(), threading.Event()

    def embed_texts() -> None:
        assert may_end.wait(PATIENCE_SECONDS), "the failure of the other step was not told meanwhile"
        has_ended.set()

    def embed_images() -> None:
        raise FeatureFileError("shard 0 is of another dimension.")

    def recipe(run: PrefectRunner) -> None:
        try:
            run.together(Act(act="embed_texts"), Act(act="embed_images"))
        finally:
            may_end.set()

    Act.acts.update(embed_texts=embed_texts, embed_images=embed_images)
    with pytest.raises(FeatureFileError, match="shard 0"):
        in_flow(runtime, recipe)
    assert has_ended.is_set(), "the run ended while its texts were still being embedded"


def test_a_store_that_refuses_is_asked_again_and_wrong_input_is_not(runtime: Runtime) -> None:
    calls = {"refuse": 0, "be_wrong": 0}

    def refuse() -> None:
        calls["refuse"] += 1
        if calls["refuse"] == 1:
            raise StoreError("not today.")

    def be_wrong() -> None:
        calls["be_wrong"] += 1
        raise FeatureFileError("not today.")

    Act.acts.update(refuse=refuse, be_wrong=be_wrong)
    with pytest.raises(FeatureFileError, match=r"not today\."):
        in_flow(runtime, lambda run: (run(Act(act="refuse")), run(Act(act="be_wrong"))))
    assert calls == {"refuse": 2, "be_wrong": 1}


def test_a_step_that_takes_too_long_is_stopped_and_tried_again(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Double, "passes", [])
    monkeypatch.setattr(Double, "traits", Traits(retry_delays=(0.0,), time_limit_seconds=0.0))
    with pytest.raises(TimeLimitError, match="its time is up"):
        in_flow(runtime, lambda run: run(Double(numbers=run(Count(count=3)))))
    assert Double.passes == [(1, ("part-000000",))] * 2


def sums(run: Runner) -> list[int]:
    """A recipe with every kind of step."""
    numbers = run(Count(count=20))
    one, other = run.together(Count(count=3), Double(numbers=numbers))
    passed = run.in_one_pass([Double(numbers=numbers, factor=factor) for factor in (2, 3, 5)])
    return [run(Sum(numbers=found)) for found in (one, other, *passed)] + run.each([Sum(numbers=one)])


def test_records_and_results_are_those_of_the_runner_without_prefect(runtime: Runtime, tmp_path: Path) -> None:
    inline = InlineRunner(runtime.model_copy(update={"store": str(tmp_path / "inline")}))
    expected = sums(inline)
    found, records = in_flow(runtime, lambda run: (sums(run), run.records))
    assert found == expected == [3, 380, 380, 570, 950, 3]
    assert [record.model_copy(update={"seconds": 0.0, "pace": None}) for record in records] == [
        record.model_copy(update={"seconds": 0.0, "pace": None}) for record in inline.records
    ]


def test_every_step_and_shard_is_a_task_run_of_its_own_name(runtime: Runtime) -> None:
    def recipe(run: PrefectRunner) -> Any:
        run(Double(numbers=run(Count(count=20))))
        return flow_run.id

    flow_run_id = in_flow(runtime, recipe)

    def read_runs() -> list[Any]:
        with get_client(sync_client=True) as client:
            return client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id])))

    # the server hears of the states of tasks by events, a little later
    wait_until(lambda: all(run.state is not None and run.state.is_completed() for run in read_runs()) or None)
    runs = read_runs()
    assert sorted(run.name for run in runs) == [
        "count",
        "double-part-000000..part-000001",
        "double-part-000002..part-000003",
        "double-part-000004..part-000005",
        "double-part-000006",
        "finish-double",
        "plan-double",
    ]
    assert {run.task_key.rpartition("-")[0] for run in runs} == {"run_step"}, "there is one task"
