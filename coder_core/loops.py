"""Loops that can be stopped: between two items, where nothing is lost."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from coder_core.interruption import check_interruption

__all__ = ["each"]

Item = TypeVar("Item")


def each(items: Iterable[Item], *, every: int = 1) -> Iterator[Item]:
    """Yield items one by one, and stop before one where the run has ended or the time is up.

    For every loop whose work grows with images, settings, draws, classes or texts.

    Args:
        items: What the loop goes through; read lazily.
        every: Look at the clock before every so many items only, at least 1: for items that take microseconds.

    Raises:
        InterruptedWorkError: The run has ended.
        TimeLimitError: The time is up.
    """
    for place, item in enumerate(items):
        if place % every == 0:
            check_interruption()
        yield item
