"""The client: one question until it has a good answer, or a reason why not.

Every call takes its turn at the rate limiter and sets its worst cost aside. What may be cured by asking again is asked
again, after a pause of random length that doubles (the jitter keeps a storm from coming back as a storm): faults of the
line `max_attempts` times in all, bad answers `max_bad_answers` times. So the calls are bounded by the questions. What a
server can do is learnt from its answers (`ServerTraits`), and the very first question is asked alone until one has been
learnt: so a wrong key, a missing schema or a model that thinks for long costs its few calls once. In the same way one
question at a time looks after a server that is loading its model, or that was there and is gone.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from coder_core.llm.chat_replies import Reply, read_answer
from coder_core.llm.chat_requests import CompletionRequest
from coder_core.llm.completion_ledger import Completion, FailedCompletion
from coder_core.llm.completions import Outcome, judge_answer
from coder_core.llm.dialects import Dialect, judge_refusal
from coder_core.llm.faults import BAD_ANSWERS, TRANSIENT, Fault, Problem
from coder_core.llm.llm_runtime import LlmRuntime
from coder_core.llm.pricing import (
    Budget,
    BudgetSpentError,
    Price,
    count_message_tokens,
    picture_tokens,
    worst_cost_usd,
)
from coder_core.llm.rate_limits import RateLimiter, RateLimitError, read_retry_after

if TYPE_CHECKING:
    from coder_core.llm.endpoint import Endpoint

__all__ = ["ChatClient", "ServerTraits"]

UNAVAILABLE_IN_A_ROW = 8
"""So many refusals of that kind without an answer between them mean that the server is gone, not that it is busy."""
LONGEST_LOOK_SECONDS = 5.0
"""Longest pause between two looks at a server that is loading its model."""
_IS_AWAY = frozenset({Fault.UNREACHABLE, Fault.UNAVAILABLE})

logger = logging.getLogger(__name__)


@dataclass
class ServerTraits:
    """What is known of a server, from one set of questions to the next.

    Attributes:
        dialect: How it is spoken to.
        has_answered: Whether it ever did.
        answer_tokens: Model -> length that sufficed where the first one was too short, or the longest that did not.
        takes_pictures: Whether it ever answered a question with pictures.
    """

    dialect: Dialect = field(default_factory=Dialect)
    has_answered: bool = False
    answer_tokens: dict[str, int] = field(default_factory=dict)
    takes_pictures: bool = False

    def longest_answer(self, model: str, runtime: LlmRuntime) -> int:
        """Tokens to give to an answer at first."""
        return max(runtime.max_tokens, self.answer_tokens.get(model, 0))

    def note_length(self, model: str, max_tokens: int, runtime: LlmRuntime) -> None:
        """Remember that an answer of a model was whole within so many tokens and not before, or never was."""
        if max_tokens > runtime.max_tokens:
            self.answer_tokens[model] = max(max_tokens, self.answer_tokens.get(model, 0))


@dataclass
class _Talk:
    """One question's way to its answer."""

    request: CompletionRequest
    calls: int = 0
    tries: int = 0
    bad_answers: int = 0
    max_tokens: int = 0
    is_thinking: bool = False
    dialect: Dialect | None = None
    refused: set[Dialect] = field(default_factory=set)
    completion: Completion | None = None
    failures: list[FailedCompletion] = field(default_factory=list)


class ChatClient:
    """Asks one server about many things, within one event loop.

    Args:
        endpoint: The server.
        runtime: Limits, pauses and patience.
        price: What the model costs; None when unknown.
        budget: How much may be spent.
        traits: What is known of the server from before; what is learnt is added.
        on_bad_answer: Called at once with every answer that came and cannot be used.

    Attributes:
        stop: Why nothing more is asked; None when nothing speaks against it.
        under_way: Tasks that wait for the server's answer.
    """

    def __init__(
        self,
        endpoint: "Endpoint",
        runtime: LlmRuntime,
        *,
        price: Price | None,
        budget: Budget,
        traits: ServerTraits,
        on_bad_answer: Callable[[FailedCompletion], None],
    ) -> None:
        self.stop: Problem | None = None
        self.under_way: set[asyncio.Task[Any] | None] = set()
        self._endpoint = endpoint
        self._runtime = runtime
        self._price = price
        self._budget = budget
        self._traits = traits
        self._on_bad_answer = on_bad_answer
        self._limiter = RateLimiter(
            requests_per_minute=runtime.requests_per_minute,
            tokens_per_minute=runtime.tokens_per_minute,
            max_wait_seconds=runtime.max_wait_seconds,
        )
        self._alone = asyncio.Lock()
        self._is_there = False
        self._away_in_a_row = 0
        self._given_up_in_a_row = 0
        self._random = random.SystemRandom()

    async def ask(self, request: CompletionRequest) -> Outcome:
        """Ask until there is a good answer or no hope of one."""
        talk = _Talk(request)
        while True:
            problem = await self._take_turn(talk)
            if problem is None or not self._is_worth_another(talk, problem):
                problem = self._note_end(talk, problem)
                return Outcome(talk.completion, problem, tuple(talk.failures), talk.calls)
            if problem.fault in TRANSIENT:
                await asyncio.sleep(self._pause_seconds(talk.tries))

    async def _take_turn(self, talk: _Talk) -> Problem | None:
        if not self._is_there:
            async with self._alone:
                if not self._is_there:
                    return await self._find_out(talk)
        return await self._attempt(talk)

    async def _find_out(self, talk: _Talk) -> Problem | None:
        """Ask alone until it is known whether and how the server answers, or that it does not."""
        started, looks = time.monotonic(), 0
        while True:
            problem = await self._attempt(talk)
            if problem is not None and problem.fault in _IS_AWAY and self.stop is None:
                looks += 1
                waited = time.monotonic() - started
                is_first = problem.fault is Fault.UNREACHABLE and not self._traits.has_answered
                if is_first or waited >= self._runtime.max_start_seconds:
                    self.stop = problem if is_first else _still_away(problem, waited)
                    return self.stop
                if looks == 1:
                    logger.warning("waiting up to %g s: %s", self._runtime.max_start_seconds, problem.detail)
                talk.tries -= 1
                await asyncio.sleep(min(self._pause_seconds(looks), LONGEST_LOOK_SECONDS))
                continue
            is_learning = problem is not None and problem.fault in {Fault.DIALECT, Fault.CUT_OFF}
            if not (is_learning and problem is not None and self._is_worth_another(talk, problem)):
                self._is_there = True
                return problem

    async def _attempt(self, talk: _Talk) -> Problem | None:
        if self.stop is not None:
            return Problem(Fault.STOPPED, str(self.stop))
        dialect = self._dialect_for(talk)
        max_tokens = max(talk.max_tokens, self._traits.longest_answer(talk.request.model, self._runtime))
        body = talk.request.body(
            max_tokens=max_tokens, is_structured=dialect.is_structured, limit_name=dialect.limit_name
        )
        worst_usd = worst_cost_usd(talk.request, self._price, max_tokens=max_tokens) if self._price else 0.0
        try:
            async with self._budget.reserve(worst_usd) as reservation:
                reply, completion, problem = await self._exchange(talk, body, max_tokens)
                reservation.settle(completion.cost_usd if completion else 0.0)
        except BudgetSpentError:
            self.stop = Problem(Fault.OVER_BUDGET, f"max_cost_usd {self._runtime.max_cost_usd} would be passed.")
            return self.stop
        except RateLimitError as error:
            self.stop = Problem(Fault.RATE_LIMITED, str(error))
            return self.stop
        problem = self._note_refusal(talk, reply, dialect) if reply.status >= 300 else problem
        self._note_presence(talk, reply, problem)
        if completion is not None:
            self._note_answer(talk, completion, problem, max_tokens)
        return problem

    async def _exchange(
        self, talk: _Talk, body: dict[str, Any], max_tokens: int
    ) -> tuple[Reply, Completion | None, Problem | None]:
        prompt_tokens = count_message_tokens(
            body["messages"], is_structured="response_format" in body, picture=picture_tokens(self._price)
        )
        await self._limiter.acquire(prompt_tokens + max_tokens)
        talk.calls += 1
        talk.tries += 1
        task = asyncio.current_task()
        self.under_way.add(task)
        try:
            reply = await self._endpoint.complete(body)
        finally:
            self.under_way.discard(task)
        completion, problem = self._read(talk, reply, is_structured="response_format" in body)
        used = completion.prompt_tokens + completion.completion_tokens if completion else None
        self._limiter.release(prompt_tokens + max_tokens, used, reply.headers)
        return reply, completion, problem

    def _read(self, talk: _Talk, reply: Reply, *, is_structured: bool) -> tuple[Completion | None, Problem | None]:
        if reply.problem or reply.status >= 300:
            return None, reply.problem
        answer = read_answer(reply.content, hide=self._endpoint.hide_key)
        if answer.problem is None and answer.text.count("\n") >= self._runtime.max_answer_lines:
            detail = f"the answer has more than max_answer_lines {self._runtime.max_answer_lines}."
            answer = answer._replace(problem=Problem(Fault.TOO_LONG, detail))
        return judge_answer(talk.request, answer, self._price, is_structured=is_structured, attempt=talk.calls)

    def _note_presence(self, talk: _Talk, reply: Reply, problem: Problem | None) -> None:
        """Learn from a call whether the server is there, and how it wants to be spoken to."""
        if problem is not None and problem.fault in _IS_AWAY:
            self._away_in_a_row += 1
            if self._away_in_a_row >= min(UNAVAILABLE_IN_A_ROW, self._runtime.concurrency):
                self._is_there = False
        elif reply.status:
            self._away_in_a_row = 0
        if 200 <= reply.status < 300:
            self._traits.has_answered = True
            self._traits.takes_pictures |= bool(talk.request.pictures)
            if talk.dialect is not None:
                self._traits.dialect = talk.dialect

    def _note_answer(self, talk: _Talk, completion: Completion, problem: Problem | None, max_tokens: int) -> None:
        if problem is None:
            talk.completion = completion
            if talk.is_thinking:
                self._traits.note_length(talk.request.model, max_tokens, self._runtime)
            return
        failure = FailedCompletion(completion, problem)
        talk.failures.append(failure)
        self._on_bad_answer(failure)
        if problem.fault is Fault.CUT_OFF:
            talk.max_tokens = min(2 * max_tokens, max(self._runtime.max_tokens_limit, max_tokens))
            talk.is_thinking = _is_thinking(talk.request, completion)
            is_final = talk.max_tokens == max_tokens  # the same call again would end in the same way
            if talk.is_thinking and is_final:  # shorter ones need not be paid for again, question by question
                self._traits.note_length(talk.request.model, max_tokens, self._runtime)
            talk.bad_answers += self._runtime.max_bad_answers * is_final if talk.is_thinking else 1
        else:
            talk.bad_answers += 1

    def _note_refusal(self, talk: _Talk, reply: Reply, dialect: Dialect) -> Problem:
        verdict = judge_refusal(
            reply,
            dialect,
            has_key=self._endpoint.has_key,
            hide=self._endpoint.hide_key,
            tried=talk.refused,
            has_pictures=bool(talk.request.pictures) and not self._traits.takes_pictures,
            is_understood=self._traits.has_answered,
        )
        if verdict.dialect is not None:
            talk.refused.add(dialect)
            talk.dialect = verdict.dialect
            talk.tries -= 1  # there are no more forms than four
            return verdict.problem
        retry_after = read_retry_after(reply.headers)
        if retry_after is not None and verdict.problem.fault in TRANSIENT:
            if retry_after > self._runtime.max_wait_seconds:
                detail = f"the server asks to wait {retry_after:.0f} s, more than max_wait_seconds."
                self.stop = Problem(Fault.RATE_LIMITED, detail)
                return self.stop
            self._limiter.pause(retry_after)
        if verdict.problem.fault is Fault.FATAL:
            self.stop = verdict.problem
        return verdict.problem

    def _is_worth_another(self, talk: _Talk, problem: Problem) -> bool:
        if self.stop is not None or talk.tries >= self._runtime.max_attempts:
            return False
        if problem.fault in BAD_ANSWERS:
            return talk.bad_answers < self._runtime.max_bad_answers
        return problem.fault in TRANSIENT or problem.fault is Fault.DIALECT

    def _note_end(self, talk: _Talk, problem: Problem | None) -> Problem | None:
        """Stop asking a server that answers nobody; say which setting gives an answer more room."""
        if problem is None:
            self._given_up_in_a_row = 0
            return None
        if problem.fault is Fault.CUT_OFF:
            name = "max_tokens_limit" if talk.max_tokens >= self._runtime.max_tokens_limit else "max_tokens"
            problem = Problem(problem.fault, f"{problem.detail} Raise CODER_LLM_{name.upper()}.")
        self._given_up_in_a_row += 1
        if problem.fault is Fault.FATAL:
            self.stop = self.stop or problem
        if self.stop is None and self._given_up_in_a_row >= self._runtime.max_failures_in_a_row:
            detail = f"{self._given_up_in_a_row} questions in a row were given up, the last for {problem}"
            self.stop = Problem(Fault.STOPPED, detail)
        return problem

    def _dialect_for(self, talk: _Talk) -> Dialect:
        """A model that keeps failing under a schema gets its last chance without one."""
        dialect = talk.dialect or self._traits.dialect
        is_last = 0 < talk.bad_answers == self._runtime.max_bad_answers - 1
        return dialect._replace(is_structured=False) if is_last else dialect

    def _pause_seconds(self, tries: int) -> float:
        longest = min(self._runtime.max_backoff_seconds, self._runtime.backoff_seconds * 2 ** (min(tries, 30) - 1))
        return self._random.uniform(0, longest)


def _is_thinking(request: CompletionRequest, completion: Completion) -> bool:
    """Whether an answer was cut off before it began: then the model needs more room, and did not ramble."""
    problem = request.judge(completion.answer)
    return not completion.answer.strip() or (problem is not None and problem.fault is Fault.CUT_OFF)


def _still_away(problem: Problem, waited: float) -> Problem:
    return Problem(problem.fault, f"after {waited:.0f} s (max_start_seconds) the server still says: {problem.detail}")
