"""Which signals raise, and who hears of them."""

import queue
import signal

import pytest

from coder_core.stop_signals import StopSignal, stop_signals_raise


def stop_twice(cleaned: list[bool]) -> None:
    try:
        signal.raise_signal(signal.SIGTERM)
    finally:
        signal.raise_signal(signal.SIGINT)
        cleaned.append(True)


def test_the_first_signal_raises_and_a_second_one_does_not_disturb_the_cleaning_up() -> None:
    heard: queue.Queue[int] = queue.Queue()
    cleaned: list[bool] = []
    with pytest.raises(StopSignal) as stopped, stop_signals_raise(heard.put):
        stop_twice(cleaned)
    assert stopped.value.number == signal.SIGTERM
    assert cleaned == [True]
    assert [heard.get(timeout=10) for _ in range(2)] == [signal.SIGTERM, signal.SIGINT]


def test_every_command_begins_anew() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        with pytest.raises(StopSignal), stop_signals_raise(lambda _: None):
            signal.raise_signal(number)
