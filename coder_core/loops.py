"""Long loops can be told to stop: whoever iterates with `each` asks before every item.

No loop whose work grows with images, texts, classes, settings or draws is written without it.
"""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from coder_core.interruption import check_interruption

Item = TypeVar("Item")


def each(items: Iterable[Item], *, every: int = 1) -> Iterator[Item]:
    """Yield items, and stop between two of them when the run has ended or the time is up.

    Args:
        items: Anything.
        every: Ask before each so many items, where one takes microseconds.

    Raises:
        InterruptedWorkError: The run has ended.
        TimeLimitError: The time is up.
    """
    for number, item in enumerate(items):
        if number % every == 0:
            check_interruption()
        yield item
