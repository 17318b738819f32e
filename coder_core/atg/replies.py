"""What one HTTP call brought back, as a value."""

from collections.abc import Mapping
from typing import NamedTuple

from coder_core.atg.faults import Problem

__all__ = ["KEY_VARIABLE", "Reply"]

KEY_VARIABLE = "OPENAI_API_KEY"
"""Where the API key is looked for, and nowhere else."""


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
