"""Looking until nothing moves: how a list that is being written is told from a finished one.

A file cut between two lines is a valid shorter list, and object stores and disks say nothing about writers. So a source
counts as finished when two looks, `settle_seconds` apart, see the same content and the same size and time. A writer
that pauses for longer than that, at a line end, cannot be told from one that is done: such a writer should write to
another name and rename, which is atomic and always seen whole.
"""

import time
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from coder_core.errors import UnfinishedInputError

LOOKS = 5
"""Looks before giving up; a deployment on a schedule looks again anyway."""

Seen = TypeVar("Seen")


class Look(NamedTuple, Generic[Seen]):
    """What one look saw.

    Args:
        state: A text that is another one when anything about the source is.
        seen: What it said.
    """

    state: str
    seen: Seen


def settle(look: Callable[[], Look[Seen]], *, settle_seconds: float, place: str) -> Seen:
    """Look until two looks in a row agree.

    Raises:
        UnfinishedInputError: They never did, or the last look saw something half written.
    """
    before: Look[Seen] | None = None
    problem = UnfinishedInputError(
        f"it changed between any two of {LOOKS} looks, {settle_seconds:g} s apart.", place, "Wait for its writer."
    )
    for number in range(LOOKS):
        if number:
            time.sleep(settle_seconds)
        try:
            now = look()
        except UnfinishedInputError as unfinished:
            problem, before = unfinished, None
            continue
        if before is not None and now.state == before.state:
            return now.seen
        before = now
    raise problem
