"""The completions ledger: every good answer that was ever paid for, and an account of the bad ones.

A row of `completions` is an answer that ended by itself, is about what was asked and could be read when it came. All
other answers were often paid for, too: they are rows of `completion_failures`, with what was wrong with them, so that
everything that was spent can be added up. How an answer is read gets better with time, and it is no part of the key: so
every answer is judged again by whoever asks. One of `completions` that can no longer be used is asked for again, one of
`completion_failures` that can be used by now is.
"""

from collections.abc import Iterable, Sequence, Set
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from coder_core.fingerprint import key_of
from coder_core.llm.chat_requests import CompletionRequest, RequestRecord
from coder_core.llm.faults import Fault, Problem
from coder_core.storage.ledger import Ledger
from coder_core.storage.store import Store

__all__ = ["COMPLETIONS", "FAILURES", "Completion", "CompletionLedger", "FailedCompletion", "now"]

COMPLETIONS = "completions"
FAILURES = "completion_failures"
PARTITION = "all"
"""One partition: the key already holds the model, and a run asks for all its keys at once."""
MAX_STORED_CHARACTERS = 400_000
"""How much of an answer that cannot be used is kept: all of the longest one that can be asked for."""
_CHARACTERS_STORED_ONCE = 4_000
"""Where an earlier version cut such an answer off."""
_HOPELESS = (Fault.CUT_OFF.value, Fault.CONTENT_FILTER.value, Fault.REFUSAL.value, Fault.TOO_LONG.value)
"""The server's own verdict on an answer, and what was not even looked at: no other reader will find more in it."""

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


_BY_ATTEMPT = ("attempt", "ascending")
_ANOTHER_IS_HELD = Problem(Fault.SUPERSEDED, "another answer to this question came first.")
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
    """An answer that is not used, and why."""

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
        """Return the requests that no answer can be used for, each key once, in the given order."""
        by_key = {request.key: request for request in requests}
        usable = self.usable(by_key.values())
        return [request for key, request in by_key.items() if key not in usable]

    def usable(self, requests: Iterable[CompletionRequest]) -> dict[str, Any]:
        """Return key -> what the request reads in the first answer that can be used; without those that have none."""
        by_key = {request.key: request for request in requests}
        found: dict[str, Any] = {}
        for key, answer in self._first_answers(list(by_key)):
            _keep_usable(found, by_key[key], answer, is_held=True)
        lacking = by_key.keys() - found.keys()
        for key, answer in self._other_answers(lacking) if lacking else ():
            if key not in found:
                _keep_usable(found, by_key[key], answer, is_held=False)
        return found

    def _first_answers(self, keys: list[str]) -> Iterable[tuple[str, str]]:
        unknown = set(self._good.missing(keys))
        held = [key for key in keys if key not in unknown]
        return zip(held, self._good.read(held, ["answer"])["answer"].to_pylist(), strict=True) if held else ()

    def _other_answers(self, keys: Set[str]) -> Iterable[tuple[str, str]]:
        """Key and answer of every other answer that may be of use, in the order in which they came."""
        rows = sorted(self._bad.keys())
        if not rows:
            return ()
        table = self._bad.read(rows, ["key", "request_key", "fault", "created_at", "attempt"])
        is_asked = pc.is_in(table["request_key"], value_set=pa.array(list(keys), pa.string()))
        is_hopeless = pc.is_in(table["fault"], value_set=pa.array(_HOPELESS))
        table = table.filter(pc.and_not(is_asked, is_hopeless)).sort_by([("created_at", "ascending"), _BY_ATTEMPT])
        if not table.num_rows:
            return ()
        answers = self._bad.read(table["key"].to_pylist(), ["answer"])["answer"].to_pylist()
        pairs = zip(table["request_key"].to_pylist(), answers, strict=True)
        return [(key, answer) for key, answer in pairs if len(answer) != _CHARACTERS_STORED_ONCE]

    def append(self, completions: Sequence[Completion]) -> int:
        """Keep good answers, in one atomic step; returns how many of them are the first to their question."""
        rows = [{"key": completion.record.key, **_columns(completion)} for completion in completions]
        written = self._good.append(pa.Table.from_pylist(rows, schema=_SCHEMA))
        if written < len(completions):
            keys = [completion.record.key for completion in completions]
            held = self._good.read(keys, ["created_at"])["created_at"].to_pylist()
            pairs = zip(completions, held, strict=True)
            others = [completion for completion, created_at in pairs if completion.created_at != created_at]
            self.append_failures([FailedCompletion(completion, _ANOTHER_IS_HELD) for completion in others])
        return written

    def append_failures(self, failures: Sequence[FailedCompletion]) -> int:
        """Keep answers that are not to be used now, in one atomic step; returns how many are new."""
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
        return table.sort_by([("created_at", "ascending"), _BY_ATTEMPT]) if table.num_rows else table


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
    answer = str(row["answer"])[:MAX_STORED_CHARACTERS]
    created_at = failure.completion.created_at.isoformat()
    key = key_of([failure.completion.record.key, failure.completion.attempt, created_at])
    problem = {"fault": failure.problem.fault.value, "detail": failure.problem.detail}
    return {"key": key, "request_key": failure.completion.record.key, **problem, **row, "answer": answer}


def _keep_usable(found: dict[str, Any], request: CompletionRequest, answer: str, *, is_held: bool) -> None:
    value = request.read(answer, is_held=is_held)
    if not isinstance(value, Problem):
        found[request.key] = value
