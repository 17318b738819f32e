"""What a server understands, learnt from what it refuses. Pure.

There is no list of servers here: OpenAI's newest models call the length limit `max_completion_tokens`, llama.cpp and
older proxies know no schema, and next year's will differ again. A request goes out in the richest form; when the server
says 400, the poorer form is tried and remembered.
"""

from collections.abc import Callable
from typing import NamedTuple

from coder_core.llm.chat_replies import KEY_VARIABLE, Reply, ServerComplaint, read_complaint
from coder_core.llm.faults import Fault, Problem

__all__ = ["Dialect", "Verdict", "judge_refusal"]

_MALFORMED = frozenset({400, 415, 422, 501})
"""How servers say that they do not understand a field: OpenAI 400, FastAPI (vLLM) 400 or 422, gateways 501."""
_TRY_LATER = frozenset({408, 409, 425})
_LIMIT_NAMES = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
_OUT_OF_QUOTA = frozenset({"insufficient_quota", "billing_hard_limit_reached", "account_deactivated"})
_TOO_MANY = 429
_SERVER_ERROR = 500


class Dialect(NamedTuple):
    """How a server is spoken to.

    Args:
        is_structured: Whether it is given a schema.
        limit_name: What it calls the longest answer.
    """

    is_structured: bool = True
    limit_name: str = "max_tokens"


class Verdict(NamedTuple):
    """What a refusal means.

    Args:
        problem: The fault.
        dialect: How to speak from now on, when that is what was wrong.
    """

    problem: Problem
    dialect: Dialect | None = None


def judge_refusal(reply: Reply, dialect: Dialect, *, has_key: bool, hide: Callable[[str], str] = str) -> Verdict:
    """Read a reply with an error status.

    Args:
        reply: What came back.
        dialect: How the server was spoken to.
        has_key: Whether an API key was sent.
        hide: Takes the API key out of a text.
    """
    complaint = read_complaint(reply.text, hide=hide)
    detail = f"HTTP {reply.status} {complaint.code} {complaint.message}".replace("  ", " ").rstrip()
    if complaint.code in _OUT_OF_QUOTA:
        return Verdict(Problem(Fault.FATAL, detail))
    if reply.status == _TOO_MANY:
        return Verdict(Problem(Fault.RATE_LIMITED, detail))
    if reply.status in _TRY_LATER or (reply.status >= _SERVER_ERROR and reply.status not in _MALFORMED):
        return Verdict(Problem(Fault.SERVER_ERROR, detail))
    if reply.status in {401, 403, 404, 407}:
        return Verdict(Problem(Fault.FATAL, f"{detail} {_remedy(reply.status, has_key=has_key)}"))
    poorer = _poorer(dialect, complaint) if reply.status in _MALFORMED else None
    return Verdict(Problem(Fault.DIALECT if poorer else Fault.REJECTED, detail), poorer)


def _poorer(dialect: Dialect, complaint: ServerComplaint) -> Dialect | None:
    if complaint.param == dialect.limit_name == "max_tokens":
        return dialect._replace(limit_name=_LIMIT_NAMES[dialect.limit_name])
    is_about_schema = not complaint.param or complaint.param.startswith("response_format")
    return dialect._replace(is_structured=False) if dialect.is_structured and is_about_schema else None


def _remedy(status: int, *, has_key: bool) -> str:
    if status == 404:
        return "Check the model's name and OPENAI_BASE_URL."
    return f"Check {KEY_VARIABLE}." if has_key else f"Set {KEY_VARIABLE}: this server wants a key."
