"""Leases: of several runs that want to do one thing, one does it, and the others wait and find it done.

Work that only overlaps is shared piece by piece (`shared_work`), on top of these.

Nothing depends on them but effort: whatever is done twice is the same, and is stored once. So a lease that cannot be
had (a store without conditional writes, one that refuses) is done without, and said once. A holder renews its lease
while it works; one that dies is taken over, on the same machine at once, elsewhere after `LEASE_SECONDS`.
"""

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from uuid import uuid4

from coder_core.errors import StoreError
from coder_core.fingerprint import key_of
from coder_core.interruption import check_interruption, not_counted
from coder_core.limits import limit
from coder_core.storage.claims import Claim
from coder_core.storage.store import PROBE_PREFIX, Store

FOLDER = "leases"
LEASE_SECONDS = limit("CODER_LEASE_SECONDS", 60)
"""When a holder on another machine counts as dead that has not been heard of."""
FIRST_WAIT_SECONDS = 0.05
LONGEST_WAIT_SECONDS = 2.0
RENEWALS = 6
"""How often a holder is heard of before it would count as dead."""

logger = logging.getLogger(__name__)


@contextmanager
def leased(store: Store, things: Sequence[object], what: str) -> Iterator[None]:
    """Hold the leases of some things, waiting for whoever holds one; the wait can be interrupted.

    Args:
        store: Where the work goes.
        things: What is worked on, each anything that `key_of` takes; taken in one order by everybody.
        what: In words, for the log: `embedding 300 texts`.
    """
    if not has_conditional_writes(store):
        yield
        return
    with ExitStack() as held:
        for name in sorted({key_of(thing) for thing in things}):
            _hold(held, Claim(store, name, seconds=LEASE_SECONDS, folder=FOLDER), what)
        yield


@lru_cache(maxsize=64)
def has_conditional_writes(store: Store) -> bool:
    """Whether of several writers who create a file exactly one is told so; a store that cannot is told of once."""
    if store.address.is_local:
        return True
    probe = f"{PROBE_PREFIX}{uuid4().hex}"
    try:
        can = store.create_bytes(probe, b"1") and not store.create_bytes(probe, b"2")
        store.delete(probe)
    except StoreError:
        can = False
    if not can:
        logger.warning("%s has no conditional writes: runs at the same time may do the same work twice", store.url())
    return can


def _hold(held: ExitStack, claim: Claim, what: str) -> None:
    try:
        _wait_for(claim, what)
    except StoreError as error:
        logger.warning("no lease, so another run may be %s, too: %s", what, error)
        return
    held.callback(give_back, claim)
    held.enter_context(renewing(claim))


def _wait_for(claim: Claim, what: str) -> None:
    pause, is_told = FIRST_WAIT_SECONDS, False
    sleeper = threading.Event()  # never set: a wait that nobody interrupts but the run itself
    while not claim.acquire():
        if not is_told:
            logger.info("another run is %s: waiting for it", what)
            is_told = True
        check_interruption()
        with not_counted():
            sleeper.wait(pause)
        pause = min(2 * pause, LONGEST_WAIT_SECONDS)
    check_interruption()


def give_back(claim: Claim) -> None:
    """Let others have a lease; where the store refuses, it expires."""
    try:
        claim.remove()
    except StoreError as error:  # it expires
        logger.debug("a lease was not given back: %s", error)


@contextmanager
def renewing(claim: Claim) -> Iterator[None]:
    """Renew a lease from another thread while the block works."""
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(LEASE_SECONDS / RENEWALS):
            try:
                if not claim.renew():
                    return
            except StoreError as error:  # the next try may pass
                logger.debug("a lease was not renewed: %s", error)

    thread = threading.Thread(target=renew, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
