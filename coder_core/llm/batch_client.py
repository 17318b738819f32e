"""The provider's side of the Batch API: files go in, batches come out, each call repeated with patience.

Creating a batch is the one call that must not be repeated blindly: an answer that got lost on the line may have cost a
batch. So before it is repeated, the provider's list is searched for our token.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from coder_core.llm.batch_records import COMPLETIONS_PATH, BatchDocument
from coder_core.llm.chat_replies import Reply
from coder_core.llm.dialects import Dialect, judge_refusal
from coder_core.llm.faults import Fault, LlmError, Problem, bounded
from coder_core.llm.llm_runtime import LlmRuntime

if TYPE_CHECKING:
    from coder_core.llm.endpoint import Endpoint

__all__ = ["BatchClient", "BatchStatus"]

TOKEN_FIELD = "coder_eval_token"  # noqa: S105 (a name in the batch's metadata)
LISTED_BATCHES = 100
"""The newest batches among which ours is looked for after a crash: a page of the provider's list."""
FINAL = frozenset({"completed", "failed", "expired", "cancelled", "lost"})
_NOT_FOUND = 404


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
        for attempt in range(1, self._runtime.max_attempts + 1):
            reply = await self._endpoint.post("/batches", body)
            problem = self._problem(reply)
            if problem is None:
                return self._parsed(_Batch, reply).id
            await self._pause_or_raise(problem, attempt)
            if (found := await self.find(document.token)) is not None:
                return found
        raise AssertionError("the last attempt raises")

    async def find(self, token: str) -> str | None:
        """Find the batch that carries our token among the newest."""
        reply = await self._endpoint.get(f"/batches?limit={LISTED_BATCHES}")
        if self._problem(reply) is not None:  # some servers cannot list; then there is nothing to be found
            return None
        batches = self._parsed(_Batches, reply).data
        return next((batch.id for batch in batches if (batch.metadata or {}).get(TOKEN_FIELD) == token), None)

    async def look(self, batch_id: str) -> BatchStatus:
        """Ask how a batch is getting on."""
        reply = await self._patiently(lambda: self._endpoint.get(f"/batches/{batch_id}"), may_be_gone=True)
        if reply.status == _NOT_FOUND:
            return BatchStatus(batch_id, "lost", errors="the provider does not know this batch any more.")
        batch = self._parsed(_Batch, reply)
        errors = batch.errors.data if batch.errors else []
        messages = "; ".join(f"{error.code or ''} {error.message or ''}".strip() for error in errors)
        code = errors[0].code or "" if errors else ""
        return BatchStatus(
            batch_id, batch.status, batch.output_file_id, batch.error_file_id, bounded(self.hide_key(messages)), code
        )

    async def download(self, file_id: str | None) -> str:
        """Read a file; one that is not there is empty."""
        if file_id is None:
            return ""
        reply = await self._patiently(lambda: self._endpoint.get(f"/files/{file_id}/content"), may_be_gone=True)
        return reply.text if reply.status != _NOT_FOUND else ""

    async def _patiently(self, call: Callable[[], Awaitable[Reply]], *, may_be_gone: bool = False) -> Reply:
        for attempt in range(1, self._runtime.max_attempts + 1):
            reply = await call()
            problem = self._problem(reply)
            if problem is None or (may_be_gone and reply.status == _NOT_FOUND):
                return reply
            await self._pause_or_raise(problem, attempt)
        raise AssertionError("the last attempt raises")

    async def _pause_or_raise(self, problem: Problem, attempt: int) -> None:
        is_passing = problem.fault in {Fault.CONNECTION, Fault.TIMEOUT, Fault.RATE_LIMITED, Fault.SERVER_ERROR}
        if not is_passing or attempt >= self._runtime.max_attempts:
            raise self._refusal(str(problem))
        longest = min(self._runtime.max_backoff_seconds, self._runtime.backoff_seconds * 2 ** (attempt - 1))
        await asyncio.sleep(self._random.uniform(0, longest))

    def _problem(self, reply: Reply) -> Problem | None:
        if reply.problem is not None or reply.status < 300:
            return reply.problem
        # There is no schema in these calls that could be dropped.
        plain = Dialect(is_structured=False)
        return judge_refusal(reply, plain, has_key=self._endpoint.has_key, hide=self.hide_key).problem

    def _parsed(self, shape: type[_Shape], reply: Reply) -> _Shape:
        try:
            return shape.model_validate_json(reply.text)
        except ValidationError:
            raise self._refusal(f"this is no answer of a Batch API: {bounded(reply.text, 80)!r}") from None

    def _refusal(self, problem: str) -> LlmError:
        remedy = "What was submitted is remembered: run again to go on with it."
        return LlmError(f"{problem.rstrip('.')}.", self._endpoint.url, remedy)
