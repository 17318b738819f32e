"""The completions ledger: every good answer that was ever paid for, and an account of the bad ones.

A row is an answer that ended by itself, is about what was asked and can be read; nothing else gets in, because a key
that is held is never asked for again. Bad answers were often paid for, too: they are rows of `completion_failures`,
which nobody looks up and everybody can add up.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, TypeVar

import pyarrow as pa

from coder_core.fingerprint import key_of
from coder_core.llm.chat_requests import CompletionRequest, RequestRecord
from coder_core.llm.faults import Problem
from coder_core.storage.ledger import Ledger
from coder_core.storage.store import Store

__all__ = ["COMPLETIONS", "FAILURES", "Completion", "CompletionLedger", "FailedCompletion", "now"]

COMPLETIONS = "completions"
FAILURES = "completion_failures"
PARTITION = "all"
"""One partition: the key already holds the model, and a run asks for all its keys at once."""
FAILED_ANSWER_CHARACTERS = 4_000
"""How much of a bad answer is kept, for a person to look at."""

_REQUEST_FIELDS = [
    ("model", pa.string()),
    ("kind", pa.string()),
    ("prompt_version", pa.string()),
    ("sampling", pa.string()),
    ("inputs", pa.string()),
]
_ANSWER_FIELDS = [
    ("answer", pa.string()),
    ("finish_reason", pa.string()),
    ("served_model", pa.string()),
    ("prompt_tokens", pa.int64()),
    ("completion_tokens", pa.int64()),
    ("is_usage_reported", pa.bool_()),
    ("cost_usd", pa.float64()),
    ("is_priced", pa.bool_()),
    ("attempt", pa.int32()),
    ("is_batch", pa.bool_()),
    ("created_at", pa.timestamp("us", "UTC")),
]
_SCHEMA = pa.schema([("key", pa.string()), *_REQUEST_FIELDS, *_ANSWER_FIELDS])
_FAILURE_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("request_key", pa.string()),
        ("fault", pa.string()),
        ("detail", pa.string()),
        *_REQUEST_FIELDS,
        *_ANSWER_FIELDS,
    ]
)


Request = TypeVar("Request", bound=CompletionRequest)


class Completion(NamedTuple):
    """What a server answered to a request, and what it cost.

    Args:
        record: The question.
        answer: The raw text.
        finish_reason: Why the model stopped, in the server's words.
        served_model: The model's name in the server's words, e.g. with a date.
        prompt_tokens: Tokens of the question.
        completion_tokens: Tokens of the answer.
        is_usage_reported: Whether the server counted the tokens; otherwise they are our estimate.
        cost_usd: Their price; 0 where no price is known.
        is_priced: Whether a price is known.
        attempt: Which attempt it was, from 1.
        is_batch: Whether it came through the Batch API.
        created_at: When it arrived, UTC.
    """

    record: RequestRecord
    answer: str
    finish_reason: str
    served_model: str
    prompt_tokens: int
    completion_tokens: int
    is_usage_reported: bool
    cost_usd: float
    is_priced: bool
    attempt: int
    is_batch: bool
    created_at: datetime


class FailedCompletion(NamedTuple):
    """A bad answer and why it is bad."""

    completion: Completion
    problem: Problem


class CompletionLedger:
    """Both ledgers of one store. Picklable; safe for any number of writers.

    Args:
        store: Where they live.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._good = Ledger(store, COMPLETIONS, PARTITION)
        self._bad = Ledger(store, FAILURES, PARTITION)

    def missing(self, requests: Iterable[Request]) -> list[Request]:
        """Return the requests that have no answer yet, each key once, in the given order."""
        by_key = {request.key: request for request in requests}
        return [by_key[key] for key in self._good.missing(list(by_key))]

    def answers(self, requests: Iterable[CompletionRequest]) -> dict[str, str]:
        """Return key -> raw answer of those requests that have one."""
        keys = list(dict.fromkeys(request.key for request in requests))
        unknown = set(self._good.missing(keys))
        held = [key for key in keys if key not in unknown]
        if not held:
            return {}
        return dict(zip(held, self._good.read(held, ["answer"]).column("answer").to_pylist(), strict=True))

    def append(self, completions: Sequence[Completion]) -> int:
        """Keep good answers, in one atomic step; returns how many are new."""
        rows = [{"key": completion.record.key, **_columns(completion)} for completion in completions]
        return self._good.append(pa.Table.from_pylist(rows, schema=_SCHEMA))

    def append_failures(self, failures: Sequence[FailedCompletion]) -> int:
        """Keep an account of bad answers, in one atomic step."""
        rows = [_failure_row(failure) for failure in failures]
        return self._bad.append(pa.Table.from_pylist(rows, schema=_FAILURE_SCHEMA))

    def compact(self) -> int:
        """Merge small parts of both ledgers; returns how many are gone. For when nobody else is writing."""
        return self._good.compact() + self._bad.compact()

    def table(self) -> pa.Table:
        """Read every completion, in the order of keys."""
        return self._good.read(sorted(self._good.keys()))

    def failure_table(self) -> pa.Table:
        """Read every bad answer, in the order in which they came."""
        table = self._bad.read(sorted(self._bad.keys()))
        return table.sort_by([("created_at", "ascending"), ("attempt", "ascending")]) if table.num_rows else table


def _columns(completion: Completion) -> dict[str, object]:
    """Write a completion as the columns of a row, without the key."""
    columns = completion._asdict()
    del columns["record"]
    return completion.record._asdict() | columns


def now() -> datetime:
    """The time that rows carry."""
    return datetime.now(UTC)


def _failure_row(failure: FailedCompletion) -> dict[str, object]:
    row = _columns(failure.completion)
    answer = str(row["answer"])[:FAILED_ANSWER_CHARACTERS]
    created_at = failure.completion.created_at.isoformat()
    key = key_of([failure.completion.record.key, failure.completion.attempt, created_at])
    problem = {"fault": failure.problem.fault.value, "detail": failure.problem.detail}
    return {"key": key, "request_key": failure.completion.record.key, **problem, **row, "answer": answer}
