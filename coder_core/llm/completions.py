"""Many questions, of which only the unanswered ones are asked, and every answer is kept.

A `CompletionSource` takes requests and brings their answers into the ledger; how is its own affair:
`direct_completions` asks call by call, `batch_completions` through the provider's Batch API. What a source returns is
an account, not the answers: those are in the ledger, where a second start, another data set or another parser finds
them.
"""

import asyncio
import signal
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from coder_core.errors import ConfigError
from coder_core.interruption import check_interruption, interruptible
from coder_core.llm.chat_replies import Answer, Usage
from coder_core.llm.chat_requests import CompletionRequest, RequestRecord
from coder_core.llm.completion_ledger import Completion, CompletionLedger, FailedCompletion, now
from coder_core.llm.faults import Fault, Problem
from coder_core.llm.llm_runtime import LlmRuntime
from coder_core.llm.pricing import Price, count_message_tokens, count_tokens, find_price, load_prices, picture_tokens
from coder_core.stop_signals import cancelled_by_signals

__all__ = [
    "CompletionSource",
    "Completions",
    "Outcome",
    "Spent",
    "find_checked_price",
    "judge_answer",
    "run_here",
    "split_held",
]


LOOK_SECONDS = 0.2
"""Pause between two looks at whether the work is still wanted."""


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


def judge_answer(
    asked: CompletionRequest | RequestRecord,
    answer: Answer,
    price: Price | None,
    *,
    is_structured: bool,
    attempt: int = 1,
    is_batch: bool = False,
) -> tuple[Completion | None, Problem | None]:
    """Write an answer down with what it cost, and tell what is wrong with it.

    Args:
        asked: The question; its record alone where nobody is left who could read the answer: it is kept for later.
        answer: What came.
        price: What the model costs; None when unknown.
        is_structured: Whether the schema was sent: it counts where the server does not count tokens.
        attempt: Which attempt it was, from 1.
        is_batch: Whether it came through the Batch API.

    Returns:
        The row, None when nothing says that the reply was paid for; and the problem, None when the answer may be kept.
    """
    if answer.problem and answer.problem.fault is Fault.NOT_A_COMPLETION and answer.usage is None:
        return None, answer.problem
    picture = picture_tokens(price)
    usage = answer.usage or _estimated_usage(asked, answer.text, is_structured=is_structured, picture=picture)
    completion = Completion(
        record=asked.record if isinstance(asked, CompletionRequest) else asked,
        answer=answer.text,
        finish_reason=answer.finish_reason[:40],
        served_model=answer.served_model[:200],
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        is_usage_reported=usage.is_reported,
        cost_usd=price.cost_usd(usage.prompt_tokens, usage.completion_tokens, is_batch=is_batch) if price else 0.0,
        is_priced=price is not None,
        attempt=attempt,
        is_batch=is_batch,
        created_at=now(),
    )
    return completion, answer.problem or (asked.judge(answer.text) if isinstance(asked, CompletionRequest) else _UNREAD)


_UNREAD = Problem(Fault.UNREAD, "a batch of an earlier run asked this; whoever asks it again will find the answer.")


class Spent(NamedTuple):
    """Tokens of questions that were answered, well or badly, tokens of the answers, and their price in US dollars."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0

    def plus(self, other: "Spent") -> "Spent":
        """Both together."""
        return Spent(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cost_usd + other.cost_usd,
        )


@dataclass
class Completions:
    """The account of what was asked.

    Attributes:
        generated: Keys whose answers were asked for.
        reused: Keys whose answers were held.
        problems: Key -> why there is no answer.
        calls: HTTP calls made.
        bad_answers: Answers that came and were of no use.
        spent: Kind of question -> what that took; the price is 0 when none is known.
        is_priced: Whether a price is known.
        stop: Why it ended early; None when it did not.
    """

    generated: set[str] = field(default_factory=set)
    reused: set[str] = field(default_factory=set)
    problems: dict[str, Problem] = field(default_factory=dict)
    calls: int = 0
    bad_answers: int = 0
    spent: dict[str, Spent] = field(default_factory=dict)
    is_priced: bool = True
    stop: Problem | None = None

    @property
    def cost_usd(self) -> float:
        """The price of everything."""
        return sum(spent.cost_usd for spent in self.spent.values())

    def add(self, key: str, outcome: Outcome) -> None:
        """Count one question's outcome."""
        self.calls += outcome.calls
        self.bad_answers += len(outcome.failures)
        if outcome.completion is not None:
            self.generated.add(key)
        elif outcome.problem is not None:
            self.problems[key] = outcome.problem
        paid = [failure.completion for failure in outcome.failures]
        for completion in paid if outcome.completion is None else [*paid, outcome.completion]:
            used = Spent(completion.prompt_tokens, completion.completion_tokens, completion.cost_usd)
            self._spend(completion.record.kind, used)

    def include(self, other: "Completions") -> None:
        """Add another account, e.g. of the next round."""
        self.generated |= other.generated
        self.reused |= other.reused - self.generated
        self.problems |= other.problems
        self.calls += other.calls
        self.bad_answers += other.bad_answers
        for kind, used in other.spent.items():
            self._spend(kind, used)
        self.is_priced &= other.is_priced
        self.stop = self.stop or other.stop

    def _spend(self, kind: str, used: Spent) -> None:
        self.spent[kind] = self.spent.get(kind, Spent()).plus(used)


class CompletionSource(Protocol):
    """Brings answers into the ledger."""

    def complete(self, requests: Sequence[CompletionRequest]) -> Completions:
        """Ask for the answers that the ledger lacks.

        Args:
            requests: The questions; all to one model.

        Raises:
            LlmError: The server refuses for good; everything that was answered before is kept.
            StoreError: The store refuses.
        """
        ...


def run_here(work: Coroutine[Any, Any, None]) -> None:
    """Run asynchronous work to its end, also where an event loop is running already (a notebook).

    Ctrl-C, SIGTERM, the end of the run that this belongs to and its time limit cancel the work, wherever it waits.

    Raises:
        InterruptedWorkError: The run has ended.
        TimeLimitError: The time is up.
    """
    if _is_inside_event_loop():
        # The block is left before the thread is waited for: so Ctrl-C in a notebook reaches the thread.
        with ThreadPoolExecutor(1) as thread, interruptible():
            thread.submit(copy_context().run, asyncio.run, _watched(work)).result()
        return
    if came := asyncio.run(_watched(work)):
        signal.raise_signal(came[0])


async def _watched(work: Coroutine[Any, Any, None]) -> list[int]:
    """Run work until somebody wants it to stop; returns the signals that did."""
    task = asyncio.ensure_future(work)
    watcher = asyncio.ensure_future(_watch())

    with cancelled_by_signals(task.cancel) as came:
        try:
            await asyncio.wait({task, watcher}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            watcher.cancel()
            if not task.done():
                task.cancel()
            await asyncio.wait({task})
    if watcher.done() and not watcher.cancelled():
        _ = task.cancelled() or task.exception()  # what the work ended with is not what ended it
        watcher.result()
    if not came:
        task.result()
    return came


async def _watch() -> None:
    while True:
        check_interruption()
        await asyncio.sleep(LOOK_SECONDS)


def find_checked_price(model: str, runtime: LlmRuntime) -> Price | None:
    """Find a model's price; a limit in dollars for a model whose price nobody knows would be no limit.

    Raises:
        ConfigError: There is a limit and no price; with the remedy.
    """
    price = find_price(model, load_prices(runtime.prices))
    if price is None and runtime.max_cost_usd is not None:
        raise ConfigError(
            f"max_cost_usd is {runtime.max_cost_usd}, but the price of {model!r} is not known.",
            "prices",
            "Add its price (0 for a server of your own), or drop max_cost_usd.",
        )
    return price


def split_held(
    ledger: CompletionLedger, requests: Sequence[CompletionRequest]
) -> tuple[list[CompletionRequest], Completions]:
    """Set apart what must be asked; what the ledger holds is counted as reused."""
    missing = ledger.missing(requests)
    held = {request.key for request in requests} - {request.key for request in missing}
    return missing, Completions(reused=held)


def _is_inside_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _estimated_usage(
    asked: CompletionRequest | RequestRecord, answer: str, *, is_structured: bool, picture: int
) -> Usage:
    messages = asked.messages(is_structured=is_structured) if isinstance(asked, CompletionRequest) else []
    prompt_tokens = count_message_tokens(messages, is_structured=is_structured, picture=picture)
    return Usage(prompt_tokens, count_tokens(answer), is_reported=False)
