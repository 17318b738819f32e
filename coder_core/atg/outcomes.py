"""What becomes of a question: a good answer, or a problem and what it cost to find out. Pure."""

from typing import NamedTuple

from coder_core.atg.answers import Answer, Usage
from coder_core.atg.completions import Completion, FailedCompletion, now
from coder_core.atg.faults import Fault, Problem
from coder_core.atg.names import NameSet
from coder_core.atg.parsing import parse_answer
from coder_core.atg.pricing import Price
from coder_core.atg.requests import CompletionRequest

__all__ = ["BAD_ANSWERS", "MAX_DOUBLINGS", "TRANSIENT", "Outcome", "complete_row", "judge_answer"]

BAD_ANSWERS = frozenset(
    {Fault.CUT_OFF, Fault.REFUSAL, Fault.CONTENT_FILTER, Fault.UNUSABLE, Fault.WRONG_CLASS, Fault.TOO_LONG}
)
"""The model spoke, and what it said is no use: often paid for, and asked again at once."""
TRANSIENT = frozenset(
    {
        Fault.CONNECTION,
        Fault.TIMEOUT,
        Fault.RATE_LIMITED,
        Fault.SERVER_ERROR,
        Fault.NOT_A_COMPLETION,
        Fault.EMPTY_CHOICES,
    }
)
"""The line or the server failed: asked again after a pause."""

MAX_DOUBLINGS = 3
"""How often the longest answer is doubled after one was cut off."""


class Outcome(NamedTuple):
    """What became of a question.

    Args:
        completion: The good answer; None when there is none.
        problem: Why there is none.
        failures: Bad answers on the way.
        calls: HTTP calls made.
    """

    completion: Completion | None
    problem: Problem | None
    failures: tuple[FailedCompletion, ...]
    calls: int


def judge_answer(answer: Answer, request: CompletionRequest, others: NameSet) -> Problem | None:
    """Tell what is wrong with an answer; None when it may be kept."""
    if answer.problem is not None:
        return answer.problem
    parsed = parse_answer(answer.text, request.subject, others=others)
    return parsed if isinstance(parsed, Problem) else None


def complete_row(
    request: CompletionRequest,
    answer: Answer,
    usage: Usage,
    price: Price | None,
    *,
    attempt: int,
    is_batch: bool = False,
) -> Completion:
    """Write an answer down with what it cost."""
    tokens = (usage.prompt_tokens, usage.completion_tokens)
    return Completion(
        request=request,
        answer=answer.text,
        finish_reason=answer.finish_reason[:40],
        served_model=answer.served_model[:200],
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        is_usage_reported=usage.is_reported,
        cost_usd=price.cost_usd(*tokens, is_batch=is_batch) if price else 0.0,
        is_priced=price is not None,
        attempt=attempt,
        is_batch=is_batch,
        created_at=now(),
    )
