"""Shards: resumed, shared by several steps, joined; and the runner that does all this in one thread."""

from pathlib import Path

import pytest

from coder_core.errors import StepContractError, StoreError
from coder_core.pipeline import sharding
from coder_core.pipeline.context import Context
from coder_core.pipeline.runner import InlineRunner, with_retries
from coder_core.pipeline.sharding import finish_step, plan_pass, run_shard
from coder_core.pipeline.traits import Traits
from coder_core.specs import Runtime

from .fixtures import Count, Double, Numbers


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    return Runtime(store=str(tmp_path / "store"), device="cpu", shard_images=6)


@pytest.fixture
def run(runtime: Runtime) -> InlineRunner:
    Count.made.clear()
    Double.passes.clear()
    return InlineRunner(runtime)


def test_shards_hold_whole_parts_and_no_more_rows_than_asked(run: InlineRunner) -> None:
    numbers = run(Count(count=20))
    doubled = run(Double(numbers=numbers))
    assert doubled == Numbers(key=Double(numbers=numbers).key, rows=20, total=2 * 190)
    assert [parts for _, parts in Double.passes] == [
        ("part-000000", "part-000001"),
        ("part-000002", "part-000003"),
        ("part-000004", "part-000005"),
        ("part-000006",),
    ]


def test_steps_of_one_pass_share_every_shard_and_keep_their_own_artifacts(run: InlineRunner) -> None:
    numbers = run(Count(count=9))
    run(Double(numbers=numbers, factor=5))
    Double.passes.clear()
    steps = [Double(numbers=numbers, factor=factor) for factor in (2, 5, 7, 2)]
    found = run.in_one_pass(steps)
    assert [made.total for made in found] == [72, 180, 252, 72]
    assert [made.key for made in found] == [step.key for step in steps]
    assert {count for count, _ in Double.passes} == {2}, "5 was there, 2 is made once"
    assert [(record.computed, record.reused) for record in run.records[-4:]] == [(9, 0), (0, 9), (9, 0), (9, 0)]


def test_steps_of_one_pass_must_read_the_same_artifact(run: InlineRunner) -> None:
    one, other = run(Count(count=3)), run(Count(count=4))
    with pytest.raises(StepContractError, match="work through different artifacts"):
        run.in_one_pass([Double(numbers=one), Double(numbers=other)])


def test_an_interrupted_shard_goes_on_at_its_first_missing_part(runtime: Runtime, run: InlineRunner) -> None:
    numbers = run(Count(count=9))
    step, context = Double(numbers=numbers), Context.open(runtime)
    first, second = plan_pass([step], context).shards
    run_shard([step], first, context)
    reports = [report for shard in (first, second) for report in run_shard([step], shard, context)]
    assert [report.computed for report in reports] == [0, 3]
    done = finish_step(step, reports, context)
    assert (done.result.total, done.records[0].computed, done.records[0].reused) == (72, 3, 6)


def test_a_failure_that_may_pass_is_tried_again_and_others_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("coder_core.pipeline.runner._wait", waits.append)
    traits = Traits(retry_delays=(1.0, 10.0))
    failures: list[Exception] = [StoreError("busy"), OSError("reset")]

    def flaky() -> str:
        if failures:
            raise failures.pop(0)
        return "done"

    assert with_retries(flaky, traits) == "done"
    assert len(waits) == 2
    assert 1.0 <= waits[0] <= 1.5
    assert 10.0 <= waits[1] <= 15.0

    def broken() -> str:
        waits.append(0)
        raise StepContractError("for good")

    waits.clear()
    with pytest.raises(StepContractError):
        with_retries(broken, traits)
    assert waits == [0]


def test_records_stand_in_the_order_in_which_the_recipe_asked(run: InlineRunner) -> None:
    first, second = run.together(Count(count=1), Count(count=2))
    run.each([Double(numbers=second), Double(numbers=first)])
    assert [record.key for record in run.records] == [
        first.key,
        second.key,
        Double(numbers=second).key,
        Double(numbers=first).key,
    ]


def test_a_run_has_one_name(runtime: Runtime) -> None:
    run = InlineRunner(runtime)
    assert run.name_run("flags") == run.name_run("flags")
    assert run.name_run("flags") != InlineRunner(runtime).name_run("flags")
    assert InlineRunner(runtime, run_id="mine").name_run("flags") == "mine"


def test_no_pass_without_steps(run: InlineRunner) -> None:
    assert run.in_one_pass([]) == []
    assert sharding.Shard(parts=("a", "b"), rows=2).name == "a..b"
