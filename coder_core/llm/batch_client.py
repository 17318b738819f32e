"""The provider's side of the Batch API: files go in, batches come out, each call repeated with patience.

Creating a batch is the one call that must not be repeated blindly: an answer that got lost on the line may have cost a
batch. So before it is repeated, the provider's list is searched for our token.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from coder_core.llm.batch_records import COMPLETIONS_PATH, BatchDocument
from coder_core.llm.chat_replies import Reply
from coder_core.llm.dialects import Dialect, judge_refusal
from coder_core.llm.faults import Fault, LlmError, Problem, bounded
from coder_core.llm.llm_runtime import LlmRuntime
from coder_core.llm.rate_limits import read_retry_after

if TYPE_CHECKING:
    from coder_core.llm.endpoint import Endpoint

__all__ = ["BatchClient", "BatchStatus"]

TOKEN_FIELD = "coder_eval_token"  # noqa: S105 (a name in the batch's metadata)
LISTED_BATCHES = 100
"""The newest batches among which ours is looked for after a crash: a page of the provider's list."""
FINAL = frozenset({"completed", "failed", "expired", "cancelled", "lost"})
_GONE = frozenset({404})
_CANNOT_LIST = frozenset({400, 404, 405, 501})
_PASSING = frozenset({Fault.CONNECTION, Fault.TIMEOUT, Fault.RATE_LIMITED, Fault.SERVER_ERROR})
_IS_AWAY = frozenset({Fault.UNREACHABLE, Fault.UNAVAILABLE})


class BatchStatus(NamedTuple):
    """A batch as the provider sees it.

    Args:
        batch_id: Its name.
        state: The provider's word for its state; `lost` when the provider knows it no more.
        output_file_id: Where the good answers are.
        error_file_id: Where the others are.
        errors: What the provider says went wrong with the whole batch.
        error_code: The first error's code.
    """

    batch_id: str
    state: str
    output_file_id: str | None = None
    error_file_id: str | None = None
    errors: str = ""
    error_code: str = ""

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in FINAL


class _Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


_Shape = TypeVar("_Shape", bound=_Lenient)


class _File(_Lenient):
    id: str


class _Error(_Lenient):
    code: str | None = None
    message: str | None = None


class _Errors(_Lenient):
    data: list[_Error] = []


class _Batch(_Lenient):
    id: str
    status: str
    output_file_id: str | None = None
    error_file_id: str | None = None
    errors: _Errors | None = None
    metadata: dict[str, Any] | None = None


class _Batches(_Lenient):
    data: list[_Batch] = []


@dataclass
class _Patience:
    """What one call has cost so far."""

    attempts: int = 0
    started: float = field(default_factory=time.monotonic)


class BatchClient:
    """Uploads files, creates batches and reads what became of them.

    Args:
        endpoint: The server.
        runtime: Patience.
    """

    def __init__(self, endpoint: "Endpoint", runtime: LlmRuntime) -> None:
        self._endpoint = endpoint
        self._runtime = runtime
        self._random = random.SystemRandom()
        self._has_answered = False
        self.hide_key = endpoint.hide_key

    async def upload(self, document: BatchDocument, content: bytes) -> str:
        """Upload the questions; returns the file's name."""
        reply = await self._patiently(lambda: self._endpoint.upload(f"{document.token}.jsonl", content))
        return self._parsed(_File, reply).id

    async def create(self, document: BatchDocument) -> str:
        """Create the batch of an uploaded file, or find it created; returns its name."""
        body = {
            "input_file_id": document.file_id,
            "endpoint": COMPLETIONS_PATH,
            "completion_window": "24h",
            "metadata": {TOKEN_FIELD: document.token},
        }
        patience = _Patience()
        while True:
            reply = await self._endpoint.post("/batches", body)
            problem = self._problem(reply)
            if problem is None:
                return self._parsed(_Batch, reply).id
            await self._pause_or_raise(problem, reply, patience)
            if (found := await self.find(document.token)) is not None:
                return found

    async def find(self, token: str) -> str | None:
        """Find the batch that carries our token among the newest."""
        path = f"/batches?limit={LISTED_BATCHES}"
        reply = await self._patiently(lambda: self._endpoint.get(path), refusals=_CANNOT_LIST)
        if reply.status in _CANNOT_LIST:  # some servers cannot; then there is nothing to be found
            return None
        batches = self._parsed(_Batches, reply).data
        return next((batch.id for batch in batches if (batch.metadata or {}).get(TOKEN_FIELD) == token), None)

    async def look(self, batch_id: str) -> BatchStatus:
        """Ask how a batch is getting on."""
        reply = await self._patiently(lambda: self._endpoint.get(f"/batches/{batch_id}"), refusals=_GONE)
        if reply.status in _GONE:
            return BatchStatus(batch_id, "lost", errors="the provider does not know this batch any more.")
        batch = self._parsed(_Batch, reply)
        errors = batch.errors.data if batch.errors else []
        messages = "; ".join(f"{error.code or ''} {error.message or ''}".strip() for error in errors)
        code = errors[0].code or "" if errors else ""
        return BatchStatus(
            batch_id, batch.status, batch.output_file_id, batch.error_file_id, bounded(self.hide_key(messages)), code
        )

    async def download(self, file_id: str | None) -> bytes:
        """Read a file; one that is not there is empty."""
        if file_id is None:
            return b""
        reply = await self._patiently(lambda: self._endpoint.get(f"/files/{file_id}/content"), refusals=_GONE)
        return reply.content if reply.status not in _GONE else b""

    async def _patiently(
        self, call: Callable[[], Awaitable[Reply]], *, refusals: frozenset[int] = frozenset()
    ) -> Reply:
        """Repeat a call until it is answered, or refused with a status that is an answer, too."""
        patience = _Patience()
        while True:
            reply = await call()
            problem = self._problem(reply)
            if problem is None or reply.status in refusals:
                self._has_answered = True
                return reply
            await self._pause_or_raise(problem, reply, patience)

    async def _pause_or_raise(self, problem: Problem, reply: Reply, patience: "_Patience") -> None:
        """Wait before the next attempt; a server that was there and is away is waited for as one that is starting."""
        runtime, waited = self._runtime, time.monotonic() - patience.started
        patience.attempts += 1
        if problem.fault in _IS_AWAY:
            is_first = problem.fault is Fault.UNREACHABLE and not self._has_answered
            is_over = is_first or waited >= runtime.max_start_seconds
        else:
            is_over = problem.fault not in _PASSING or patience.attempts >= runtime.max_attempts
        retry_after = read_retry_after(reply.headers) or 0.0
        if is_over or retry_after > runtime.max_wait_seconds:
            raise self._refusal(str(problem))
        longest = min(runtime.max_backoff_seconds, runtime.backoff_seconds * 2 ** min(patience.attempts - 1, 30))
        await asyncio.sleep(max(retry_after, self._random.uniform(0, longest)))

    def _problem(self, reply: Reply) -> Problem | None:
        if reply.problem is not None or reply.status < 300:
            return reply.problem
        # There is no schema in these calls that could be dropped.
        plain = Dialect(is_structured=False)
        return judge_refusal(reply, plain, has_key=self._endpoint.has_key, hide=self.hide_key).problem

    def _parsed(self, shape: type[_Shape], reply: Reply) -> _Shape:
        try:
            return shape.model_validate_json(reply.content)
        except ValidationError:
            raise self._refusal(
                f"this is no answer of a Batch API: {bounded(reply.content[:400].decode('utf-8', 'replace'), 80)!r}"
            ) from None

    def _refusal(self, problem: str) -> LlmError:
        remedy = "What was submitted is remembered: run again to go on with it."
        return LlmError(f"{problem.rstrip('.')}.", self._endpoint.url, remedy)
