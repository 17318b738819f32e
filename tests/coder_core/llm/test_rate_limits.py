import asyncio
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coder_core.llm.rate_limits import (
    Bucket,
    RateLimiter,
    RateLimitError,
    ServerLimit,
    parse_seconds,
    read_limit,
    read_retry_after,
)
from tests.coder_core.llm.virtual_clock import run_virtually

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1", 1),
        ("0.25", 0.25),
        ("20ms", 0.02),
        ("6m0s", 360),
        ("1h2m3.5s", 3723.5),
        ("1d", 86_400),
        (" 7S ", 7),
        ("", None),
        ("-1", None),
        ("soon", None),
        ("1 hour", None),
        ("s1", None),
        ("nan", None),
        ("1" * 40, None),
    ],
)
def test_durations(text: str, seconds: float | None) -> None:
    assert parse_seconds(text) == (seconds if seconds is None else pytest.approx(seconds))


def test_retry_after_is_read_in_every_form() -> None:
    assert read_retry_after({"retry-after": "3"}) == 3
    assert read_retry_after({"retry-after-ms": "250", "retry-after": "3"}) == 0.25
    assert read_retry_after({"retry-after": "Thu, 01 Jan 2026 12:00:30 GMT"}, now=NOW) == 30
    assert read_retry_after({"retry-after": "Thu, 01 Jan 2026 11:00:00 GMT"}, now=NOW) == 0
    assert read_retry_after({"retry-after": "later"}, now=NOW) is None
    assert read_retry_after({"retry-after": "Thu, 99 Jan 2026"}, now=NOW) is None
    assert read_retry_after({}, now=NOW) is None


def test_a_limit_is_believed_only_when_it_is_whole() -> None:
    headers = {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1s",
    }
    assert read_limit(headers, "requests") == ServerLimit(59, 1, 60)
    assert read_limit(headers, "tokens") is None
    assert read_limit({**headers, "x-ratelimit-limit-requests": "-1"}, "requests") is None
    assert read_limit({**headers, "x-ratelimit-limit-requests": "0"}, "requests") is None
    assert read_limit({**headers, "x-ratelimit-remaining-requests": "99"}, "requests") == ServerLimit(60, 1, 60)


async def _call_times(limiter: RateLimiter, calls: int, tokens: float = 0) -> list[float]:
    loop = asyncio.get_running_loop()
    times: list[float] = []

    async def call() -> None:
        await limiter.acquire(tokens)
        times.append(loop.time() - 1_000)

    await asyncio.gather(*(call() for _ in range(calls)))
    return times


@given(
    st.floats(min_value=1, max_value=6_000),
    st.integers(min_value=1, max_value=80),
    st.floats(min_value=0.05, max_value=60),
)
@settings(max_examples=40, deadline=None)
def test_in_no_window_are_there_more_calls_than_the_rate_and_one_burst(rate: float, calls: int, window: float) -> None:
    async def run() -> list[float]:
        return await _call_times(RateLimiter(requests_per_minute=rate), calls)

    times = run_virtually(run())
    burst = max(1.0, rate / 60)
    for start in times:
        inside = sum(start <= time < start + window for time in times)
        assert inside <= rate / 60 * window + burst + 1e-6 or inside == 1
    assert times[-1] <= calls / (rate / 60) + 1  # and it is not slower than it must be


def test_tokens_are_limited_too_and_what_was_not_used_comes_back() -> None:
    async def run(used: float | None) -> float:
        limiter = RateLimiter(tokens_per_minute=6_000)
        for _ in range(10):
            await limiter.acquire(1_000)
            limiter.release(1_000, used, {})
        return asyncio.get_running_loop().time() - 1_000

    assert run_virtually(run(None)) == pytest.approx(90, rel=0.02)
    assert run_virtually(run(100)) == pytest.approx(9, rel=0.2)


def test_a_demand_above_the_capacity_is_let_through_and_paid_back() -> None:
    bucket = Bucket(rate=10, capacity=10, now=0)
    assert bucket.wait_seconds(100, 0) == 0
    bucket.take(100)
    assert bucket.wait_seconds(10, 0) == pytest.approx(10)
    assert bucket.wait_seconds(10, 5) == pytest.approx(5)


def test_the_server_says_when_nothing_is_left() -> None:
    async def run() -> list[float]:
        limiter = RateLimiter()
        await limiter.acquire(10)
        headers = {"limit": "60", "remaining": "0", "reset": "30s"}
        limiter.release(10, 10, {f"x-ratelimit-{part}-requests": value for part, value in headers.items()})
        return await _call_times(limiter, 4)

    assert run_virtually(run()) == pytest.approx([0.5, 1.0, 1.5, 2.0])


def test_what_is_under_way_counts_against_what_the_server_says_is_left() -> None:
    async def run() -> list[float]:
        limiter = RateLimiter()
        for _ in range(5):
            await limiter.acquire(10)
        headers = {"limit": "60", "remaining": "6", "reset": "54s"}
        limiter.release(10, 10, {f"x-ratelimit-{part}-requests": value for part, value in headers.items()})
        return await _call_times(limiter, 4)

    assert run_virtually(run()) == pytest.approx([0, 0, 1, 2])


def test_everybody_waits_when_the_server_wants_to_be_left_alone() -> None:
    async def run() -> list[float]:
        limiter = RateLimiter()
        limiter.pause(7)
        return await _call_times(limiter, 3)

    assert run_virtually(run()) == pytest.approx([7, 7, 7])


def test_a_server_that_says_never_is_believed_after_a_while(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> tuple[list[BaseException | None], float]:
        limiter = RateLimiter(max_wait_seconds=20)
        await limiter.acquire(1)
        headers = {"limit": "1", "remaining": "0", "reset": "99999h"}
        limiter.release(1, 1, {f"x-ratelimit-{part}-requests": value for part, value in headers.items()})
        ends = await asyncio.gather(*(limiter.acquire(1) for _ in range(5)), return_exceptions=True)
        return ends, asyncio.get_running_loop().time() - 1_000

    ends, seconds = run_virtually(run())
    assert seconds == pytest.approx(20)  # all of them together
    assert all(isinstance(end, RateLimitError) for end in ends)
    assert "0 of 1 requests are left" in str(ends[0])
    assert "max_wait_seconds is 20" in str(ends[0])
    [told] = caplog.messages
    assert told.startswith("waiting 20 s: the server says")


def test_a_wait_within_patience_is_told_and_ends(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> list[float]:
        limiter = RateLimiter(max_wait_seconds=20)
        await limiter.acquire(1)
        headers = {"limit": "6", "remaining": "0", "reset": "60s"}
        limiter.release(1, 1, {f"x-ratelimit-{part}-requests": value for part, value in headers.items()})
        return await _call_times(limiter, 2)

    assert run_virtually(run()) == pytest.approx([10, 20])
    assert len(caplog.messages) == 2
