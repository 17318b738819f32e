"""What one HTTP call brought back, and from there to an answer or to the reason why there is none. Pure.

A reply may be a proxy's HTML page, half a JSON, a JSON of another kind, a completion without a choice, one that was cut
off, refused or filtered; its text may come in one piece or as a list of parts, and no field needs to have the type that
it should. `read_answer` tells them apart by structure, never by the words of a message, and counts the tokens of all of
them: an answer that is of no use was often paid for.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from coder_core.llm.faults import Fault, Problem, bounded

__all__ = [
    "KEY_VARIABLE",
    "Answer",
    "Reply",
    "ServerComplaint",
    "Usage",
    "is_utf8",
    "parse_body",
    "read_answer",
    "read_answer_body",
    "read_complaint",
]

KEY_VARIABLE = "OPENAI_API_KEY"
"""Where the API key is looked for, and nowhere else."""

MAX_TOKENS_COUNTED = 10_000_000
"""Nobody's call takes more; a server that says so has miscounted."""
_CUT_OFF = frozenset({"length", "max_tokens", "model_length"})
_FILTERED = frozenset({"content_filter", "safety", "recitation", "prohibited_content", "blocklist"})
_NO_TEXT = frozenset({"tool_calls", "function_call", "error", "abort", "cancelled"})
_TEXT_PARTS = frozenset({None, "text", "output_text"})
"""Types of the parts that are the answer; `thinking`, `reasoning`, `tool_use` and what else there is are not."""


class Reply(NamedTuple):
    """What came back from one call.

    Args:
        status: HTTP status; 0 when there was no answer.
        headers: What the server says about its rate limits; names in lower case.
        content: The body, without the API key.
        problem: Why there was no answer.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes
    problem: Problem | None = None


class Usage(NamedTuple):
    """Tokens of one call.

    Args:
        prompt_tokens: Of the question.
        completion_tokens: Of the answer, hidden thoughts included.
        is_reported: Whether the server counted them.
        reasoning_tokens: How many of the answer's tokens were hidden thoughts; 0 when the server does not say.
    """

    prompt_tokens: int
    completion_tokens: int
    is_reported: bool = True
    reasoning_tokens: int = 0


class Answer(NamedTuple):
    """A completion as it came.

    Args:
        text: The model's words; empty when there are none.
        finish_reason: Why it stopped, in the server's words.
        served_model: The model's name in the server's words.
        usage: Tokens; None when the server does not say.
        problem: Why it cannot be used; None when nothing speaks against it so far.
    """

    text: str
    finish_reason: str = ""
    served_model: str = ""
    usage: Usage | None = None
    problem: Problem | None = None


class ServerComplaint(NamedTuple):
    """An error as OpenAI-compatible servers write it.

    Args:
        message: For people.
        code: For programs, e.g. `insufficient_quota`; empty when there is none.
        param: The field of the request that is wrong; empty when the server does not say.
    """

    message: str
    code: str = ""
    param: str = ""


def read_answer(content: bytes, *, hide: Callable[[str], str] = str) -> Answer:
    """Read the body of a successful chat-completions call.

    Args:
        content: The body.
        hide: Takes the API key out of a text; with JSON escapes it only shows behind the parser.
    """
    body = parse_body(content)
    if isinstance(body, dict):
        return read_answer_body(body, is_utf8=is_utf8(content), hide=hide)
    words = bounded(hide(content[:400].decode("utf-8", "replace")), 80)
    return Answer("", problem=Problem(Fault.NOT_A_COMPLETION, f"this is no completion: {words!r}."))


def read_answer_body(body: Mapping[str, Any], *, is_utf8: bool, hide: Callable[[str], str] = str) -> Answer:
    """Read a completion that is parsed already.

    Args:
        body: The completion as JSON.
        is_utf8: Whether the bytes that it came in were valid.
        hide: Takes the API key out of a text.
    """
    answer = _read_answer(body, is_utf8=is_utf8)
    problem = answer.problem and Problem(answer.problem.fault, hide(answer.problem.detail))
    text, reason, model = (hide(_storable(words)) for words in (answer.text, answer.finish_reason, answer.served_model))
    return Answer(text, reason, model, answer.usage, problem)


def read_complaint(content: bytes, *, hide: Callable[[str], str] = str) -> ServerComplaint:
    """Read the body of a call that failed; a body of another shape is its own message.

    Args:
        content: The body.
        hide: Takes the API key out of a text.
    """
    complaint = _complaint(parse_body(content))
    message = complaint.message or content[:2_000].decode("utf-8", "replace")
    return ServerComplaint(bounded(hide(message)), bounded(hide(complaint.code), 80), complaint.param)


def parse_body(content: bytes) -> Any:
    """The body as JSON; None when it is none. Bytes that are no UTF-8 are judged apart."""
    try:
        return json.loads(content.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):
        return None


def is_utf8(content: bytes) -> bool:
    """Tell whether bytes are valid UTF-8."""
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _complaint(body: Any) -> ServerComplaint:
    """An error in one of its shapes: an object, a text, an object in a list, FastAPI's `detail`."""
    body = body[0] if isinstance(body, list) and body else body
    error = _field(body, "error") or _field(body, "detail") or body
    if isinstance(error, str):
        return ServerComplaint(error)
    code = _field(error, "code") or _field(error, "type")
    code = str(code) if isinstance(code, str | int) else ""
    return ServerComplaint(_text_field(error, "message"), code, _text_field(error, "param"))


def _read_answer(body: Mapping[str, Any], *, is_utf8: bool) -> Answer:
    usage, model = _read_usage(_field(body, "usage")), _text_field(body, "model")
    choices = _field(body, "choices")
    if not isinstance(choices, list):
        complaint = _complaint(body)
        words = complaint.message or f"fields {', '.join(map(str, body))}"
        problem = Problem(Fault.NOT_A_COMPLETION, f"this is no completion: {bounded(words, 120)!r}.")
        return Answer("", served_model=model, usage=usage, problem=problem)
    if not choices:
        problem = Problem(Fault.EMPTY_CHOICES, "the server sent no choice.")
        return Answer("", served_model=model, usage=usage, problem=problem)
    message = _field(choices[0], "message")
    text = _text_of(_field(message, "content")) or _text_field(choices[0], "text")
    reason = _text_field(choices[0], "finish_reason")
    verdict = _judge(message, text, reason, usage)
    if verdict is None and (_storable(text) != text or not is_utf8):
        verdict = Problem(Fault.UNUSABLE, "the answer is no valid UTF-8.")
    return Answer(text if is_utf8 else "", reason, model, usage, verdict)


def _judge(message: Any, text: str, finish_reason: str, usage: Usage | None) -> Problem | None:
    reason = finish_reason.casefold()
    if refusal := _text_field(message, "refusal"):
        return Problem(Fault.REFUSAL, bounded(refusal))
    if reason in _FILTERED:
        return Problem(Fault.CONTENT_FILTER, "the server's content filter stopped the answer.")
    if reason in _CUT_OFF:
        hidden = f", {usage.reasoning_tokens} tokens were hidden thoughts" if usage and usage.reasoning_tokens else ""
        return Problem(Fault.CUT_OFF, f"the answer was cut off after {len(text)} characters{hidden}.")
    if reason in _NO_TEXT or not text.strip():
        return Problem(Fault.UNUSABLE, f"the answer holds no text (finish_reason {bounded(finish_reason, 40)!r}).")
    return None


def _field(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _text_field(value: Any, name: str) -> str:
    found = _field(value, name)
    return found if isinstance(found, str) else ""


def _text_of(content: Any) -> str:
    """The text of a message: one piece, or the parts of a list that are text."""
    if isinstance(content, str):
        return content
    if isinstance(content, dict) and content.get("type") in _TEXT_PARTS:
        text = content.get("text")
        return text if isinstance(text, str) else _text_field(text, "value")
    return (
        "".join(_text_of(part) for part in content if not isinstance(part, list)) if isinstance(content, list) else ""
    )


def _read_usage(found: Any) -> Usage | None:
    """Tokens as the server counts them; what `total_tokens` has more than the two others are thoughts, and paid for."""
    prompt = _count(found, "prompt_tokens", "input_tokens")
    if prompt is None:
        return None
    completion = _count(found, "completion_tokens", "output_tokens") or 0
    total = _count(found, "total_tokens") or 0
    thoughts = _count(_field(found, "completion_tokens_details"), "reasoning_tokens") or 0
    return Usage(prompt, max(completion, total - prompt), reasoning_tokens=thoughts)


def _count(found: Any, *names: str) -> int | None:
    for name in names:
        value = _field(found, name)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if is_number and 0 <= value <= MAX_TOKENS_COUNTED:
            return int(value)
    return None


def _storable(text: str) -> str:
    """The text with half characters, which have no UTF-8 form, written out."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
