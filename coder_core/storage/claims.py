"""Claims: of several runs over one store exactly one works on a thing, also when the one before it died.

A claim is a file that only one process can create (the store's write-once create). Its holder renews it while it works
and releases it in the end. One that was not renewed for `CLAIM_SECONDS`, or whose process is gone from this machine, is
taken over by creating the claim with the next number: again only one process can. Whoever was taken for dead and was
not finds the next number when it renews, and leaves the work alone. Whoever waits also counts by a clock of its own:
two machines need not agree on the time, and a clock may jump.
"""

import os
import socket
import time
import uuid
from datetime import UTC, datetime
from functools import cache

import psutil
from pydantic import BaseModel, ConfigDict, ValidationError

from coder_core.storage.refusals import NotInStoreError
from coder_core.storage.store import Store

__all__ = ["CLAIM_SECONDS", "Claim"]

CLAIM_SECONDS = 900.0
"""When a holder counts as dead that has not been heard of: longer than the longest call that it waits for."""
BATCH_CLAIMS = "batches/claims"
"""Below the folder of the batches, which care of the store knows and leaves alone."""


def now() -> datetime:
    """The time that claims carry."""
    return datetime.now(UTC)


class _Holder(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    holder: str
    machine: str
    process: str
    renewed_at: datetime
    is_released: bool = False


class Claim:
    """The right to work on one thing.

    Args:
        store: Where claims are.
        name: What is claimed; a file name.
        seconds: When a holder that was not heard of counts as dead.
        folder: Where claims of this sort are, relative to the store.
    """

    def __init__(self, store: Store, name: str, *, seconds: float = CLAIM_SECONDS, folder: str = BATCH_CLAIMS) -> None:
        self._store = store
        self._folder = f"{folder}/{name}"
        self._seconds = seconds
        self._holder = uuid.uuid4().hex
        self._number = 0
        self._renewed_at = now()
        self._seen: tuple[int, datetime] | None = None
        self._seen_since = 0.0

    @property
    def holder(self) -> str:
        """The name under which this one holds it."""
        return self._holder

    def held_by(self) -> str | None:
        """Who holds it now; None where nobody does who is alive."""
        last = self._last_number()
        found = self._find_holder(last) if last else None
        return found.holder if found is not None else None

    def acquire(self) -> bool:
        """Take the claim; False while somebody else holds it."""
        last = self._last_number()
        if last and self._find_holder(last) is not None:
            return False
        if not self._store.create_bytes(self._path(last + 1), self._content()):
            return False
        self._number = last + 1
        return True

    def renew(self) -> bool:
        """Say that its holder is alive; False when it was taken over."""
        if self._store.exists(self._path(self._number + 1)):
            return False
        if (now() - self._renewed_at).total_seconds() >= self._seconds / 10:
            self._store.write_bytes(self._path(self._number), self._content())
        return True

    def release(self) -> None:
        """Let others have it."""
        if self._number and not self._store.exists(self._path(self._number + 1)):
            self._store.write_bytes(self._path(self._number), self._content(is_released=True))
        self._number = 0

    def remove(self) -> None:
        """Let others have it, and leave nothing: for work that does no harm when it is done twice."""
        numbers = range(max(1, self._number - 1), self._number + 1) if self._number else ()
        for number in numbers:
            self._store.delete(self._path(number))
        self._number = 0

    def _last_number(self) -> int:
        names = [path.rpartition("/")[2].partition(".")[0] for path in self._store.list(self._folder)]
        return max((int(name) for name in names if name.isdecimal()), default=0)

    def _find_holder(self, number: int) -> _Holder | None:
        try:
            last = _Holder.model_validate_json(self._store.read_bytes(self._path(number)))
        except (ValidationError, NotInStoreError):
            return None  # a damaged claim binds nobody, and one that is gone has just been given back
        age = max((now() - last.renewed_at).total_seconds(), self._unchanged_seconds(number, last.renewed_at))
        is_gone = last.machine == _machine() and not _is_running(last.process)
        return None if last.is_released or is_gone or age > self._seconds else last

    def _unchanged_seconds(self, number: int, renewed_at: datetime) -> float:
        """How long this very claim has been looked at without a change, by this process's own clock."""
        if self._seen != (number, renewed_at):
            self._seen, self._seen_since = (number, renewed_at), time.monotonic()
        return time.monotonic() - self._seen_since

    def _content(self, *, is_released: bool = False) -> bytes:
        self._renewed_at = now()
        holder = _Holder(
            holder=self._holder,
            machine=_machine(),
            process=_process(os.getpid()),
            renewed_at=self._renewed_at,
            is_released=is_released,
        )
        return holder.model_dump_json(indent=1).encode()

    def _path(self, number: int) -> str:
        return f"{self._folder}/{number:06d}.json"


@cache
def _machine() -> str:
    return f"{socket.gethostname()}/{psutil.boot_time():.0f}"


def _process(number: int) -> str:
    """A process by number and start: numbers are used again."""
    return f"{number}/{psutil.Process(number).create_time():.2f}"


def _is_running(process: str) -> bool:
    try:
        return _process(int(process.partition("/")[0])) == process
    except (psutil.Error, ValueError):
        return False
