"""What is remembered of a batch in the store, so that a restart finds it again instead of paying for it again.

Two documents per batch: the requests, written once before anything is sent, and a small state that grows with every
step. A crash between the provider's "created" and our writing it down is covered, too: the batch carries our token in
its metadata and is found by it.
"""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from coder_core.atg.batch_files import RequestFile
from coder_core.atg.completions import now
from coder_core.atg.dialects import Dialect
from coder_core.atg.requests import CompletionRequest
from coder_core.errors import StoreError
from coder_core.fingerprint import key_of
from coder_core.storage.store import Store

__all__ = ["BatchDocument", "BatchFolder"]

FOLDER = "batches"


class BatchDocument(BaseModel):
    """The state of one batch.

    Attributes:
        token: Our name for it; the provider keeps it in the batch's metadata.
        model: Who is asked.
        created_at: When it was prepared, UTC.
        is_structured: Whether the questions carry a schema.
        limit_name: What the server calls the longest answer.
        max_tokens: Longest answer.
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
        content = RequestFile.of(requests).model_dump_json(by_alias=True)
        self._store.create_bytes(_requests_path(document.token), content.encode())
        self.save(document)
        return document

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

    def requests(self, document: BatchDocument) -> list[CompletionRequest]:
        """The questions of a batch."""
        path = _requests_path(document.token)
        try:
            return RequestFile.model_validate_json(self._store.read_bytes(path)).read()
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


def _state_path(token: str) -> str:
    return f"{FOLDER}/{token}.state.json"


def _requests_path(token: str) -> str:
    return f"{FOLDER}/{token}.requests.json"
