"""Asking call by call, many calls at a time: the fast way.

Workers take questions from one list, and none takes the next before its last answer is in the store: so a kill -9 costs
no more than the calls that were under way. Only above `MOST_STRICT_CALLS` at a time, where a server of 50 ms would wait
for the disk, some answers may be on their way there. Whatever else ends a run (the budget, a server that refuses for
good, Ctrl-C, SIGTERM, a cancelled run), what has arrived is written before it ends, and what is under way, and paid
for, is waited for a few seconds more.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Sequence

from coder_core.llm.chat_client import ChatClient, ServerTraits
from coder_core.llm.chat_requests import CompletionRequest
from coder_core.llm.completion_ledger import Completion, CompletionLedger, FailedCompletion
from coder_core.llm.completions import Completions, find_checked_price, run_here
from coder_core.llm.faults import Fault, LlmError, Problem
from coder_core.llm.llm_runtime import LlmRuntime
from coder_core.llm.pricing import Budget, Price
from coder_core.progress import Progress, track
from coder_core.storage.shared_work import Work, share_work

__all__ = ["CompletionWriter", "DirectCompletions"]

COMPACT_PARTS = 512
"""So many parts of a few answers each are merged at the end; fewer are left to `CompletionLedger.compact`."""
MOST_STRICT_CALLS = 32
"""The default number of calls at a time; of every further one an answer may be under way to the store."""
LINGER_SECONDS = 0.002
"""How long a first answer waits for company: nothing beside its own call, and a fifth more answers a second."""
_REFUSALS = frozenset({Fault.FATAL, Fault.UNREACHABLE, Fault.UNAVAILABLE})


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
        self._traits = ServerTraits()

    def complete(self, requests: Sequence[CompletionRequest]) -> Completions:
        """Ask for the answers that the ledger lacks; see `CompletionSource`."""
        account, asked = Completions(), {request.key: request for request in requests}

        def lacking(keys: list[str]) -> set[str]:
            left = {request.key for request in self.ledger.missing([asked[key] for key in keys])}
            account.reused |= set(keys) - left - account.generated  # held, or another run has paid for them
            return left

        def buy(keys: list[str]) -> bool:
            account.include(self._buy([asked[key] for key in keys]))
            return account.stop is None

        work = Work("asking questions", {key: (key,) for key in asked}, lacking, buy)
        share_work(self.ledger.store, ["completions"], work)
        return account

    def _buy(self, missing: list[CompletionRequest]) -> Completions:
        account = Completions()
        price = find_checked_price(missing[0].model, self.runtime)
        account.is_priced = price is not None
        try:
            run_here(self._ask(missing, account, price))
        finally:
            self.spent_usd += account.cost_usd
        return account

    async def _ask(self, missing: list[CompletionRequest], account: Completions, price: Price | None) -> None:
        runtime = self.runtime
        limit = None if runtime.max_cost_usd is None else max(0.0, runtime.max_cost_usd - self.spent_usd)
        from coder_core.llm.endpoint import open_endpoint  # openai is loaded where it is asked

        writer = CompletionWriter(self.ledger, most_waiting=max(0, runtime.concurrency - MOST_STRICT_CALLS))
        async with open_endpoint(runtime) as endpoint:
            client = ChatClient(
                endpoint,
                runtime,
                price=price,
                budget=Budget(limit),
                traits=self._traits,
                on_bad_answer=writer.add,
            )
            with track(f"asking {missing[0].model}", total=len(missing), unit="answers") as progress:
                await _ask_all(client, deque(missing), account, progress, writer, runtime)
            account.stop = client.stop
        if writer.parts >= COMPACT_PARTS:
            await asyncio.to_thread(self.ledger.compact)
        if client.stop is not None and (client.stop.fault is Fault.FATAL or _is_nothing(account, client.stop)):
            remedy = f"{len(account.generated)} answers came before and are kept."
            raise LlmError(client.stop.detail, endpoint.url, remedy)


def _is_nothing(account: Completions, stop: Problem) -> bool:
    return stop.fault in _REFUSALS and not account.generated


async def _ask_all(
    client: ChatClient,
    questions: deque[CompletionRequest],
    account: Completions,
    progress: Progress,
    writer: "CompletionWriter",
    runtime: LlmRuntime,
) -> None:
    writing = asyncio.create_task(writer.run())
    workers = [
        asyncio.create_task(_work(client, questions, account, progress, writer))
        for _ in range(min(runtime.concurrency, len(questions)))
    ]
    open_tasks = {*workers, writing}
    try:
        while open_tasks - {writing}:
            done, open_tasks = await asyncio.wait(open_tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
    except asyncio.CancelledError:
        questions.clear()
        client.stop = client.stop or Problem(Fault.STOPPED, "the run was interrupted.")
        await _let_finish(client, workers, runtime.grace_seconds)
        raise
    finally:
        await _send_home(workers)
        writer.close()
        await asyncio.wait({writing})
        writer.flush()


async def _send_home(workers: list[asyncio.Task[None]]) -> None:
    for worker in workers:
        worker.cancel()
    await asyncio.gather(*workers, return_exceptions=True)


async def _let_finish(client: ChatClient, workers: list[asyncio.Task[None]], grace_seconds: float) -> None:
    """Wait a little for the answers that are under way; whoever waits for anything else is sent home."""
    for worker in workers:
        if worker not in client.under_way:
            worker.cancel()
    await asyncio.wait(workers, timeout=grace_seconds)


async def _work(
    client: ChatClient,
    questions: deque[CompletionRequest],
    account: Completions,
    progress: Progress,
    writer: "CompletionWriter",
) -> None:
    while questions:
        request = questions.popleft()
        outcome = await client.ask(request)
        account.add(request.key, outcome)
        progress.advance(1)
        if outcome.completion is not None:
            writer.add(outcome.completion)
        await writer.wait_for_room()


class CompletionWriter:
    """Appends answers to a ledger as they come, in a thread beside the event loop.

    All that has come while one part was being written, and a moment later, goes into the next one: so parts are large
    where answers are quick.

    Args:
        ledger: Where they go.
        most_waiting: How many answers may be on their way to the store before somebody waits for it.

    Attributes:
        parts: How many times something was appended.
    """

    def __init__(self, ledger: CompletionLedger, *, most_waiting: int = 0) -> None:
        self.parts = 0
        self._most_waiting = most_waiting
        self._unwritten = 0
        self._ledger = ledger
        self._rows: deque[Completion | FailedCompletion] = deque()
        self._is_closing = False
        self._has_rows = asyncio.Event()
        self._next_part = asyncio.Event()
        self._this_part: asyncio.Event | None = None
        self._lock = threading.Lock()

    def add(self, row: Completion | FailedCompletion) -> None:
        """Hand an answer over; it is written soon."""
        self._rows.append(row)
        self._unwritten += 1
        self._has_rows.set()

    async def wait_for_room(self) -> None:
        """Wait until what was added by now is in the store, unless `most_waiting` answers or fewer are not."""
        part = self._next_part if self._has_rows.is_set() else self._this_part
        if part is not None and self._unwritten > self._most_waiting:
            await part.wait()

    async def run(self) -> None:
        """Write until `close` is called and everything is written.

        Raises:
            StoreError: The store refuses.
        """
        while not self._is_closing or self._rows:
            await self._has_rows.wait()
            if not self._is_closing:
                await asyncio.sleep(LINGER_SECONDS)
            self._has_rows.clear()
            self._this_part, self._next_part = self._next_part, asyncio.Event()
            written = await asyncio.to_thread(self.flush)
            self._unwritten -= written  # not in one: answers are added meanwhile
            self._this_part.set()

    def close(self) -> None:
        """Say that nothing more will come."""
        self._is_closing = True
        self._has_rows.set()

    def flush(self) -> int:
        """Write what is left, now and here, and return how many rows that were; safe from any thread."""
        with self._lock:
            rows = [self._rows.popleft() for _ in range(len(self._rows))]
            if bad := [row for row in rows if isinstance(row, FailedCompletion)]:
                self._ledger.append_failures(bad)
            if good := [row for row in rows if isinstance(row, Completion)]:
                self._ledger.append(good)
            self.parts += bool(bad) + bool(good)
            return len(rows)
