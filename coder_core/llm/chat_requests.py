"""A question to a language model as a value, and the key under which its answer is kept for ever.

The key holds what decides the answer: the model, the prompt's version, the sampling parameters and the inputs. It holds
neither the server's address nor how the answer was written (JSON or list) nor the limit on its length: an answer that
ended by itself is the same under any larger limit, and one that was cut off is never kept.
"""

import base64
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from pydantic import Field

from coder_core.fingerprint import canonical_json, content_hash
from coder_core.llm.faults import Problem
from coder_core.spec_base import Spec

__all__ = ["RENDITION", "CompletionRequest", "Message", "Picture", "RequestRecord", "Sampling"]

_REQUEST_VERSION = 1
"""Part of every key; raise it only when equal requests would no longer get equal answers."""

RENDITION = "jpeg-512-1"
"""How a picture is written before it is shown (`images.shown_images`): part of the version of every prompt with
pictures, so another rendition is another question."""

Message = dict[str, Any]
"""`role`, and `content`: a text, or a list of parts where pictures follow the text."""


@dataclass(frozen=True)
class Picture:
    """A picture that is shown with a question.

    Args:
        content_key: sha256 of the image file that it was made from: this, and not the bytes, is part of the question's
            key, so an image is the same question under every version of the library that writes it as JPEG.
        jpeg: The bytes that are sent; empty where nobody is asked. No log and no key holds them.
    """

    content_key: str
    jpeg: bytes = field(default=b"", repr=False, compare=False)

    def part(self) -> dict[str, Any]:
        """The picture as a part of a chat message."""
        url = f"data:image/jpeg;base64,{base64.b64encode(self.jpeg).decode('ascii')}"
        return {"type": "image_url", "image_url": {"url": url}}


class Sampling(Spec):
    """How the model chooses its words. None leaves the choice to the server: reasoning models refuse other values."""

    temperature: float | None = Field(default=None, ge=0, le=2, description="0 is greedy; default: the server's own.")
    top_p: float | None = Field(default=None, gt=0, le=1, description="Nucleus; default: the server's own.")
    seed: int | None = Field(default=None, ge=0, description="Where the server knows seeds.")

    def parameters(self) -> dict[str, float | int]:
        """What is sent: the values that are set."""
        return self.model_dump(exclude_none=True)


class RequestRecord(NamedTuple):
    """What decides an answer, as the ledger writes it.

    Args:
        model: The model's name as the server knows it.
        kind: What is asked for.
        prompt_version: Hash of the question's words, without the names it is asked about.
        sampling: The sampling parameters as canonical JSON.
        inputs: What the prompt is filled with, as canonical JSON.
    """

    model: str
    kind: str
    prompt_version: str
    sampling: str
    inputs: str

    @property
    def key(self) -> str:
        """sha256 of everything that decides the answer, 64 hexadecimal digits."""
        return content_hash(canonical_json([str(_REQUEST_VERSION), *self]).encode("ascii"))


class CompletionRequest(ABC):
    """One question to one model: how it is put, and how its answer is read."""

    model: str
    sampling: Sampling

    @property
    def pictures(self) -> Sequence[Picture]:
        """What is shown with the question, in order; nothing, by default."""
        return ()

    @property
    @abstractmethod
    def record(self) -> RequestRecord:
        """What decides the answer."""

    @abstractmethod
    def messages(self, *, is_structured: bool) -> list[Message]:
        """The conversation up to the answer; `is_structured` when the server is given the schema."""

    @abstractmethod
    def schema(self) -> dict[str, Any]:
        """The `response_format` of a structured answer."""

    @abstractmethod
    def read(self, answer: str, *, is_held: bool = False) -> Any:
        """What the answer says, or a `Problem`.

        Args:
            answer: The model's text.
            is_held: Whether it was accepted once, by somebody who may have asked in other company.
        """

    @cached_property
    def key(self) -> str:
        """sha256 of everything that decides the answer, 64 hexadecimal digits."""
        return self.record.key

    def judge(self, answer: str) -> Problem | None:
        """Tell what is wrong with an answer; None when it may be kept."""
        found = self.read(answer)
        return found if isinstance(found, Problem) else None

    def body(self, *, max_tokens: int, is_structured: bool, limit_name: str = "max_tokens") -> dict[str, Any]:
        """Write the body of a chat-completions call.

        Args:
            max_tokens: Longest answer.
            is_structured: Whether to hand over the schema.
            limit_name: What the server calls `max_tokens`.
        """
        body: dict[str, Any] = {
            "model": self.model,
            "messages": self.messages(is_structured=is_structured),
            limit_name: max_tokens,
            **self.sampling.parameters(),
        }
        return body | {"response_format": self.schema()} if is_structured else body
