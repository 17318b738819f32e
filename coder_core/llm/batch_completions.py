"""The Batch API: large lists at half the price, within a day, across restarts.

A batch is prepared in the store, uploaded, created, polled and collected; each step is written down before the next, so
a process that dies is continued by the next one, which first looks for batches that are still open. Runs that go on at
the same time share a store: each batch is claimed by one of them (`claims`), the others wait for it. Answers are
judged exactly as those of single calls are. What failed is asked again in a further batch, a bounded number of times;
then it is in the account with its reason.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence

from pydantic_core import to_json

from coder_core.llm.batch_client import BatchClient, BatchStatus
from coder_core.llm.batch_records import BatchDocument, BatchFolder, BatchLine, read_lines, write_lines
from coder_core.llm.chat_client import ServerTraits
from coder_core.llm.chat_replies import Reply, read_answer_body
from coder_core.llm.chat_requests import CompletionRequest, RequestRecord
from coder_core.llm.completion_ledger import CompletionLedger, FailedCompletion
from coder_core.llm.completions import Completions, Outcome, find_checked_price, judge_answer, run_here, split_held
from coder_core.llm.dialects import Dialect, judge_refusal
from coder_core.llm.faults import Fault, Problem
from coder_core.llm.llm_runtime import LlmRuntime
from coder_core.llm.pricing import Price, worst_cost_usd
from coder_core.storage.claims import Claim

__all__ = ["BatchCompletions"]

MAX_REQUESTS = 50_000
"""Most lines in one batch, by OpenAI's rules; at 2 kB a line half of the 200 MB that a file may have."""
MAX_PICTURE_BYTES = 150_000_000
"""Pictures in the file of one batch, as base64: with them, and not without, its 200 MB would be passed."""
PLAN_PAUSE_SECONDS = 0.5
"""Pause of a run while another one puts questions into a batch, which takes moments."""
_TOO_MANY_TOKENS = "token_limit_exceeded"


class BatchCompletions:
    """Asks through the provider's Batch API.

    Args:
        ledger: Where the answers go.
        runtime: Which server, how patient, how much.
        spent_usd: What counts against `max_cost_usd` already.
        poll_seconds: Pause between two looks at a batch.
        max_wait_seconds: Longest wait for a batch; afterwards it stays open, and a later run goes on with it.
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
        self.traits = ServerTraits()
        self.folder = BatchFolder(ledger.store)

    def complete(self, requests: Sequence[CompletionRequest]) -> Completions:
        """Ask for the answers that the ledger lacks; see `completions.CompletionSource`."""
        missing, account = split_held(self.ledger, requests)
        if missing:
            price = find_checked_price(missing[0].model, self.runtime)
            account.is_priced = price is not None
            run_here(self._ask(missing, account, price))
        return account

    async def _ask(self, wanted: list[CompletionRequest], account: Completions, price: Price | None) -> None:
        from coder_core.llm.endpoint import open_endpoint  # openai is loaded where it is asked

        async with open_endpoint(self.runtime, is_for_files=True) as endpoint:
            batches = BatchRun(self, BatchClient(endpoint, self.runtime), account, price, wanted)
            await batches.run()
            account.calls = endpoint.calls
        keys = {request.key for request in wanted}
        account.generated = keys - {request.key for request in self.ledger.missing(wanted)}
        unanswered = keys - account.generated
        account.problems = {key: problem for key, problem in account.problems.items() if key in unanswered}


class BatchRun:
    """One set of questions on its way through batches.

    Args:
        source: Settings, ledger and the folder of batches.
        client: The provider.
        account: Where outcomes are counted.
        price: What the model costs; None when unknown.
        wanted: The questions.
    """

    def __init__(
        self,
        source: BatchCompletions,
        client: BatchClient,
        account: Completions,
        price: Price | None,
        wanted: Sequence[CompletionRequest],
    ) -> None:
        self._source = source
        self._client = client
        self._account = account
        self._price = price
        self._model = wanted[0].model
        self._wanted = {request.key: request for request in wanted}
        self._tries: Counter[str] = Counter()
        self._given_tokens: dict[str, int] = {}
        self._refused: set[Dialect] = set()
        self._prepared: set[str] = set()

    async def run(self) -> None:
        """Go on with open batches that hold some of the questions, and ask the others in new ones."""
        while self._account.stop is None:
            opened = await self._next_batch()
            if opened is None:
                return
            claim, document, records = opened
            try:
                await self._finish(claim, document, records)
            finally:
                claim.release()

    async def _next_batch(self) -> tuple[Claim, BatchDocument, list[RequestRecord]] | None:
        """Find or prepare the next batch and claim it; None when nothing more can be asked.

        One run at a time plans: so what one has put into a batch another does not ask as well.
        """
        folder = self._source.folder
        patience_ends = time.monotonic() + self._source.max_wait_seconds
        while time.monotonic() < patience_ends:
            plan = folder.claim_plan(self._model)
            pause = min(self._source.poll_seconds, PLAN_PAUSE_SECONDS)
            if plan.acquire():
                pause = self._source.poll_seconds
                try:
                    documents = folder.open_documents(
                        self._model
                    )  # first: what was closed has its answers in the ledger
                    missing = self._source.ledger.missing(self._wanted.values())
                    found = self._open_batch(documents, {request.key for request in missing})
                    if found is None:
                        chosen = self._choose(missing)
                        return self._prepare(chosen) if chosen else None
                    if (claimed := self._claim(*found)) is not None:
                        return claimed
                finally:
                    plan.release()
            await asyncio.sleep(pause)
        self._account.stop = Problem(Fault.STOPPED, "another run works on these questions; run again later.")
        return None

    def _claim(
        self, document: BatchDocument, records: list[RequestRecord]
    ) -> tuple[Claim, BatchDocument, list[RequestRecord]] | None:
        """Claim an open batch as it is now; None when another run works on it, or just ended it."""
        claim = self._source.folder.claim(document)
        if not claim.acquire():
            return None
        current = self._source.folder.reload(document)
        if current.state == "closed":
            claim.release()
            return None
        return claim, current, records

    def _open_batch(
        self, documents: list[BatchDocument], keys: set[str]
    ) -> tuple[BatchDocument, list[RequestRecord]] | None:
        """The oldest open batch that holds some of the questions."""
        for document in documents:
            records = self._source.folder.requests(document)
            if not keys.isdisjoint(record.key for record in records):
                return document, records
        return None

    def _prepare(self, chosen: list[CompletionRequest]) -> tuple[Claim, BatchDocument, list[RequestRecord]]:
        self._given_tokens |= {request.key: self._longest_answer(request) for request in chosen}
        longest = max(self._given_tokens[request.key] for request in chosen)
        document = self._source.folder.prepare(chosen, self._source.traits.dialect, max_tokens=longest)
        claim = self._source.folder.claim(document)
        claim.acquire()
        self._prepared.add(document.token)
        return claim, document, [request.record for request in chosen]

    def _choose(self, missing: list[CompletionRequest]) -> list[CompletionRequest]:
        """Take what may be asked (again) and fits into one batch and into the budget."""
        runtime = self._source.runtime
        askable = [request for request in missing if self._may_ask(request)][: self._source.max_requests]
        askable = _fitting(askable)
        if runtime.max_cost_usd is None or self._price is None:
            return askable
        left = runtime.max_cost_usd - self._source.spent_usd
        chosen = []
        for request in askable:
            left -= worst_cost_usd(request, self._price, max_tokens=self._longest_answer(request), is_batch=True)
            if left < 0:
                break
            chosen.append(request)
        if askable and not chosen:
            self._account.stop = Problem(Fault.OVER_BUDGET, f"max_cost_usd {runtime.max_cost_usd} would be passed.")
        return chosen

    def _may_ask(self, request: CompletionRequest) -> bool:
        """Whether a question has not failed too often, or for good."""
        runtime, problem = self._source.runtime, self._account.problems.get(request.key)
        if problem is not None and problem.fault is Fault.CUT_OFF:
            has_more_room = self._longest_answer(request) > self._given_tokens.get(request.key, 0)
            return has_more_room and self._tries[request.key] < runtime.max_attempts
        is_hopeless = problem is not None and problem.fault in {Fault.REJECTED, Fault.FATAL}
        return not is_hopeless and self._tries[request.key] < runtime.max_bad_answers

    def _longest_answer(self, request: CompletionRequest) -> int:
        """Tokens for an answer: what sufficed for this model before, doubled where one was cut off."""
        runtime, problem = self._source.runtime, self._account.problems.get(request.key)
        first = self._source.traits.longest_answer(request.model, runtime)
        if problem is None or problem.fault is not Fault.CUT_OFF:
            return first
        given = self._given_tokens.get(request.key, first)
        return max(first, min(2 * given, max(runtime.max_tokens_limit, given)))

    async def _finish(self, claim: Claim, document: BatchDocument, records: list[RequestRecord]) -> None:
        """Bring one batch to its end, from wherever it is."""
        if document.file_id is None and document.token not in self._prepared:
            self._saved(document, state="closed", note="never sent")  # so it was not paid: it is asked in a new one
            return
        if document.file_id is None:
            requests = [self._wanted[record.key] for record in records]
            content = write_lines(requests, document.dialect, self._given_tokens)
            document = self._saved(document, file_id=await self._client.upload(document, content))
        document = await self._create(claim, document)
        status = await self._wait(claim, document)
        if status is None:
            self._account.stop = Problem(Fault.STOPPED, "another run took this batch over; run again later.")
        elif not status.is_final:
            detail = f"batch {status.batch_id} is {status.state}; run again later to collect its answers."
            self._account.stop = Problem(Fault.STOPPED, detail)
        else:
            names = (status.output_file_id, status.error_file_id)
            self._collect(document, records, status, b"\n".join([await self._client.download(name) for name in names]))
            self._saved(document, state="closed", note=status.state)

    async def _create(self, claim: Claim, document: BatchDocument) -> BatchDocument:
        """Create the batch of an uploaded file, unless a process that died has done so."""
        if document.batch_id is not None:
            return document
        batch_id = await self._client.find(document.token)
        if batch_id is None and claim.renew():
            batch_id = await self._client.create(document)
        return self._saved(document, batch_id=batch_id, state="submitted") if batch_id else document

    async def _wait(self, claim: Claim, document: BatchDocument) -> BatchStatus | None:
        """Look at a batch until it has ended or patience has; None when somebody else has taken it over."""
        patience_ends = time.monotonic() + self._source.max_wait_seconds
        status = await self._client.look(document.batch_id) if document.batch_id else None
        while status is not None and not status.is_final and time.monotonic() < patience_ends:
            await asyncio.sleep(self._source.poll_seconds)
            status = await self._client.look(status.batch_id) if claim.renew() else None
        return status

    def _saved(self, document: BatchDocument, **changes: str) -> BatchDocument:
        changed = document.model_copy(update=changes)
        self._source.folder.save(changed)
        return changed

    def _collect(
        self, document: BatchDocument, records: list[RequestRecord], status: BatchStatus, content: bytes
    ) -> None:
        """Write the answers of a batch down and count what became of its questions."""
        if status.error_code == _TOO_MANY_TOKENS and len(records) > 1:
            self._source.max_requests = len(records) // 2
            return
        outcomes = self._read(content, {record.key: record for record in records}, document.dialect)
        self._source.ledger.append([outcome.completion for outcome in outcomes.values() if outcome.completion])
        self._source.ledger.append_failures([bad for outcome in outcomes.values() for bad in outcome.failures])
        before = self._account.cost_usd
        lacking = Problem(Fault.UNANSWERED, f"the batch ended as {status.state} without an answer. {status.errors}")
        for record in records:
            self._tries[record.key] += 1
            self._account.problems.pop(record.key, None)
            outcome = outcomes.get(record.key, Outcome(None, lacking, (), 0))
            self._account.add(record.key, outcome)
            given = self._given_tokens.setdefault(record.key, document.max_tokens)
            if outcome.completion is not None:
                self._source.traits.note_length(record.model, given, self._source.runtime)
        self._source.spent_usd += self._account.cost_usd - before

    def _read(self, content: bytes, records: Mapping[str, RequestRecord], dialect: Dialect) -> dict[str, Outcome]:
        """Read both files of a batch; lines may come in any order, unknown and repeated ones do not count."""
        outcomes: dict[str, Outcome] = {}
        lines = list(read_lines(content))
        pictured = (line for line in lines if line.status == 200 and self._shows_pictures(line.key))
        self._source.traits.takes_pictures |= any(True for _ in pictured)
        for line in lines:
            if line.key in records and line.key not in outcomes:
                outcomes[line.key] = self._judge(line, records[line.key], dialect)
        return outcomes

    def _judge(self, line: BatchLine, record: RequestRecord, dialect: Dialect) -> Outcome:
        if line.status == 0:
            return Outcome(None, Problem(Fault.UNANSWERED, "the batch ended before this question's turn."), (), 0)
        if line.status != 200:
            shown = self._shows_pictures(record.key)
            verdict = judge_refusal(
                Reply(line.status, {}, to_json(line.body)),
                dialect,
                has_key=True,
                hide=self._client.hide_key,
                tried=self._refused,
                has_pictures=shown and not self._source.traits.takes_pictures,
            )
            if shown and verdict.problem.fault is Fault.FATAL:
                self._account.stop = self._account.stop or verdict.problem
            if verdict.dialect is not None and self._source.traits.dialect == dialect:
                self._refused.add(dialect)
                self._source.traits.dialect = verdict.dialect
            return Outcome(None, verdict.problem, (), 0)
        asked = self._wanted.get(record.key, record)
        body = line.body if isinstance(line.body, dict) else {}
        answer = read_answer_body(body, is_utf8=line.is_utf8, hide=self._client.hide_key)
        completion, problem = judge_answer(
            asked, answer, self._price, is_structured=dialect.is_structured, is_batch=True
        )
        if completion is None or problem is None:
            return Outcome(completion, problem, (), 0)
        return Outcome(None, problem, (FailedCompletion(completion, problem),), 0)

    def _shows_pictures(self, key: str) -> bool:
        asked = self._wanted.get(key)
        return asked is not None and bool(asked.pictures)


def _fitting(requests: list[CompletionRequest]) -> list[CompletionRequest]:
    """The first of some questions, as many as a file may hold with their pictures; at least one."""
    total = 0
    for number, request in enumerate(requests):
        total += sum(4 * len(picture.jpeg) // 3 for picture in request.pictures)
        if total > MAX_PICTURE_BYTES and number:
            return requests[:number]
    return requests
