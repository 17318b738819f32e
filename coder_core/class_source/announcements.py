"""Which changes were announced already, so that a watcher that looks every minute does not start a run every minute.

A claim is a file `announcements/<evaluation>/<change>/<attempt>.json`, created once: of two watchers that look at the
same time exactly one gets it, and that one announces. A change is announced again when its run has ended without being
published (after 1, 2, 4, ... minutes, for a run that fails today mostly fails again), or when nobody knows of a run any
more after `EXPIRY`. Claims go when a published run has the change in it. One whose announcement nobody took is
withdrawn at once, so that the next look announces it.

Ages count in both directions: a clock that was set back makes a claim neither young for ever nor immortal.
"""

import json
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from coder_core.errors import StoreError
from coder_core.storage.store import Store

FOLDER = "announcements"
GRACE = timedelta(minutes=2)
"""From the event to a run that the server knows: measured 8 s on an idle server."""
FIRST_RETRY = timedelta(minutes=1)
EXPIRY = timedelta(hours=24)
"""A run that is still going after a day is taken for one that nobody will end; it can only be announced twice."""


class Claim(NamedTuple):
    """One announcement of a change.

    Args:
        attempt: From 1.
        announced_at: UTC.
    """

    attempt: int
    announced_at: datetime


class Announcements:
    """The announcements about one evaluation.

    Args:
        store: Where claims are kept.
        name: The evaluation.
    """

    def __init__(self, store: Store, name: str) -> None:
        self._store, self._folder = store, f"{FOLDER}/{name}"

    def latest(self, change_key: str) -> Claim | None:
        """The last announcement of a change; None where it was never announced."""
        paths = self._store.list(f"{self._folder}/{change_key}")
        claims = [self._read(path) for path in paths]
        return max(claims, default=None)

    def claim(self, change_key: str, last: Claim | None, *, now: datetime) -> Claim | None:
        """Take the announcement after the one that was seen last; None where another watcher was faster."""
        claim = Claim(attempt=last.attempt + 1 if last else 1, announced_at=now)
        content = json.dumps({"announced_at": now.astimezone(UTC).isoformat()}).encode("ascii")
        return claim if self._store.create_bytes(self._path(change_key, claim.attempt), content) else None

    def withdraw(self, change_key: str, attempt: int) -> None:
        """Take an announcement back that was claimed and could not be made."""
        self._store.delete(self._path(change_key, attempt))

    def clear(self) -> None:
        """Forget all: what was announced has been evaluated."""
        for path in self._store.list(self._folder):
            self._store.delete(path)

    def _path(self, change_key: str, attempt: int) -> str:
        return f"{self._folder}/{change_key}/{attempt:06d}.json"

    def _read(self, path: str) -> Claim:
        attempt = path.rpartition("/")[2].removesuffix(".json")
        try:
            announced_at = datetime.fromisoformat(json.loads(self._store.read_bytes(path))["announced_at"])
            return Claim(int(attempt), announced_at)
        except (ValueError, KeyError, TypeError) as error:
            remedy = "Delete it: the change is then announced again."
            raise StoreError(f"this is no announcement ({error}).", self._store.url(path), remedy) from error


def is_due(claim: Claim | None, *, now: datetime, is_under_way: bool) -> bool:
    """Whether a change is to be announced (again).

    Args:
        claim: Its last announcement.
        now: UTC.
        is_under_way: Whether a run of the evaluation is scheduled or going.
    """
    if claim is None:
        return True
    age = abs(now - claim.announced_at)
    if age >= EXPIRY:
        return True
    backoff = FIRST_RETRY * 2 ** min(claim.attempt - 1, 12)
    return not is_under_way and age >= max(GRACE, backoff)
