"""The files of the Batch API: questions as JSONL lines, answers as lines in any order. Pure.

A line's `custom_id` is the request's key, so an answer finds its question whoever asked it, and a line that answers
nothing we know is left alone.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import to_json

from coder_core.atg.dialects import Dialect
from coder_core.atg.prompts import Prompt, Question
from coder_core.atg.requests import CompletionRequest, Inputs, Sampling
from coder_core.texts.kinds import TextKind

__all__ = ["BatchLine", "RequestFile", "read_lines", "write_lines"]

COMPLETIONS_PATH = "/v1/chat/completions"
_LENIENT = ConfigDict(extra="ignore", frozen=True)
_CLOSED = ConfigDict(extra="forbid", frozen=True)


class BatchLine(NamedTuple):
    """One line of an output or error file.

    Args:
        key: The request's key.
        status: HTTP status of its call; 0 when it was never made (the batch expired).
        body: The call's body as JSON text.
    """

    key: str
    status: int
    body: str


class _Response(BaseModel):
    model_config = _LENIENT

    status_code: int = 0
    body: Any = None


class _Line(BaseModel):
    model_config = _LENIENT

    custom_id: str
    response: _Response | None = None
    error: Any = None


class _PromptRecord(BaseModel):
    model_config = _CLOSED

    kind: TextKind
    question: Question
    system: str
    list_form: str
    json_form: str


class _RequestRecord(BaseModel):
    model_config = _CLOSED

    prompt: str
    inputs: Inputs


class RequestFile(BaseModel):
    """The questions of a batch in a form that can be read back, also by a later version with other prompts."""

    model_config = _CLOSED

    model: str
    sampling: Sampling
    prompts: dict[str, _PromptRecord]
    requests: list[_RequestRecord]

    @classmethod
    def of(cls, requests: list[CompletionRequest]) -> "RequestFile":
        """Write requests down; all to one model with one sampling."""
        prompts = {request.prompt.version: request.prompt for request in requests}
        return cls(
            model=requests[0].model,
            sampling=requests[0].sampling,
            prompts={version: _record(prompt) for version, prompt in prompts.items()},
            requests=[_RequestRecord(prompt=request.prompt.version, inputs=request.inputs) for request in requests],
        )

    def read(self) -> list[CompletionRequest]:
        """The requests, with the keys they had."""
        prompts = {version: Prompt(**dict(record)) for version, record in self.prompts.items()}
        return [
            CompletionRequest(self.model, prompts[record.prompt], self.sampling, record.inputs)
            for record in self.requests
        ]


def write_lines(requests: Iterable[CompletionRequest], dialect: Dialect, *, max_tokens: int) -> bytes:
    """Write the input file of a batch."""
    return b"".join(to_json(_line(request, dialect, max_tokens)) + b"\n" for request in requests)


def read_lines(content: str) -> Iterator[BatchLine]:
    """Read an output or error file; what is no line of such a file is left out."""
    for text in content.split("\n"):
        try:
            line = _Line.model_validate_json(text)
        except ValidationError:
            continue
        response = line.response or _Response(body={"error": line.error} if line.error else None)
        yield BatchLine(line.custom_id, response.status_code, to_json(response.body).decode())


def _line(request: CompletionRequest, dialect: Dialect, max_tokens: int) -> dict[str, Any]:
    body = request.body(max_tokens=max_tokens, is_structured=dialect.is_structured, limit_name=dialect.limit_name)
    return {"custom_id": request.key, "method": "POST", "url": COMPLETIONS_PATH, "body": body}


def _record(prompt: Prompt) -> _PromptRecord:
    return _PromptRecord(
        kind=prompt.kind,
        question=prompt.question,
        system=prompt.system,
        list_form=prompt.list_form,
        json_form=prompt.json_form,
    )
