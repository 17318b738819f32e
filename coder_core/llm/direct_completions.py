"""Asking call by call, many calls at a time: the fast way.

Workers take questions from one list; each answer goes to the ledger as soon as it is there. Whatever ends a run (the
budget, a server that refuses for good, Ctrl-C), what has arrived by then is written before it ends.
"""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence

from coder_core.llm.chat_client import ChatClient
from coder_core.llm.chat_requests import CompletionRequest
from coder_core.llm.completion_ledger import CompletionLedger
from coder_core.llm.completions import Completions, Outcome, find_checked_price, run_here, split_held
from coder_core.llm.dialects import Dialect
from coder_core.llm.faults import Fault, LlmError
from coder_core.llm.llm_runtime import LlmRuntime
from coder_core.llm.pricing import Budget, Price
from coder_core.progress import Progress, track
from coder_core.storage.addresses import redact

__all__ = ["CompletionWriter", "DirectCompletions"]

LINGER_SECONDS = 0.5
"""Longest time an answer waits for company: shorter than an answer takes to come, and two parts a second at most where
answers are slow."""
LEAST_ROWS = 16
"""A part of fewer rows is not worth its file where answers are quick."""


class DirectCompletions:
    """Asks call by call, many at a time.

    Args:
        ledger: Where the answers go.
        runtime: Which server, how fast, how much.
        spent_usd: What counts against `max_cost_usd` already, e.g. by earlier chunks of one run.
    """

    def __init__(self, ledger: CompletionLedger, runtime: LlmRuntime, *, spent_usd: float = 0.0) -> None:
        self.ledger = ledger
        self.runtime = runtime
        self.spent_usd = spent_usd
        self._dialect = Dialect()

    def complete(self, requests: Sequence[CompletionRequest]) -> Completions:
        """Ask for the answers that the ledger lacks; see `CompletionSource`."""
        missing, account = split_held(self.ledger, requests)
        if not missing:
            return account
        price = find_checked_price(missing[0].model, self.runtime)
        account.is_priced = price is not None
        run_here(self._ask(missing, account, price))
        self.spent_usd += account.cost_usd
        if account.stop is not None and account.stop.fault is Fault.FATAL:
            remedy = f"{len(account.generated)} answers came before and are kept."
            raise LlmError(account.stop.detail, redact(self.runtime.base_url or "OPENAI_BASE_URL"), remedy)
        return account

    async def _ask(self, missing: list[CompletionRequest], account: Completions, price: Price | None) -> None:
        runtime = self.runtime
        limit = None if runtime.max_cost_usd is None else max(0.0, runtime.max_cost_usd - self.spent_usd)
        from coder_core.llm.endpoint import open_endpoint  # openai is loaded where it is asked

        async with open_endpoint(
            runtime.base_url, timeout_seconds=runtime.timeout_seconds, concurrency=runtime.concurrency
        ) as endpoint:
            client = ChatClient(endpoint, runtime, price=price, budget=Budget(limit), dialect=self._dialect)
            with track(f"asking {missing[0].model}", total=len(missing), unit="answers") as progress:
                await _ask_all(client, missing, account, progress, self.ledger, runtime.concurrency)
            self._dialect = client.dialect
            account.stop = client.stop


async def _ask_all(
    client: ChatClient,
    missing: list[CompletionRequest],
    account: Completions,
    progress: Progress,
    ledger: CompletionLedger,
    concurrency: int,
) -> None:
    writer = CompletionWriter(ledger, concurrency=concurrency)
    questions = iter(missing)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(writer.run())
            workers = [
                group.create_task(_work(client, questions, account, progress, writer))
                for _ in range(min(concurrency, len(missing)))
            ]
            await asyncio.wait(workers)
            writer.close()
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    finally:
        writer.flush()


async def _work(
    client: ChatClient,
    questions: Iterator[CompletionRequest],
    account: Completions,
    progress: Progress,
    writer: "CompletionWriter",
) -> None:
    for request in questions:
        outcome = await client.ask(request)
        account.add(request.key, outcome)
        progress.advance(1)
        await writer.put(outcome)


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
