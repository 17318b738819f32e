"""The client: one question until it has a good answer, or a reason why not.

Every call takes its turn at the rate limiter and sets its worst cost aside. What may be cured by asking again is asked
again, after a pause of random length that doubles (the jitter keeps a storm from coming back as a storm): faults of the
line `max_attempts` times in all, bad answers `max_bad_answers` times. So the calls are bounded by the questions. What a
server can do is learnt from its answers: a 400 to a schema means lists from then on. The very first call goes alone, so
that a wrong key or a missing schema costs one call and not `concurrency` calls.
"""

import asyncio
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from coder_core.llm.chat_replies import Reply, read_answer
from coder_core.llm.chat_requests import CompletionRequest
from coder_core.llm.completion_ledger import Completion, FailedCompletion
from coder_core.llm.completions import Outcome, judge_answer
from coder_core.llm.dialects import Dialect, judge_refusal
from coder_core.llm.faults import BAD_ANSWERS, TRANSIENT, Fault, Problem
from coder_core.llm.llm_runtime import LlmRuntime
from coder_core.llm.pricing import Budget, BudgetSpentError, Price, count_message_tokens, worst_cost_usd
from coder_core.llm.rate_limits import RateLimiter, read_retry_after

if TYPE_CHECKING:
    from coder_core.llm.endpoint import Endpoint

__all__ = ["MAX_DOUBLINGS", "ChatClient"]

MAX_DOUBLINGS = 3
"""How often the longest answer is doubled after one was cut off."""


@dataclass
class _Talk:
    """One question's way to its answer."""

    request: CompletionRequest
    calls: int = 0
    cut_offs: int = 0
    completion: Completion | None = None
    failures: list[FailedCompletion] = field(default_factory=list)

    def outcome(self, problem: Problem | None) -> Outcome:
        return Outcome(self.completion, problem, tuple(self.failures), self.calls)


class ChatClient:
    """Asks one server about many things, within one event loop.

    Args:
        endpoint: The server.
        runtime: Limits, pauses and patience.
        price: What the model costs; None when unknown.
        budget: How much may be spent.
        dialect: What is known of the server from before.
    """

    def __init__(
        self,
        endpoint: "Endpoint",
        runtime: LlmRuntime,
        *,
        price: Price | None,
        budget: Budget,
        dialect: Dialect | None = None,
    ) -> None:
        self.dialect = dialect or Dialect()
        self.stop: Problem | None = None
        self._endpoint = endpoint
        self._runtime = runtime
        self._price = price
        self._budget = budget
        self._limiter = RateLimiter(
            requests_per_minute=runtime.requests_per_minute,
            tokens_per_minute=runtime.tokens_per_minute,
            max_wait_seconds=runtime.max_wait_seconds,
        )
        self._scout = asyncio.Lock()
        self._is_scouted = False
        self._given_up_in_a_row = 0
        self._random = random.SystemRandom()

    async def ask(self, request: CompletionRequest) -> Outcome:
        """Ask until there is a good answer or no hope of one."""
        talk = _Talk(request)
        while True:
            problem = await self._attempt(talk)
            if problem is None or not self._is_worth_another(talk, problem):
                self._note_end(problem)
                return talk.outcome(problem)
            if problem.fault in TRANSIENT:
                await asyncio.sleep(self._pause_seconds(talk.calls))

    async def _attempt(self, talk: _Talk) -> Problem | None:
        if not self._is_scouted:
            async with self._scout:
                if not self._is_scouted:
                    try:
                        return await self._attempt_now(talk)
                    finally:
                        self._is_scouted = True
        return await self._attempt_now(talk)

    async def _attempt_now(self, talk: _Talk) -> Problem | None:
        if self.stop is not None:
            return Problem(Fault.STOPPED, str(self.stop))
        dialect = self._dialect_for(talk)
        max_tokens = self._runtime.max_tokens * 2**talk.cut_offs
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
        if reply.status >= 300:
            return self._note_refusal(reply, dialect)
        return self._note_answer(talk, completion, problem)

    async def _exchange(
        self, talk: _Talk, body: dict[str, Any], max_tokens: int
    ) -> tuple[Reply, Completion | None, Problem | None]:
        prompt_tokens = count_message_tokens(body["messages"], is_structured="response_format" in body)
        await self._limiter.acquire(prompt_tokens + max_tokens)
        talk.calls += 1
        reply = await self._endpoint.complete(body)
        completion, problem = self._read(talk, reply, is_structured="response_format" in body)
        used = completion.prompt_tokens + completion.completion_tokens if completion else None
        self._limiter.release(prompt_tokens + max_tokens, used, reply.headers)
        return reply, completion, problem

    def _read(self, talk: _Talk, reply: Reply, *, is_structured: bool) -> tuple[Completion | None, Problem | None]:
        if reply.problem or reply.status >= 300:
            return None, reply.problem
        answer = read_answer(reply.text, hide=self._endpoint.hide_key)
        return judge_answer(talk.request, answer, self._price, is_structured=is_structured, attempt=talk.calls)

    def _note_answer(self, talk: _Talk, completion: Completion | None, problem: Problem | None) -> Problem | None:
        if completion is None:
            return problem
        if problem is None:
            talk.completion = completion
            return None
        talk.failures.append(FailedCompletion(completion, problem))
        if problem.fault is Fault.CUT_OFF:
            talk.cut_offs = min(talk.cut_offs + 1, MAX_DOUBLINGS)
        return problem

    def _note_refusal(self, reply: Reply, dialect: Dialect) -> Problem:
        retry_after = read_retry_after(reply.headers)
        verdict = judge_refusal(reply, dialect, has_key=self._endpoint.has_key, hide=self._endpoint.hide_key)
        if verdict.dialect is not None:
            if self.dialect == dialect:
                self.dialect = verdict.dialect
            return verdict.problem
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
        if self.stop is not None or talk.calls >= self._runtime.max_attempts:
            return False
        if problem.fault in BAD_ANSWERS:
            return len(talk.failures) < self._runtime.max_bad_answers
        return problem.fault in TRANSIENT or problem.fault is Fault.DIALECT

    def _note_end(self, problem: Problem | None) -> None:
        """Stop asking a server that answers nobody."""
        self._given_up_in_a_row = 0 if problem is None else self._given_up_in_a_row + 1
        if problem is not None and self.stop is None and self._given_up_in_a_row >= self._runtime.max_failures_in_a_row:
            detail = f"{self._given_up_in_a_row} questions in a row were given up, the last for {problem}"
            self.stop = Problem(Fault.STOPPED, detail)

    def _dialect_for(self, talk: _Talk) -> Dialect:
        """A model that keeps failing under a schema gets its last chance without one."""
        is_last = len(talk.failures) > 0 and len(talk.failures) == self._runtime.max_bad_answers - 1
        return self.dialect._replace(is_structured=False) if is_last else self.dialect

    def _pause_seconds(self, calls: int) -> float:
        longest = min(self._runtime.max_backoff_seconds, self._runtime.backoff_seconds * 2 ** (calls - 1))
        return self._random.uniform(0, longest)
