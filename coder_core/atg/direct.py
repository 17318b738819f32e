"""Buying call by call, many calls at a time: the fast way.

Workers take questions from one list; each answer goes to the ledger as soon as it is there (`writing`). Whatever ends a
run (the budget, a server that refuses for good, Ctrl-C), what has arrived by then is written before it ends.
"""

import asyncio
from collections.abc import Iterator, Sequence

from coder_core.atg.budget import Budget
from coder_core.atg.client import LlmClient
from coder_core.atg.completions import CompletionLedger
from coder_core.atg.dialects import Dialect
from coder_core.atg.faults import Fault, LlmError
from coder_core.atg.names import NameSet
from coder_core.atg.pricing import Price, find_price, load_prices
from coder_core.atg.purchases import Purchase, check_price, run_here
from coder_core.atg.requests import CompletionRequest
from coder_core.atg.settings import LlmRuntime
from coder_core.atg.writing import CompletionWriter
from coder_core.progress import Progress, track
from coder_core.storage.addresses import redact

__all__ = ["DirectBuyer"]


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
            raise LlmError(purchase.stop.detail, redact(self.runtime.base_url or "OPENAI_BASE_URL"), remedy)
        return purchase

    async def _buy(
        self, missing: list[CompletionRequest], purchase: Purchase, price: Price | None, others: NameSet
    ) -> None:
        runtime = self.runtime
        limit = None if runtime.max_cost_usd is None else max(0.0, runtime.max_cost_usd - self.spent_usd)
        from coder_core.atg.endpoint import open_endpoint  # openai is loaded where it is asked

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


async def _ask_all(
    client: LlmClient,
    missing: list[CompletionRequest],
    purchase: Purchase,
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
