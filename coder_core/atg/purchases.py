"""Purchases: many questions, of which only the unanswered ones are asked, and every answer is kept.

A `Buyer` takes requests and brings their answers into the ledger; how is its own affair: `direct.DirectBuyer` asks call
by call, `batch.BatchBuyer` through the provider's Batch API. What a buyer returns is an account, not the answers: those
are in the ledger, where a second start, another data set or another parser finds them.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

from coder_core.atg.faults import Problem
from coder_core.atg.names import NameSet
from coder_core.atg.outcomes import Outcome
from coder_core.atg.pricing import Price
from coder_core.atg.requests import CompletionRequest
from coder_core.atg.settings import LlmRuntime
from coder_core.errors import ConfigError

__all__ = ["Buyer", "Purchase", "check_price", "run_here"]


@dataclass
class Purchase:
    """The account of one purchase.

    Attributes:
        generated: Keys whose answers were bought.
        reused: Keys whose answers were held.
        problems: Key -> why there is no answer.
        calls: HTTP calls made.
        bad_answers: Answers that came and were of no use.
        prompt_tokens: Tokens of all questions that were answered, well or badly.
        completion_tokens: Tokens of all answers, good and bad.
        cost_usd: Their price; 0 when none is known.
        is_priced: Whether a price is known.
        stop: Why it ended early; None when it did not.
    """

    generated: set[str] = field(default_factory=set)
    reused: set[str] = field(default_factory=set)
    problems: dict[str, Problem] = field(default_factory=dict)
    calls: int = 0
    bad_answers: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    is_priced: bool = True
    stop: Problem | None = None

    def add(self, request: CompletionRequest, outcome: Outcome) -> None:
        """Count one question's outcome."""
        self.calls += outcome.calls
        self.bad_answers += len(outcome.failures)
        if outcome.completion is not None:
            self.generated.add(request.key)
        elif outcome.problem is not None:
            self.problems[request.key] = outcome.problem
        paid = [failure.completion for failure in outcome.failures]
        for completion in paid if outcome.completion is None else [*paid, outcome.completion]:
            self.prompt_tokens += completion.prompt_tokens
            self.completion_tokens += completion.completion_tokens
            self.cost_usd += completion.cost_usd

    def include(self, other: "Purchase") -> None:
        """Add another account, e.g. of the next round."""
        self.generated |= other.generated
        self.reused |= other.reused - self.generated
        self.problems |= other.problems
        self.calls += other.calls
        self.bad_answers += other.bad_answers
        self.prompt_tokens += other.prompt_tokens
        self.completion_tokens += other.completion_tokens
        self.cost_usd += other.cost_usd
        self.is_priced &= other.is_priced
        self.stop = self.stop or other.stop


class Buyer(Protocol):
    """Brings answers into the ledger."""

    def buy(self, requests: Sequence[CompletionRequest], *, others: NameSet) -> Purchase:
        """Buy the answers that the ledger lacks.

        Args:
            requests: The questions; all to one model.
            others: Names of the class list, to notice answers about another class.

        Raises:
            LlmError: The server refuses for good; everything bought before is kept.
            StoreError: The store refuses.
        """
        ...


def run_here(work: Coroutine[Any, Any, None]) -> None:
    """Run asynchronous work to its end, also where an event loop is running already (a notebook)."""
    if not _is_inside_event_loop():
        asyncio.run(work)
        return
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()


def check_price(model: str, price: Price | None, runtime: LlmRuntime) -> None:
    """Refuse a limit in dollars for a model whose price nobody knows: it would be no limit.

    Raises:
        ConfigError: With the remedy.
    """
    if price is None and runtime.max_cost_usd is not None:
        raise ConfigError(
            f"max_cost_usd is {runtime.max_cost_usd}, but the price of {model!r} is not known.",
            "prices",
            "Add its price (0 for a server of your own), or drop max_cost_usd.",
        )


def _is_inside_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
