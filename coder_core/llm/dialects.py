"""What a server understands, learnt from what it refuses. Pure.

There is no list of servers here: OpenAI's newest models call the length limit `max_completion_tokens`, llama.cpp and
older proxies know no schema, and next year's will differ again. A request goes out in the richest form; when the server
says 400, the next poorer form is tried, and remembered once it was answered.
"""

import re
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from coder_core.llm.chat_replies import KEY_VARIABLE, Reply, ServerComplaint, read_complaint
from coder_core.llm.faults import Fault, Problem

__all__ = ["Dialect", "Verdict", "judge_refusal"]

_MALFORMED = frozenset({400, 415, 422, 501})
"""How servers say that they do not understand a field: OpenAI 400, FastAPI (vLLM) 400 or 422, gateways 501."""
_TRY_LATER = frozenset({408, 409, 425})
_OUT_OF_QUOTA = frozenset({"insufficient_quota", "billing_hard_limit_reached", "account_deactivated"})
_UNAVAILABLE = frozenset({502, 503})
"""What servers say while they load a model, and gateways while nobody stands behind them."""
_MAY_TAKE_NO_PICTURES = _MALFORMED | {404, 500}
"""The same about pictures, in OpenAI's words (400), a gateway's that finds no such model (404), llama.cpp's (500)."""
_ABOUT_PICTURES = re.compile(
    r"images?\b|image_url|\bvision\b|multi-?modal|mmproj|TextContentPart"
    r"|content\b.{0,80}\bstring|string\b.{0,80}\bcontent",
    re.IGNORECASE | re.DOTALL,
)
"""What refusals of pictures were seen to say; servers share no code for it. `content ... string`: the field that is a
list of parts where pictures are shown."""
_DATA_URL = re.compile(r"data:image/[a-z]+;base64,[A-Za-z0-9+/=]*")
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
        dialect: How to ask instead, when that may be what was wrong.
    """

    problem: Problem
    dialect: Dialect | None = None


def judge_refusal(
    reply: Reply,
    dialect: Dialect,
    *,
    has_key: bool,
    hide: Callable[[str], str] = str,
    tried: AbstractSet[Dialect] = frozenset(),
    has_pictures: bool = False,
    is_understood: bool = False,
) -> Verdict:
    """Read a reply with an error status.

    Args:
        reply: What came back.
        dialect: How the server was spoken to.
        has_key: Whether an API key was sent.
        hide: Takes the API key out of a text.
        tried: How else it was spoken to before, in vain.
        has_pictures: Whether pictures were shown, to a server that has not answered a question with pictures yet.
        is_understood: Whether it has answered others: then pictures are what it does not understand.
    """
    complaint = read_complaint(reply.content, hide=hide)
    words = _DATA_URL.sub("data:image/...", complaint.message)
    detail = f"HTTP {reply.status} {complaint.code} {words}".replace("  ", " ").rstrip()
    if complaint.code in _OUT_OF_QUOTA:
        return Verdict(Problem(Fault.FATAL, detail))
    if reply.status == _TOO_MANY:
        return Verdict(Problem(Fault.RATE_LIMITED, detail))
    if has_pictures and _takes_no_pictures(reply.status, complaint):
        return Verdict(Problem(Fault.FATAL, f"{detail} {_NO_PICTURES}"))
    if reply.status in _UNAVAILABLE:
        return Verdict(Problem(Fault.UNAVAILABLE, detail))
    if reply.status in _TRY_LATER or (reply.status >= _SERVER_ERROR and reply.status not in _MALFORMED):
        return Verdict(Problem(Fault.SERVER_ERROR, detail))
    if reply.status < 400 or reply.status in {401, 403, 404, 405, 407}:
        return Verdict(Problem(Fault.FATAL, f"{detail} {_remedy(reply.status, has_key=has_key)}"))
    is_malformed = reply.status in _MALFORMED
    is_about_form = is_malformed and not (has_pictures and is_understood and not complaint.param)
    other = _next_dialect(dialect, complaint, {dialect, *tried}) if is_about_form else None
    if has_pictures and is_malformed and other is None:
        return Verdict(Problem(Fault.FATAL, f"{detail} {_NO_PICTURES}"))
    return Verdict(Problem(Fault.DIALECT if other else Fault.REJECTED, detail), other)


_NO_PICTURES = (
    "The question showed pictures, which this server or this model seems not to take: name a model that reads images, "
    "or set texts.generator.images_per_class to 0."
)


def _takes_no_pictures(status: int, complaint: ServerComplaint) -> bool:
    if status not in _MAY_TAKE_NO_PICTURES:
        return False
    if complaint.param:
        return complaint.param.lstrip("$.").startswith("messages")
    return bool(_ABOUT_PICTURES.search(complaint.message))


def _next_dialect(dialect: Dialect, complaint: ServerComplaint, tried: AbstractSet[Dialect]) -> Dialect | None:
    """The next form to try: what the complaint names; where it names nothing, one change at a time, then both."""
    other_name = "max_completion_tokens" if dialect.limit_name == "max_tokens" else "max_tokens"
    renamed, plain = dialect._replace(limit_name=other_name), dialect._replace(is_structured=False)
    if complaint.param == dialect.limit_name:
        candidates = [renamed]
    elif complaint.param.startswith("response_format"):
        candidates = [plain]
    elif complaint.param:
        return None
    else:  # the name of a field in the message is a hint on what to try first, no more
        is_about_limit = any(name in complaint.message for name in (dialect.limit_name, other_name))
        candidates = [*([renamed] if is_about_limit else []), *_ALL_DIALECTS]
    return next((candidate for candidate in candidates if candidate not in tried), None)


_ALL_DIALECTS = (
    Dialect(),
    Dialect(is_structured=False),
    Dialect(limit_name="max_completion_tokens"),
    Dialect(is_structured=False, limit_name="max_completion_tokens"),
)


def _remedy(status: int, *, has_key: bool) -> str:
    if status in {401, 403, 407}:
        return f"Check {KEY_VARIABLE}." if has_key else f"Set {KEY_VARIABLE}: this server wants a key."
    return "Check the model's name and OPENAI_BASE_URL."
