"""What the process that is asked a question and the process that answers it say to each other.

The one that answers runs SQL of strangers in an engine written in C++; so it is not trusted. It has no access to the
store and none of its credentials: it is given the files that a question needs, and asks for pieces of large ones. What
it says is unpickled with a list of the types that may be in an answer; everything else is refused.
"""

import io
import pickle
import uuid
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, NamedTuple

_PLAIN_TYPES = (date, datetime, time, timedelta, timezone, Decimal)
_ANSWER_TYPES = {(kind.__module__, kind.__name__) for kind in (*_PLAIN_TYPES, uuid.UUID)}

TABLES_QUESTION = "tables"
"""The kind of a question about tables that are handed in (`handed_tables`)."""


class GivenFile(NamedTuple):
    """A file that the engine may read.

    Args:
        table: The result table that it holds.
        path: Under which it is addressed.
        run_id: Whose rows it holds, where it has no column that says so.
        size: In bytes.
        content: All of it for a small file, the end of it for a large one.
    """

    table: str
    path: str
    run_id: str | None
    size: int
    content: bytes

    @property
    def is_whole(self) -> bool:
        """Whether its whole content is here."""
        return len(self.content) == self.size


class _AnswerPickler(pickle.Pickler):
    """Reduces whatever DuckDB makes to the types that may be in an answer: zones become offsets."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, datetime) and value.tzinfo is not None and not isinstance(value.tzinfo, timezone):
            value = value.replace(tzinfo=timezone(value.utcoffset() or timedelta(0)))
            return datetime, (*value.timetuple()[:6], value.microsecond, value.tzinfo)
        if isinstance(value, uuid.UUID):
            return uuid.UUID, (str(value),)
        if type(value) in _PLAIN_TYPES or isinstance(value, type):
            return NotImplemented
        raise pickle.PicklingError(f"A {type(value).__name__} is no part of an answer: cast it to VARCHAR.")


class _AnswerUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ANSWER_TYPES:
            raise pickle.UnpicklingError(f"{module}.{name} is no part of an answer.")
        return super().find_class(module, name)


def encode(*message: Any) -> bytes:
    """Write a message: its kind, and what belongs to it."""
    return pickle.dumps(message, protocol=5)


def encode_answer(*message: Any) -> bytes:
    """Write a message of the process that answers."""
    content = io.BytesIO()
    _AnswerPickler(content, protocol=5).dump(message)
    return content.getvalue()


def decode_answer(content: bytes) -> tuple[Any, ...]:
    """Read a message of the process that answers.

    Raises:
        pickle.UnpicklingError: It holds something that is no part of an answer.
    """
    message: tuple[Any, ...] = _AnswerUnpickler(io.BytesIO(content)).load()
    return message


def decode_question(content: bytes) -> tuple[Any, ...]:
    """Read a message of the process that asks, which is trusted."""
    message: tuple[Any, ...] = pickle.loads(content)  # noqa: S301 (of our own parent process)
    return message
