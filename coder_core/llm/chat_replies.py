"""What one HTTP call brought back, and from there to an answer or to the reason why there is none. Pure.

A reply may be a proxy's HTML page, half a JSON, a JSON of another kind, a completion without a choice, one that was cut
off, refused or filtered. `read_answer` tells them apart by structure, never by the words of a message.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from coder_core.llm.faults import Fault, Problem, bounded

__all__ = ["KEY_VARIABLE", "Answer", "Reply", "ServerComplaint", "Usage", "read_answer", "read_complaint"]

KEY_VARIABLE = "OPENAI_API_KEY"
"""Where the API key is looked for, and nowhere else."""

_CUT_OFF = frozenset({"length", "max_tokens", "model_length"})
_FILTERED = frozenset({"content_filter", "safety", "recitation", "prohibited_content", "blocklist"})
_NO_TEXT = frozenset({"tool_calls", "function_call", "error", "abort", "cancelled"})
_LENIENT = ConfigDict(extra="ignore", frozen=True)


class Reply(NamedTuple):
    """What came back from one call.

    Args:
        status: HTTP status; 0 when there was no answer.
        headers: What the server says about its rate limits; names in lower case.
        text: The body, without the API key.
        problem: Why there was no answer.
    """

    status: int
    headers: Mapping[str, str]
    text: str
    problem: Problem | None = None


class Usage(NamedTuple):
    """Tokens of one call.

    Args:
        prompt_tokens: Of the question.
        completion_tokens: Of the answer.
        is_reported: Whether the server counted them.
    """

    prompt_tokens: int
    completion_tokens: int
    is_reported: bool = True


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


class _Message(BaseModel):
    model_config = _LENIENT

    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    model_config = _LENIENT

    message: _Message
    finish_reason: str | None = None


class _Usage(BaseModel):
    model_config = _LENIENT

    prompt_tokens: int = Field(ge=0, le=10_000_000)
    completion_tokens: int = Field(default=0, ge=0, le=10_000_000)


class _Completion(BaseModel):
    model_config = _LENIENT

    choices: list[_Choice]
    model: str | None = None
    usage: Any = None


class _ErrorBody(BaseModel):
    model_config = _LENIENT

    message: str = ""
    code: str | int | None = None
    type: str | None = None
    param: str | None = None


class _ErrorReply(BaseModel):
    model_config = _LENIENT

    error: _ErrorBody


def read_answer(text: str, *, hide: Callable[[str], str] = str) -> Answer:
    """Read the body of a successful chat-completions call.

    Args:
        text: The body.
        hide: Takes the API key out of a text; with JSON escapes it only shows behind the parser.
    """
    answer = _read_answer(text)
    problem = answer.problem and Problem(answer.problem.fault, hide(answer.problem.detail))
    words = (hide(answer.text), hide(answer.finish_reason), hide(answer.served_model))
    return Answer(*words, answer.usage, problem)


def _read_answer(text: str) -> Answer:
    try:
        completion = _Completion.model_validate_json(text)
    except ValidationError as error:
        kind = error.errors(include_url=False, include_input=False)[0]["type"]
        return Answer("", problem=Problem(Fault.NOT_A_COMPLETION, f"{kind} in {bounded(text, 80)!r}."))
    usage = _read_usage(completion.usage)
    if not completion.choices:
        problem = Problem(Fault.EMPTY_CHOICES, "the server sent no choice.")
        return Answer("", served_model=completion.model or "", usage=usage, problem=problem)
    choice = completion.choices[0]
    words, reason = choice.message.content or "", choice.finish_reason or ""
    return Answer(words, reason, completion.model or "", usage, _judge(choice.message, words, reason))


def read_complaint(text: str, *, hide: Callable[[str], str] = str) -> ServerComplaint:
    """Read the body of a call that failed; a body of another shape is its own message.

    Args:
        text: The body.
        hide: Takes the API key out of a text.
    """
    try:
        error = _ErrorReply.model_validate_json(text).error
    except ValidationError:
        return ServerComplaint(bounded(hide(text)))
    code = bounded(hide(str(error.code or error.type or "")), 80)
    return ServerComplaint(bounded(hide(error.message)), code, error.param or "")


def _judge(message: _Message, words: str, finish_reason: str) -> Problem | None:
    reason = finish_reason.casefold()
    if message.refusal:
        return Problem(Fault.REFUSAL, bounded(message.refusal))
    if reason in _FILTERED:
        return Problem(Fault.CONTENT_FILTER, "the server's content filter stopped the answer.")
    if reason in _CUT_OFF:
        return Problem(Fault.CUT_OFF, f"the answer was cut off after {len(words)} characters.")
    if reason in _NO_TEXT or not words.strip():
        return Problem(Fault.UNUSABLE, f"the answer holds no text (finish_reason {bounded(finish_reason, 40)!r}).")
    return None


def _read_usage(found: Any) -> Usage | None:
    try:
        usage = _Usage.model_validate(found)
    except ValidationError:
        return None
    return Usage(usage.prompt_tokens, usage.completion_tokens)
