"""Purchases: many questions, of which only the unanswered ones are asked, and every answer is kept.

A `Buyer` takes requests and brings their answers into the ledger; how is its own affair: `DirectBuyer` asks call by
call, `batch.BatchBuyer` through the provider's Batch API. What a buyer returns is an account, not the answers: those
are in the ledger, where a second start, another data set or another parser finds them.
"""

import asyncio
from collections.abc import Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

from coder_core.atg.budget import Budget
from coder_core.atg.client import LlmClient, Outcome
from coder_core.atg.completions import CompletionLedger
from coder_core.atg.dialects import Dialect
from coder_core.atg.endpoint import open_endpoint
from coder_core.atg.faults import Fault, LlmError, Problem
from coder_core.atg.names import NameSet
from coder_core.atg.pricing import Price, find_price, load_prices
from coder_core.atg.requests import CompletionRequest
from coder_core.atg.settings import LlmRuntime
from coder_core.atg.writing import CompletionWriter
from coder_core.errors import ConfigError
from coder_core.report.progress import Progress, track

__all__ = ["Buyer", "DirectBuyer", "Purchase", "check_price", "run_here"]


@dataclass
class Purchase:
    """The account of one purchase.

    Attributes:
        generated: Keys whose answers were bought.
        reused: Keys whose answers were held.
        problems: Key -> why there is no answer.
        calls: HTTP calls made.
        bad_answers: Answers that came and were of no use.
        prompt_tokens: Tokens of all questions that were answered, well or badly.
        completion_tokens: Tokens of all answers, good and bad.
        cost_usd: Their price; 0 when none is known.
        is_priced: Whether a price is known.
        stop: Why it ended early; None when it did not.
    """

    generated: set[str] = field(default_factory=set)
    reused: set[str] = field(default_factory=set)
    problems: dict[str, Problem] = field(default_factory=dict)
    calls: int = 0
    bad_answers: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    is_priced: bool = True
    stop: Problem | None = None

    def add(self, request: CompletionRequest, outcome: Outcome) -> None:
        """Count one question's outcome."""
        self.calls += outcome.calls
        self.bad_answers += len(outcome.failures)
        if outcome.completion is not None:
            self.generated.add(request.key)
        elif outcome.problem is not None:
            self.problems[request.key] = outcome.problem
        paid = [failure.completion for failure in outcome.failures]
        for completion in paid if outcome.completion is None else [*paid, outcome.completion]:
            self.prompt_tokens += completion.prompt_tokens
            self.completion_tokens += completion.completion_tokens
            self.cost_usd += completion.cost_usd

    def include(self, other: "Purchase") -> None:
        """Add another account, e.g. of the next round."""
        self.generated |= other.generated
        self.reused |= other.reused - self.generated
        self.problems |= other.problems
        self.calls += other.calls
        self.bad_answers += other.bad_answers
        self.prompt_tokens += other.prompt_tokens
        self.completion_tokens += other.completion_tokens
        self.cost_usd += other.cost_usd
        self.is_priced &= other.is_priced
        self.stop = self.stop or other.stop


class Buyer(Protocol):
    """Brings answers into the ledger."""

    def buy(self, requests: Sequence[CompletionRequest], *, others: NameSet) -> Purchase:
        """Buy the answers that the ledger lacks.

        Args:
            requests: The questions; all to one model.
            others: Names of the class list, to notice answers about another class.

        Raises:
            LlmError: The server refuses for good; everything bought before is kept.
            StoreError: The store refuses.
        """
        ...


class DirectBuyer:
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

    def buy(self, requests: Sequence[CompletionRequest], *, others: NameSet) -> Purchase:
        """Buy the answers that the ledger lacks; see `Buyer`."""
        missing = self.ledger.missing(requests)
        purchase = Purchase(reused={request.key for request in requests} - {request.key for request in missing})
        if not missing:
            return purchase
        price = find_price(missing[0].model, load_prices(self.runtime.prices))
        check_price(missing[0].model, price, self.runtime)
        purchase.is_priced = price is not None
        run_here(self._buy(missing, purchase, price, others))
        self.spent_usd += purchase.cost_usd
        if purchase.stop is not None and purchase.stop.fault is Fault.FATAL:
            remedy = f"{len(purchase.generated)} answers were bought before and are kept."
            raise LlmError(purchase.stop.detail, self.runtime.base_url or "OPENAI_BASE_URL", remedy)
        return purchase

    async def _buy(
        self, missing: list[CompletionRequest], purchase: Purchase, price: Price | None, others: NameSet
    ) -> None:
        runtime = self.runtime
        limit = None if runtime.max_cost_usd is None else max(0.0, runtime.max_cost_usd - self.spent_usd)
        async with open_endpoint(
            runtime.base_url, timeout_seconds=runtime.timeout_seconds, concurrency=runtime.concurrency
        ) as endpoint:
            client = LlmClient(
                endpoint, runtime, price=price, budget=Budget(limit), others=others, dialect=self._dialect
            )
            with track(f"asking {missing[0].model}", total=len(missing), unit="answers") as progress:
                await _ask_all(client, missing, purchase, progress, self.ledger, runtime.concurrency)
            self._dialect = client.dialect
            purchase.stop = client.stop


def run_here(work: Coroutine[Any, Any, None]) -> None:
    """Run asynchronous work to its end, also where an event loop is running already (a notebook)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(work)
        return
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()


def check_price(model: str, price: Price | None, runtime: LlmRuntime) -> None:
    """Refuse a limit in dollars for a model whose price nobody knows: it would be no limit.

    Raises:
        ConfigError: With the remedy.
    """
    if price is None and runtime.max_cost_usd is not None:
        raise ConfigError(
            f"max_cost_usd is {runtime.max_cost_usd}, but the price of {model!r} is not known.",
            "prices",
            "Add its price (0 for a server of your own), or drop max_cost_usd.",
        )


async def _ask_all(
    client: LlmClient,
    missing: list[CompletionRequest],
    purchase: Purchase,
    progress: Progress,
    ledger: CompletionLedger,
    concurrency: int,
) -> None:
    writer = CompletionWriter(ledger, batch_rows=concurrency)
    questions = iter(missing)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(writer.run())
            workers = [
                group.create_task(_work(client, questions, purchase, progress, writer))
                for _ in range(min(concurrency, len(missing)))
            ]
            await asyncio.wait(workers)
            writer.close()
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    finally:
        writer.flush()


async def _work(
    client: LlmClient,
    questions: Iterator[CompletionRequest],
    purchase: Purchase,
    progress: Progress,
    writer: CompletionWriter,
) -> None:
    for request in questions:
        outcome = await client.ask(request)
        purchase.add(request, outcome)
        progress.advance(1)
        await writer.put(outcome)
