"""What is remembered of a batch in the store, and its files: so a restart finds it again instead of paying for it
again.

Two documents per batch: the requests, written once before anything is sent, and a small state that grows with every
step. A crash between the provider's "created" and our writing it down is covered, too: the batch carries our token in
its metadata and is found by it. The files are JSON lines: questions go in, answers come in any order. A line's
`custom_id` is the request's key, so an answer finds its question whoever asked it.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import to_json

from coder_core.errors import StoreError
from coder_core.fingerprint import canonical_json, key_of
from coder_core.llm.chat_replies import is_utf8, parse_body
from coder_core.llm.chat_requests import CompletionRequest, RequestRecord
from coder_core.llm.completion_ledger import now
from coder_core.llm.dialects import Dialect
from coder_core.storage.claims import Claim
from coder_core.storage.store import Store

__all__ = ["COMPLETIONS_PATH", "BatchDocument", "BatchFolder", "BatchLine", "read_lines", "write_lines"]

FOLDER = "batches"
PLAN_SECONDS = 60.0
"""When a run that was putting questions into a batch counts as dead."""
COMPLETIONS_PATH = "/v1/chat/completions"
_LENIENT = ConfigDict(extra="ignore", frozen=True)
_CLOSED = ConfigDict(extra="forbid", frozen=True)


class BatchLine(NamedTuple):
    """One line of an output or error file.

    Args:
        key: The request's key.
        status: HTTP status of its call; 0 when it was never made (the batch expired).
        body: The call's body, parsed.
        is_utf8: Whether the line was valid UTF-8.
    """

    key: str
    status: int
    body: Any
    is_utf8: bool = True


class BatchDocument(BaseModel):
    """The state of one batch.

    Attributes:
        token: Our name for it; the provider keeps it in the batch's metadata.
        model: Who is asked.
        created_at: When it was prepared, UTC.
        is_structured: Whether the questions carry a schema.
        limit_name: What the server calls the longest answer.
        max_tokens: Longest answer; a question whose answer was cut off before may have had more, the others less.
        request_count: How many questions.
        file_id: The provider's name for the uploaded file.
        batch_id: The provider's name for the batch.
        state: `prepared`, `submitted`, or `closed` when its answers are in the ledger or will never come.
        note: How it ended.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    token: str
    model: str
    created_at: datetime
    is_structured: bool
    limit_name: str
    max_tokens: int
    request_count: int
    file_id: str | None = None
    batch_id: str | None = None
    state: Literal["prepared", "submitted", "closed"] = "prepared"
    note: str = ""

    @property
    def dialect(self) -> Dialect:
        """How the questions were written."""
        return Dialect(self.is_structured, self.limit_name)


class _PromptRecord(BaseModel):
    model_config = _LENIENT  # an earlier version kept the question's words, too

    kind: str


class _RequestRecord(BaseModel):
    model_config = _CLOSED

    prompt: str
    inputs: dict[str, Any]


class _RequestFile(BaseModel):
    """The questions of a batch as the ledger names them: enough to recognise every answer by its key."""

    model_config = _CLOSED

    model: str
    sampling: dict[str, Any]
    prompts: dict[str, _PromptRecord]
    requests: list[_RequestRecord]

    @classmethod
    def of(cls, requests: Sequence[CompletionRequest]) -> "_RequestFile":
        """Write requests down; all to one model with one sampling."""
        records = [request.record for request in requests]
        return cls(
            model=records[0].model,
            sampling=json.loads(records[0].sampling),
            prompts={record.prompt_version: _PromptRecord(kind=record.kind) for record in records},
            requests=[
                _RequestRecord(prompt=record.prompt_version, inputs=json.loads(record.inputs)) for record in records
            ],
        )

    def read(self) -> list[RequestRecord]:
        """The requests, with the keys they had; an earlier version wrote what is not set, too."""
        sampling = _json_of_set(self.sampling)
        return [
            RequestRecord(
                self.model, self.prompts[asked.prompt].kind, asked.prompt, sampling, _json_of_set(asked.inputs)
            )
            for asked in self.requests
        ]


class BatchFolder:
    """The batches of a store.

    Args:
        store: Where they are remembered.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def prepare(self, requests: list[CompletionRequest], dialect: Dialect, *, max_tokens: int) -> BatchDocument:
        """Remember a batch before anything is sent."""
        created_at = now()
        document = BatchDocument(
            token=key_of([created_at.isoformat(), [request.key for request in requests]])[:32],
            model=requests[0].model,
            created_at=created_at,
            is_structured=dialect.is_structured,
            limit_name=dialect.limit_name,
            max_tokens=max_tokens,
            request_count=len(requests),
        )
        content = _RequestFile.of(requests).model_dump_json(by_alias=True)
        self._store.create_bytes(_requests_path(document.token), content.encode())
        self.save(document)
        return document

    def claim(self, document: BatchDocument) -> Claim:
        """The right to work on a batch."""
        return Claim(self._store, document.token)

    def claim_plan(self, model: str) -> Claim:
        """The right to put questions to a model into batches; held for moments."""
        return Claim(self._store, f"plan-{key_of(model)[:32]}", seconds=PLAN_SECONDS)

    def save(self, document: BatchDocument) -> None:
        """Remember the new state of a batch."""
        self._store.write_bytes(_state_path(document.token), document.model_dump_json(indent=1).encode())

    def open_documents(self, model: str) -> list[BatchDocument]:
        """The batches of a model that are not closed, oldest first.

        Raises:
            StoreError: A document is damaged.
        """
        documents = [self._load(path) for path in self._store.list(FOLDER) if path.endswith(".state.json")]
        still_open = [document for document in documents if document.state != "closed" and document.model == model]
        return sorted(still_open, key=lambda document: document.created_at)

    def reload(self, document: BatchDocument) -> BatchDocument:
        """The batch as it is in the store now.

        Raises:
            StoreError: The document is damaged.
        """
        return self._load(_state_path(document.token))

    def requests(self, document: BatchDocument) -> list[RequestRecord]:
        """The questions of a batch."""
        path = _requests_path(document.token)
        try:
            return _RequestFile.model_validate_json(self._store.read_bytes(path)).read()
        except ValidationError as error:
            raise self._damaged(path) from error

    def _load(self, path: str) -> BatchDocument:
        try:
            return BatchDocument.model_validate_json(self._store.read_bytes(path))
        except ValidationError as error:
            raise self._damaged(path) from error

    def _damaged(self, path: str) -> StoreError:
        return StoreError(
            "This record of a batch is damaged.",
            self._store.url(path),
            "Delete it; a batch that is still under way is then paid for and lost.",
        )


def write_lines(requests: Iterable[CompletionRequest], dialect: Dialect, max_tokens: Mapping[str, int]) -> bytes:
    """Write the input file of a batch; `max_tokens` has the longest answer by request key."""
    return b"".join(to_json(_line(request, dialect, max_tokens[request.key])) + b"\n" for request in requests)


def read_lines(content: bytes) -> Iterator[BatchLine]:
    """Read an output or error file; what is no line of such a file is left out."""
    for raw in content.split(b"\n"):
        line = parse_body(raw)
        key = line.get("custom_id") if isinstance(line, dict) else None
        if not isinstance(key, str):
            continue
        response = line.get("response")
        status = response.get("status_code") if isinstance(response, dict) else 0
        body = response.get("body") if isinstance(response, dict) else {"error": line.get("error")}
        yield BatchLine(key, status if isinstance(status, int) else 0, body, is_utf8(raw))


def _line(request: CompletionRequest, dialect: Dialect, max_tokens: int) -> dict[str, Any]:
    body = request.body(max_tokens=max_tokens, is_structured=dialect.is_structured, limit_name=dialect.limit_name)
    return {"custom_id": request.key, "method": "POST", "url": COMPLETIONS_PATH, "body": body}


def _state_path(token: str) -> str:
    return f"{FOLDER}/{token}.state.json"


def _requests_path(token: str) -> str:
    return f"{FOLDER}/{token}.requests.json"


def _json_of_set(values: Mapping[str, Any]) -> str:
    return canonical_json({name: value for name, value in values.items() if value not in (None, [])})
