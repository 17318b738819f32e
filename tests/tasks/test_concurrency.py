"""`runtime.workers` bounds what runs at a time; a failing task is told at once and leaves nothing running."""

import threading
import time

import pytest
from prefect import flow, task
from prefect.exceptions import MissingContextError
from tasks.concurrency import join, task_slots
from tasks.policy import STEP_POLICY

from coder_core.errors import FeatureFileError, StoreError
from coder_core.specs import Runtime

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]


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


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_of_the_runtime_bound_the_tasks_of_a_flow(workers: int) -> None:
    gauge = Gauge()

    @task
    def work(number: int) -> int:
        with gauge:
            time.sleep(0.1)
        return number

    @flow
    def numbers(runtime: Runtime) -> list[int]:
        with task_slots(runtime):
            return list(work.map(list(range(7))).result())

    assert numbers(Runtime(workers=workers)) == list(range(7))
    assert gauge.most == workers


def test_no_shard_is_no_task() -> None:
    @task
    def work(number: int) -> int:
        return number

    @flow
    def nothing() -> tuple[int, list[int]]:
        with task_slots(Runtime()):
            return join(work.submit(1), work.map([]))

    assert nothing() == (1, [])


def test_slots_belong_to_the_body_of_a_flow() -> None:
    with pytest.raises(MissingContextError), task_slots(Runtime()):
        pass


def test_the_first_failure_of_two_sides_is_raised_and_nothing_is_left_running() -> None:
    gauge = Gauge()

    @task(**STEP_POLICY)
    def embed_texts() -> None:
        time.sleep(0.2)
        raise FeatureFileError("a text has no feature.")

    @task(**STEP_POLICY)
    def embed_images(number: int) -> int:
        with gauge:
            time.sleep(0.5)
        return number

    @flow
    def side_by_side() -> None:
        with task_slots(Runtime(workers=2)):
            join(embed_texts.submit(), embed_images.map(list(range(20))))

    with pytest.raises(FeatureFileError, match="a text has no feature"):
        side_by_side()
    assert gauge.now == 0, "the run ended while a task of it was running"
    assert gauge.total <= 3, "tasks were started after the failure"


def test_a_failing_image_shard_is_raised_while_texts_are_still_being_embedded() -> None:
    ended = threading.Event()

    @task(**STEP_POLICY)
    def embed_texts() -> str:
        time.sleep(1.0)
        ended.set()
        return "texts"

    @task(**STEP_POLICY)
    def embed_images(number: int) -> int:
        raise FeatureFileError(f"shard {number} is of another dimension.")

    @flow
    def side_by_side() -> None:
        with task_slots(Runtime(workers=2)):
            join(embed_texts.submit(), embed_images.map([0]))

    with pytest.raises(FeatureFileError, match="shard 0"):
        side_by_side()
    assert ended.is_set(), "the run ended while its texts were still being embedded"


def test_a_store_that_refuses_is_asked_again_and_wrong_input_is_not() -> None:
    calls = {StoreError: 0, FeatureFileError: 0}

    def attempt(error: type[StoreError] | type[FeatureFileError]) -> str:
        calls[error] += 1
        if calls[error] == 1:
            raise error("not today.")
        return "done"

    step = task(**{**STEP_POLICY, "retry_delay_seconds": 0})(attempt)

    @flow
    def steps_of_a_run() -> str:
        assert step(StoreError) == "done"
        return step(FeatureFileError)

    with pytest.raises(FeatureFileError, match=r"not today\."):
        steps_of_a_run()
    assert calls == {StoreError: 2, FeatureFileError: 1}
