"""What servers say about their rate limits in HTTP headers. Pure.

OpenAI writes durations as `6m0s` or `20ms`, others in seconds, RFC 9110's `Retry-After` in seconds or as a date, and
Azure says -1 for "unknown". What cannot be read is taken for not said.
"""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple

__all__ = ["ServerLimit", "parse_seconds", "read_limit", "read_retry_after"]

_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_NUMBER = re.compile(r"\d{1,12}(?:\.\d{1,9})?")


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
