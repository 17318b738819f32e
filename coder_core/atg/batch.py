"""The Batch API: large lists at half the price, within a day, across restarts.

A batch is prepared in the store, uploaded, created, polled and collected; each step is written down before the next, so
a process that dies is continued by the next one, which first looks for batches that are still open. Answers are judged
exactly as those of single calls are. What failed is asked again in a further batch, a bounded number of times; then it
is in the account with its reason.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence

from coder_core.atg.batch_answers import read_outcomes
from coder_core.atg.batch_documents import BatchDocument, BatchFolder
from coder_core.atg.batch_files import write_lines
from coder_core.atg.completions import CompletionLedger
from coder_core.atg.dialects import Dialect
from coder_core.atg.faults import Fault, Problem
from coder_core.atg.names import NameSet
from coder_core.atg.outcomes import MAX_DOUBLINGS
from coder_core.atg.pricing import Price, find_price, load_prices, worst_cost_usd
from coder_core.atg.provider_desk import BatchStatus, ProviderDesk
from coder_core.atg.purchases import Purchase, check_price, run_here
from coder_core.atg.requests import CompletionRequest
from coder_core.atg.settings import LlmRuntime

__all__ = ["BatchBuyer"]

MAX_REQUESTS = 50_000
"""Most lines in one batch, by OpenAI's rules; at 2 kB a line half of the 200 MB that a file may have."""
FILE_SECONDS = 600.0
"""Longest time to upload or download a file of 100 MB."""
_TOO_MANY_TOKENS = "token_limit_exceeded"


class BatchBuyer:
    """Asks through the provider's Batch API.

    Args:
        ledger: Where the answers go.
        runtime: Which server, how patient, how much.
        spent_usd: What counts against `max_cost_usd` already.
        poll_seconds: Pause between two looks at a batch.
        max_wait_seconds: Longest wait for a batch; afterwards it stays open, and a later purchase goes on with it.
        max_requests: Most questions in one batch.
    """

    def __init__(
        self,
        ledger: CompletionLedger,
        runtime: LlmRuntime,
        *,
        spent_usd: float = 0.0,
        poll_seconds: float = 30.0,
        max_wait_seconds: float = 26 * 3600.0,
        max_requests: int = MAX_REQUESTS,
    ) -> None:
        self.ledger = ledger
        self.runtime = runtime
        self.spent_usd = spent_usd
        self.poll_seconds = poll_seconds
        self.max_wait_seconds = max_wait_seconds
        self.max_requests = max_requests
        self.dialect = Dialect()
        self.folder = BatchFolder(ledger.store)

    def buy(self, requests: Sequence[CompletionRequest], *, others: NameSet) -> Purchase:
        """Buy the answers that the ledger lacks; see `purchases.Buyer`."""
        missing = self.ledger.missing(requests)
        purchase = Purchase(reused={request.key for request in requests} - {request.key for request in missing})
        if not missing:
            return purchase
        price = find_price(missing[0].model, load_prices(self.runtime.prices))
        check_price(missing[0].model, price, self.runtime)
        purchase.is_priced = price is not None
        run_here(self._buy(missing, purchase, price, others))
        return purchase

    async def _buy(
        self, wanted: list[CompletionRequest], purchase: Purchase, price: Price | None, others: NameSet
    ) -> None:
        from coder_core.atg.endpoint import open_endpoint  # openai is loaded where it is asked

        async with open_endpoint(self.runtime.base_url, timeout_seconds=FILE_SECONDS, concurrency=1) as endpoint:
            errand = _Errand(self, ProviderDesk(endpoint, self.runtime), purchase, price, others)
            keys = {request.key for request in wanted}
            for document in self.folder.open_documents(wanted[0].model):
                theirs = self.folder.requests(document)
                if not keys.isdisjoint(request.key for request in theirs):
                    await errand.run(document, theirs)
            while purchase.stop is None and (chosen := self._choose(self.ledger.missing(wanted), errand)):
                document = self.folder.prepare(chosen, self.dialect, max_tokens=errand.longest_answer(chosen))
                await errand.run(document, chosen)
            purchase.calls = endpoint.calls
        held = keys - {request.key for request in self.ledger.missing(wanted)}
        purchase.generated = held
        purchase.problems = {key: problem for key, problem in purchase.problems.items() if key in keys - held}

    def _choose(self, missing: list[CompletionRequest], errand: "_Errand") -> list[CompletionRequest]:
        """Take what may be asked (again) and fits into one batch and into the budget."""
        askable = [request for request in missing if errand.may_ask(request)][: self.max_requests]
        if self.runtime.max_cost_usd is None or errand.price is None:
            return askable
        left = self.runtime.max_cost_usd - self.spent_usd
        chosen = []
        for request in askable:
            left -= worst_cost_usd(request, errand.price, max_tokens=self.runtime.max_tokens, is_batch=True)
            if left < 0:
                break
            chosen.append(request)
        if askable and not chosen:
            detail = f"max_cost_usd {self.runtime.max_cost_usd} would be passed."
            errand.purchase.stop = Problem(Fault.OVER_BUDGET, detail)
        return chosen


class _Errand:
    """One purchase's way through its batches."""

    def __init__(
        self, buyer: BatchBuyer, desk: ProviderDesk, purchase: Purchase, price: Price | None, others: NameSet
    ) -> None:
        self.purchase = purchase
        self.price = price
        self._buyer = buyer
        self._desk = desk
        self._others = others
        self._tries: Counter[str] = Counter()

    def may_ask(self, request: CompletionRequest) -> bool:
        """Whether a question has not failed too often, or for good."""
        problem = self.purchase.problems.get(request.key)
        is_hopeless = problem is not None and problem.fault is Fault.REJECTED
        return not is_hopeless and self._tries[request.key] < self._buyer.runtime.max_bad_answers

    def longest_answer(self, requests: list[CompletionRequest]) -> int:
        """Tokens of the longest answer: doubled for those that were cut off."""
        problems = self.purchase.problems
        cut_offs = [
            self._tries[request.key]
            for request in requests
            if request.key in problems and problems[request.key].fault is Fault.CUT_OFF
        ]
        doublings = min(MAX_DOUBLINGS, max(cut_offs, default=0))
        return self._buyer.runtime.max_tokens << doublings

    async def run(self, document: BatchDocument, requests: list[CompletionRequest]) -> None:
        """Bring one batch to its end, from wherever it is."""
        document = await self._submit(document, requests)
        status = await self._wait(document)
        if not status.is_final:
            detail = f"batch {status.batch_id} is {status.state}; run again later to collect its answers."
            self.purchase.stop = Problem(Fault.STOPPED, detail)
            return
        contents = [await self._desk.download(name) for name in (status.output_file_id, status.error_file_id)]
        self._collect(document, requests, status, "\n".join(contents))
        self._buyer.folder.save(document.model_copy(update={"state": "closed", "note": status.state}))

    async def _submit(self, document: BatchDocument, requests: list[CompletionRequest]) -> BatchDocument:
        folder = self._buyer.folder
        if document.batch_id is not None:
            return document
        batch_id = await self._desk.find(document.token) if document.file_id is not None else None
        if document.file_id is None:
            content = write_lines(requests, document.dialect, max_tokens=document.max_tokens)
            document = document.model_copy(update={"file_id": await self._desk.upload(document, content)})
            folder.save(document)
        batch_id = batch_id or await self._desk.create(document)
        document = document.model_copy(update={"batch_id": batch_id, "state": "submitted"})
        folder.save(document)
        return document

    async def _wait(self, document: BatchDocument) -> BatchStatus:
        patience_ends = time.monotonic() + self._buyer.max_wait_seconds
        status = await self._desk.look(document.batch_id or "")
        while not status.is_final and time.monotonic() < patience_ends:
            await asyncio.sleep(self._buyer.poll_seconds)
            status = await self._desk.look(status.batch_id)
        return status

    def _collect(
        self, document: BatchDocument, requests: list[CompletionRequest], status: BatchStatus, content: str
    ) -> None:
        if status.error_code == _TOO_MANY_TOKENS and len(requests) > 1:
            self._buyer.max_requests = len(requests) // 2
            return
        outcomes = read_outcomes(
            content, requests, document.dialect, self.price, others=self._others, hide=self._desk.hide_key
        )
        ledger = self._buyer.ledger
        ledger.append([outcome.completion for outcome in outcomes.by_key.values() if outcome.completion])
        ledger.append_failures([bad for outcome in outcomes.by_key.values() for bad in outcome.failures])
        before = self.purchase.cost_usd
        lacking = Problem(Fault.NOT_BOUGHT, f"the batch ended as {status.state} without an answer. {status.errors}")
        for request in requests:
            outcome = outcomes.by_key.get(request.key)
            self._tries[request.key] += 1
            self.purchase.problems.pop(request.key, None)
            if outcome is None:
                self.purchase.problems[request.key] = lacking
            else:
                self.purchase.add(request, outcome)
        self._buyer.spent_usd += self.purchase.cost_usd - before
        self._buyer.dialect = outcomes.dialect or self._buyer.dialect
