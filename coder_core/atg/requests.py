"""Requests: one purchase as a frozen value, and the key under which its answer is kept for ever.

The key holds what decides the answer: the model, the prompt's version, the sampling parameters and the inputs. It holds
neither the server's address nor how the answer was written (JSON or list) nor the limit on its length: an answer that
ended by itself is the same under any larger limit, and one that was cut off is never kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import Field

from coder_core.atg.answer_json import answer_schema
from coder_core.atg.parsing import Subject
from coder_core.atg.prompts import Prompt
from coder_core.classes import display_name
from coder_core.fingerprint import canonical_json, content_hash
from coder_core.spec_base import Spec
from coder_core.texts.kinds import TextKind

__all__ = ["CompletionRequest", "Inputs", "Sampling", "ask_about", "ask_about_pair", "ask_again"]

_REQUEST_VERSION = 1
"""Part of every key; raise it only when equal requests would no longer get equal answers."""


class Sampling(Spec):
    """How the model chooses its words. None leaves the choice to the server: reasoning models refuse other values."""

    temperature: float | None = Field(default=None, ge=0, le=2, description="0 is greedy; default: the server's own.")
    top_p: float | None = Field(default=None, gt=0, le=1, description="Nucleus; default: the server's own.")
    seed: int | None = Field(default=None, ge=0, description="Where the server knows seeds.")

    def parameters(self) -> dict[str, float | int]:
        """What is sent: the values that are set."""
        return self.model_dump(exclude_none=True)


class Inputs(Spec):
    """What a prompt is filled with: names as they stand in sentences."""

    class_name: str
    rival_name: str | None = None
    excluded: tuple[str, ...] = ()
    count: int | None = None

    def values(self) -> dict[str, str]:
        """Values for the prompt's placeholders."""
        values = {"class": self.class_name, "rival": self.rival_name or ""}
        if self.excluded:
            values |= {"excluded": ", ".join(self.excluded), "count": str(self.count or 1)}
        return values


@dataclass(frozen=True)
class CompletionRequest:
    """One question to one model.

    Args:
        model: The model's name as the server knows it.
        prompt: The question's words.
        sampling: How the model chooses its words.
        inputs: The names.
    """

    model: str
    prompt: Prompt
    sampling: Sampling
    inputs: Inputs

    @property
    def kind(self) -> TextKind:
        """The kind of text that is asked for."""
        return self.prompt.kind

    @cached_property
    def subject(self) -> Subject:
        """What the answer must be about."""
        names = [self.inputs.class_name, self.inputs.rival_name]
        return Subject(self.kind, tuple(name for name in names if name is not None))

    @cached_property
    def inputs_json(self) -> str:
        """The inputs as canonical JSON."""
        return canonical_json(self.inputs.model_dump(exclude_defaults=True))

    @cached_property
    def sampling_json(self) -> str:
        """The sampling parameters as canonical JSON."""
        return canonical_json(self.sampling.parameters())

    @cached_property
    def key(self) -> str:
        """sha256 of everything that decides the answer, 64 hexadecimal digits."""
        parts = [str(_REQUEST_VERSION), self.model, self.kind.value, self.prompt.version]
        return content_hash(canonical_json([*parts, self.sampling_json, self.inputs_json]).encode("ascii"))

    def body(self, *, max_tokens: int, is_structured: bool, limit_name: str = "max_tokens") -> dict[str, Any]:
        """Write the body of a chat-completions call.

        Args:
            max_tokens: Longest answer.
            is_structured: Whether to hand over the schema.
            limit_name: What the server calls `max_tokens`.
        """
        body: dict[str, Any] = {
            "model": self.model,
            "messages": self.prompt.messages(self.inputs.values(), is_structured=is_structured),
            limit_name: max_tokens,
            **self.sampling.parameters(),
        }
        if is_structured:
            body["response_format"] = answer_schema(len(self.subject.names))
        return body


def ask_about(name: str, prompt: Prompt, *, model: str, sampling: Sampling) -> CompletionRequest:
    """Make the request for the texts of one class."""
    return CompletionRequest(model, prompt, sampling, Inputs(class_name=_spoken(name)))


def ask_about_pair(name: str, rival: str, prompt: Prompt, *, model: str, sampling: Sampling) -> CompletionRequest:
    """Make the one request that answers both directions of a pair: whichever comes first, the key is the same."""
    first, second = sorted((_spoken(name), _spoken(rival)))
    return CompletionRequest(model, prompt, sampling, Inputs(class_name=first, rival_name=second))


def ask_again(request: CompletionRequest, excluded: Sequence[str], count: int) -> CompletionRequest:
    """Make the request for further answers, none of them among those that were named before."""
    inputs = Inputs(class_name=request.inputs.class_name, excluded=tuple(sorted(map(str, excluded))), count=count)
    return CompletionRequest(request.model, request.prompt, request.sampling, inputs)


def _spoken(name: str) -> str:
    """A class name as it stands in a question; file names bring signs that have no UTF-8 form."""
    return display_name(name.encode("utf-8", "replace").decode("utf-8"))
