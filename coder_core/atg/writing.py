"""Writing purchases down while more are under way, so that a crash costs what is in the air and no more.

Answers are collected for at most `LINGER_SECONDS` or until there are three for every four calls under way, then become
one part of the ledger; the writing runs in a thread beside the event loop. Never more answers are unwritten than calls
may be under way: when the store is slower than the server, `put` waits. So a kill -9 costs the calls in the air and at
most as many again.
"""

import asyncio
import contextlib

from coder_core.atg.completions import CompletionLedger
from coder_core.atg.outcomes import Outcome

__all__ = ["LINGER_SECONDS", "CompletionWriter"]

LINGER_SECONDS = 0.5
"""Longest time an answer waits for company: shorter than an answer takes to come, and two parts a second at most where
answers are slow."""
LEAST_ROWS = 16
"""A part of fewer rows is not worth its file where answers are quick."""


class CompletionWriter:
    """Appends outcomes to a ledger in small batches, for one event loop.

    Args:
        ledger: Where they go.
        concurrency: Calls under way at a time.
    """

    def __init__(self, ledger: CompletionLedger, *, concurrency: int) -> None:
        self._ledger = ledger
        self._most_unwritten = max(LEAST_ROWS, concurrency)
        self._batch_rows = max(LEAST_ROWS, concurrency * 3 // 4)
        self._rows: list[Outcome] = []
        self._unwritten = 0
        self._is_closing = False
        self._full = asyncio.Event()
        self._has_room = asyncio.Event()

    async def put(self, outcome: Outcome) -> None:
        """Hand an outcome over; waits while too many are unwritten."""
        while self._unwritten >= self._most_unwritten:
            self._has_room.clear()
            await self._has_room.wait()
        self._unwritten += 1
        self._rows.append(outcome)
        if len(self._rows) >= self._batch_rows:
            self._full.set()

    async def run(self) -> None:
        """Write until `close` is called and everything is written.

        Raises:
            StoreError: The store refuses.
        """
        while not self._is_closing or self._rows:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._full.wait(), LINGER_SECONDS)
            taken = self._take()
            await asyncio.to_thread(self._append, taken)
            self._unwritten -= len(taken)
            self._has_room.set()

    def close(self) -> None:
        """Say that nothing more will come."""
        self._is_closing = True
        self._full.set()

    def flush(self) -> None:
        """Write what is left at once, without the event loop: for the end of an interrupted run."""
        self._append(self._take())

    def _take(self) -> list[Outcome]:
        taken, self._rows = self._rows, []
        if not self._is_closing:
            self._full.clear()
        return taken

    def _append(self, outcomes: list[Outcome]) -> None:
        if good := [outcome.completion for outcome in outcomes if outcome.completion]:
            self._ledger.append(good)
        if bad := [failure for outcome in outcomes for failure in outcome.failures]:
            self._ledger.append_failures(bad)
