"""Rate limits: what servers say about theirs, and token buckets for requests and for tokens per minute.

Headers: OpenAI writes durations as `6m0s` or `20ms`, others in seconds, RFC 9110's `Retry-After` in seconds or as a
date, and Azure says -1 for "unknown". What cannot be read is taken for absent.

Buckets: there are two of each, one holds what the user allows, the other what is left by the server's last word. A call
takes from all of them at once, so none runs dry while another is waited for. The server's word counts from the moment
it is spoken: `x-ratelimit-*` sets its bucket, `Retry-After` stops everybody, because limits belong to the account and
not to the call that happened to meet them.
"""

import asyncio
import logging
import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple

__all__ = ["Bucket", "RateLimitError", "RateLimiter", "ServerLimit", "parse_seconds", "read_limit", "read_retry_after"]

BURST_SECONDS = 1.0
"""How much of a minute's allowance may be spent at once: providers enforce per second what they quote per minute."""
_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_NUMBER = re.compile(r"\d{1,12}(?:\.\d{1,9})?")


_OWN_LIMIT = "requests_per_minute or tokens_per_minute is used up."
WORTH_TELLING_SECONDS = 5.0

logger = logging.getLogger(__name__)


class RateLimitError(Exception):
    """By the server's own words nothing can be asked for longer than the user is willing to wait."""


class ServerLimit(NamedTuple):
    """One limit as a server states it.

    Args:
        remaining: How much may be spent now.
        reset_seconds: Until the limit is whole again.
        limit: The whole.
    """

    remaining: float
    reset_seconds: float
    limit: float


def parse_seconds(text: str) -> float | None:
    """Read a duration: `1.5`, `20ms`, `6m0s`, `1h2m3s`; None when it is none."""
    stripped = text.strip().lower()
    if _NUMBER.fullmatch(stripped):
        return float(stripped)
    parts = list(_DURATION.finditer(stripped))
    if not parts or "".join(part[0] for part in parts) != stripped:
        return None
    return sum(float(part[1]) * _UNIT_SECONDS[part[2]] for part in parts)


def read_retry_after(headers: Mapping[str, str], *, now: datetime | None = None) -> float | None:
    """Read how long a server wants to be left alone, in seconds; None when it does not say.

    Args:
        headers: Names in lower case.
        now: The time, for a server that names a date; UTC.
    """
    milliseconds = parse_seconds(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    text = headers.get("retry-after", "")
    seconds = parse_seconds(text)
    return seconds if seconds is not None else _seconds_until(text, now or datetime.now(UTC))


def read_limit(headers: Mapping[str, str], what: str) -> ServerLimit | None:
    """Read the state of a limit.

    Args:
        headers: Names in lower case.
        what: `requests` or `tokens`.

    Returns:
        The limit, or None unless all three of its headers are there and make sense.
    """
    limit, remaining = (_count(headers.get(f"x-ratelimit-{part}-{what}", "")) for part in ("limit", "remaining"))
    reset_seconds = parse_seconds(headers.get(f"x-ratelimit-reset-{what}", ""))
    if limit is None or remaining is None or reset_seconds is None or limit <= 0:
        return None
    return ServerLimit(min(remaining, limit), reset_seconds, limit)


class Bucket:
    """So much per second, saved up to a capacity.

    A single demand above the capacity is let through when the bucket is full, and leaves a debt; so the average rate
    holds and nothing waits for ever.

    Args:
        rate: Refill per second.
        capacity: Most that is saved up.
        now: The time, in seconds.
    """

    def __init__(self, rate: float, capacity: float, now: float) -> None:
        self.rate = rate
        self.capacity = capacity
        self.level = capacity
        self._refilled_at = now

    def wait_seconds(self, amount: float, now: float) -> float:
        """How long until so much may be taken; 0 when it may be taken now."""
        self._refill(now)
        lacking = min(amount, self.capacity) - self.level
        if lacking <= 1e-9:
            return 0.0
        return lacking / self.rate if self.rate > 0 else float("inf")

    def take(self, amount: float) -> None:
        """Take it, whatever is there; a negative amount gives back."""
        self.level = min(self.capacity, self.level - amount)

    def set_state(self, limit: ServerLimit, now: float) -> None:
        """Believe the server: at most so much is left, and the rest comes back within the time it says."""
        self._refill(now)
        self.capacity = limit.limit
        self.level = min(self.level, limit.remaining)
        used = limit.limit - limit.remaining
        if limit.reset_seconds > 0 and used > 0:
            self.rate = used / limit.reset_seconds

    def _refill(self, now: float) -> None:
        self.level = min(self.capacity, self.level + self.rate * max(0.0, now - self._refilled_at))
        self._refilled_at = max(now, self._refilled_at)


class RateLimiter:
    """Lets calls through in the order in which they came, for one event loop.

    Args:
        requests_per_minute: The user's limit; None for none.
        tokens_per_minute: The user's limit; None for none.
        max_wait_seconds: Longest time that is waited because a server says that nothing is left.
    """

    def __init__(
        self,
        *,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        max_wait_seconds: float = 120.0,
    ) -> None:
        limits = {"requests": requests_per_minute, "tokens": tokens_per_minute}
        self._max_wait_seconds = max_wait_seconds
        self._user = {what: _minute_bucket(limit, _now()) for what, limit in limits.items()}
        self._server: dict[str, Bucket | None] = {"requests": None, "tokens": None}
        self._limits: dict[str, ServerLimit] = {}
        self._refusal: str | None = None
        self._free_at = 0.0
        self._under_way = 0
        self._turn = asyncio.Lock()

    async def acquire(self, tokens: float) -> None:
        """Wait until a call of so many tokens may be made.

        Raises:
            RateLimitError: By the server's own words that would take longer than `max_wait_seconds`.
        """
        if not self._turn.locked() and max(self._waits(tokens)) <= 0:
            self._take(tokens)
            return
        async with self._turn:
            patience_ends = _now() + self._max_wait_seconds
            is_told = False
            while max(waits := self._waits(tokens)) > 0:
                own, server = waits
                if self._refusal is not None or (server > 0 and _now() >= patience_ends):
                    self._refusal = self._refusal or self._reason(server)
                    raise RateLimitError(self._refusal)
                wait = max(own, min(server, patience_ends - _now()))
                if wait >= WORTH_TELLING_SECONDS and not is_told:
                    is_told = True
                    logger.warning("waiting %.0f s: %s", wait, self._reason(server) if server >= own else _OWN_LIMIT)
                await asyncio.sleep(wait)
            self._take(tokens)

    def release(self, reserved_tokens: float, used_tokens: float | None, headers: Mapping[str, str]) -> None:
        """Say that a call has ended, what it took, and what the server says is left.

        Args:
            reserved_tokens: What `acquire` was asked for.
            used_tokens: What it took; None when the server did not say.
            headers: The answer's headers, names in lower case; empty when there was no answer.
        """
        self._under_way -= 1
        bucket = self._user["tokens"]
        if bucket is not None and used_tokens is not None:
            bucket.take(used_tokens - reserved_tokens)
        for what in self._server if headers else ():
            self._believe(what, read_limit(headers, what))

    def pause(self, seconds: float) -> None:
        """Let nobody through for so long."""
        self._free_at = max(self._free_at, _now() + seconds)

    def _take(self, tokens: float) -> None:
        for buckets in (self._user, self._server):
            for what, bucket in _existing(buckets):
                bucket.take(_amount(what, tokens))
        self._under_way += 1

    def _believe(self, what: str, limit: ServerLimit | None) -> None:
        if limit is None:
            return
        self._limits[what] = limit
        now = _now()
        bucket = self._server[what]
        if bucket is not None:
            bucket.set_state(limit, now)
            return
        self._server[what] = first = Bucket(limit.limit / 60, limit.limit, now)
        first.set_state(limit, now)
        if what == "requests":
            first.take(self._under_way)  # the server has not counted these when it spoke

    def _waits(self, tokens: float) -> tuple[float, float]:
        """How long to wait for the user's limits, and for what the server says."""
        now = _now()
        own, server = (
            max((bucket.wait_seconds(_amount(what, tokens), now) for what, bucket in _existing(buckets)), default=0.0)
            for buckets in (self._user, self._server)
        )
        return own, max(server, self._free_at - now)

    def _reason(self, wait: float) -> str:
        emptiest = min(
            self._limits, key=lambda what: self._limits[what].remaining / self._limits[what].limit, default=""
        )
        if not emptiest:
            return f"the server wants to be left alone for {wait:.0f} s."
        left = self._limits[emptiest]
        return (
            f"the server says that {left.remaining:.0f} of {left.limit:.0f} {emptiest} are left, and that the others "
            f"come back within {left.reset_seconds:.0f} s (max_wait_seconds is {self._max_wait_seconds:g})."
        )


def _existing(buckets: Mapping[str, Bucket | None]) -> Iterator[tuple[str, Bucket]]:
    return ((what, bucket) for what, bucket in buckets.items() if bucket is not None)


def _amount(what: str, tokens: float) -> float:
    return 1 if what == "requests" else tokens


def _minute_bucket(per_minute: float | None, now: float) -> Bucket | None:
    if per_minute is None:
        return None
    return Bucket(per_minute / 60, max(1.0, per_minute / 60 * BURST_SECONDS), now)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _count(text: str) -> float | None:
    return float(text) if _NUMBER.fullmatch(text.strip()) else None


def _seconds_until(text: str, now: datetime) -> float | None:
    try:
        then = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    aware = then if then.tzinfo else then.replace(tzinfo=UTC)
    seconds = (aware - now).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None
