"""What can go wrong between a question and a usable answer, as values.

Most faults are expected and are answered by asking again; they travel as values (`Problem`) and not as exceptions,
because an exception of an HTTP library carries the request, and the request carries the API key. Only what no further
question can mend is raised: `LlmError`.
"""

from enum import StrEnum
from typing import NamedTuple

from coder_core.errors import CoderError

__all__ = ["BAD_ANSWERS", "DETAIL_CHARACTERS", "TRANSIENT", "Fault", "LlmError", "Problem", "bounded"]

DETAIL_CHARACTERS = 300
"""Longest piece of a server's words that a report quotes."""


class LlmError(CoderError):
    """The language model's server refuses for good: the key, the model, the quota or the address is wrong."""

    exit_code = 6


class Fault(StrEnum):
    """Why a request has no usable answer (yet)."""

    UNREACHABLE = "unreachable"
    CONNECTION = "connection"
    TIMEOUT = "timeout"
    RATE_LIMITED = "rate_limited"
    UNAVAILABLE = "unavailable"
    SERVER_ERROR = "server_error"
    NOT_A_COMPLETION = "not_a_completion"
    EMPTY_CHOICES = "empty_choices"
    CUT_OFF = "cut_off"
    REFUSAL = "refusal"
    CONTENT_FILTER = "content_filter"
    UNUSABLE = "unusable"
    WRONG_CLASS = "wrong_class"
    TOO_LONG = "too_long"
    DIALECT = "dialect"
    REJECTED = "rejected"
    FATAL = "fatal"
    OVER_BUDGET = "over_budget"
    STOPPED = "stopped"
    UNANSWERED = "unanswered"
    SAME_NAME = "same_name"
    UNREAD = "unread"
    SUPERSEDED = "superseded"


BAD_ANSWERS = frozenset(
    {Fault.CUT_OFF, Fault.REFUSAL, Fault.CONTENT_FILTER, Fault.UNUSABLE, Fault.WRONG_CLASS, Fault.TOO_LONG}
)
"""The model spoke, and its answer is no use: often paid for, and asked again at once."""

TRANSIENT = frozenset(
    {
        Fault.UNREACHABLE,
        Fault.CONNECTION,
        Fault.TIMEOUT,
        Fault.RATE_LIMITED,
        Fault.UNAVAILABLE,
        Fault.SERVER_ERROR,
        Fault.NOT_A_COMPLETION,
        Fault.EMPTY_CHOICES,
    }
)
"""The line or the server failed: asked again after a pause."""


class Problem(NamedTuple):
    """One fault and what a reader should know about it.

    Args:
        fault: The kind.
        detail: What was found, in words; never holds the API key.
    """

    fault: Fault
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.fault.value}: {self.detail}" if self.detail else self.fault.value


def bounded(text: str, limit: int = DETAIL_CHARACTERS) -> str:
    """Write a foreign text as one printable line of bounded length."""
    line = " ".join(text[: 4 * limit].split())
    printable = "".join(character if character.isprintable() else "?" for character in line)
    return printable if len(printable) <= limit else f"{printable[: limit - 3]}..."
