"""The device is held while batches come one upon the other, given back while one is awaited, and by few at a time."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from coder_core.interruption import TimeLimitError, check_interruption, time_limit
from coder_core.pipeline.accelerator import _SLOTS, HeldDevice, LocalAccelerator
from coder_core.specs import Runtime


class Recorder:
    """An accelerator that tells who holds it."""

    def __init__(self) -> None:
        self.events: list[str] = []

    @contextmanager
    def hold(self) -> Iterator[None]:
        self.events.append("taken")
        yield
        self.events.append("given back")


def test_a_device_is_taken_once_for_batches_that_follow_each_other() -> None:
    recorder = Recorder()
    with HeldDevice(recorder) as device:
        device.acquire()
        device.acquire()
        device.release()
        device.release()
        device.acquire()
    assert recorder.events == ["taken", "given back", "taken", "given back"]


def test_an_exception_gives_the_device_back() -> None:
    recorder = Recorder()

    def fail() -> None:
        with HeldDevice(recorder) as device:
            device.acquire()
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert recorder.events == ["taken", "given back"]


def test_no_more_threads_hold_the_device_than_there_are_slots() -> None:
    accelerator = LocalAccelerator(Runtime(device="cuda", gpu_slots=2))
    holding, most, changed = 0, 0, threading.Lock()
    together = threading.Barrier(2)

    def work() -> None:
        nonlocal holding, most
        with accelerator.hold():
            with changed:
                holding += 1
                most = max(most, holding)
            together.wait(10)
            with changed:
                holding -= 1

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(lambda _: work(), range(6)))
    assert most == 2


def test_on_the_cpu_nothing_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_SLOTS, "hold", lambda _: pytest.fail("taken"))
    with LocalAccelerator(Runtime(device="cpu")).hold():
        pass


@pytest.mark.slow
def test_waiting_for_the_device_does_not_count_against_the_time_limit() -> None:
    accelerator = LocalAccelerator(Runtime(device="cuda", gpu_slots=1))
    is_held, may_go = threading.Event(), threading.Event()

    def hold() -> None:
        with accelerator.hold():
            is_held.set()
            may_go.wait(10)

    with ThreadPoolExecutor(1) as thread:
        thread.submit(hold)
        assert is_held.wait(10)
        threading.Timer(0.3, may_go.set).start()
        with time_limit(0.2):
            with accelerator.hold():
                check_interruption()
            time.sleep(0.25)
            with pytest.raises(TimeLimitError):
                check_interruption()
