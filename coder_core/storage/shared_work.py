"""Shared work: of several runs over one store whose work overlaps, each piece is done by one of them.

Before a run makes something it writes down what: the pieces that it lacks and that nobody else has written down. It
makes those, takes its note back, and only then waits for what others are making. Nobody waits while something of its
own is undone, and nobody who waits holds anything, so no circle of waiting can close; two runs that share nothing do
not wait for each other at all. Where somebody died, was interrupted or failed, the pieces are written down by who
waited for them.

A note is a `Claim` (`leases/<scope>/<slot>/000001.json`), so it is renewed, expires and is taken over as a lease is;
beside it lie hashes of the keys, eight bytes each. Two keys of one hash cost a wait, and nothing else.
"""

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from coder_core.errors import StoreError
from coder_core.fingerprint import key_of
from coder_core.interruption import check_interruption, not_counted
from coder_core.storage import leases
from coder_core.storage.claims import Claim
from coder_core.storage.refusals import NotInStoreError
from coder_core.storage.store import Store

__all__ = ["Work", "share_work"]

HASH_BYTES = 8
KEYS = "keys-"
"""How the file with the hashes begins, before the name of their holder."""
LOOK_SHARE = 0.1
"""Of the time of a wait, at most so much is spent on looking."""

logger = logging.getLogger(__name__)


class Work(NamedTuple):
    """What a run wants to have in a store.

    Attributes:
        what: In words, for the log: `embedding texts`.
        pieces: What can be made by itself -> the keys of what it makes. Two that share a key are not made at once.
        lacking: Of some pieces, those that the store does not hold now.
        make: Makes some pieces and stores them; False ends everything. What it leaves undone is not made again.
    """

    what: str
    pieces: Mapping[str, Sequence[str]]
    lacking: Callable[[list[str]], Collection[str]]
    make: Callable[[list[str]], object]

    def left_of(self, names: Iterable[str]) -> list[str]:
        """What of some pieces is lacking now, in order."""
        asked = list(names)
        lacking = frozenset(self.lacking(asked)) if asked else frozenset()
        return [name for name in asked if name in lacking]


def share_work(store: Store, scope: Sequence[str], work: Work) -> None:
    """Have everything made that is lacking: here what nobody else is making, elsewhere the rest.

    Args:
        store: Where the work goes.
        scope: What kind of work, and for whom: `["embed_texts", encoder.key]`. Keys are compared within it.
        work: What is wanted.

    Raises:
        InterruptedWorkError: The run has ended while it waited for another one.
    """
    left = work.left_of(work.pieces)
    if not left:
        return
    if not leases.has_conditional_writes(store):
        work.make(left)
        return
    board = _Board(store, key_of(["shared", *scope]), work)
    while left:
        with board.writing_down(left) as mine:
            if mine and work.make(mine) is False:
                return
        made = frozenset(mine)
        left = board.wait_until_free([name for name in left if name not in made])


class _Board:
    """The notes of one kind of work in one store."""

    def __init__(self, store: Store, scope: str, work: Work) -> None:
        self._store, self._scope, self._work = store, scope, work
        self._folder = f"{leases.FOLDER}/{scope}"
        self._claims: dict[int, Claim] = {}
        self._hashes: dict[str, frozenset[bytes]] = {}
        self._is_refused = False

    def wait_until_free(self, names: list[str]) -> list[str]:
        """Wait until something of what is still lacking is free, and give all that is; nothing once all is there."""
        pause, is_told, left = leases.FIRST_WAIT_SECONDS, False, names
        while left:
            started = time.monotonic()
            others = self._others()  # before what is left: what they end in between is not left any more
            left = self._work.left_of(left)
            if not left or self._free(left, others):
                break
            if not is_told:
                told = "another run is %s, %d of which are wanted here, too: waiting for it"
                logger.info(told, self._work.what, len(left))
                is_told = True
            _sleep(max(pause, (time.monotonic() - started) / LOOK_SHARE))
            pause = min(2 * pause, leases.LONGEST_WAIT_SECONDS)
        return left

    @contextmanager
    def writing_down(self, left: list[str]) -> Iterator[list[str]]:
        """Write down what is left and free, and give its names; taken back when the block ends."""
        with ExitStack() as held:
            choosing = f"choosing its share of {self._work.what}"
            with leases.leased(self._store, [["shared", self._scope]], choosing):
                others = self._others()
                mine = self._free(self._work.left_of(left), others)
                try:
                    self._write_down(held, {_hash(key) for name in mine for key in self._work.pieces[name]})
                except StoreError as error:
                    self._go_without(error)
            yield mine

    def _free(self, names: list[str], others: Set[bytes]) -> list[str]:
        if not others:
            return names
        return [name for name in names if others.isdisjoint(map(_hash, self._work.pieces[name]))]

    def _go_without(self, error: StoreError) -> None:
        if not self._is_refused:
            logger.warning("no lease, so another run may be %s, too: %s", self._work.what, error)
        self._is_refused = True

    def _write_down(self, held: ExitStack, hashes: Set[bytes]) -> None:
        if not hashes:
            return
        slot = 0
        while not (claim := self._claim(slot)).acquire():
            slot += 1
        del self._claims[slot]  # this run's own now: the next look is through another one
        folder = f"{self._folder}/{slot}"
        held.callback(leases.give_back, claim)
        held.callback(_delete_quietly, self._store, f"{folder}/{KEYS}{claim.holder}")
        held.enter_context(leases.renewing(claim))
        for left_behind in self._store.list(folder):
            if left_behind.startswith(f"{folder}/{KEYS}"):  # by one that died
                self._store.delete(left_behind)
        self._store.write_bytes(f"{folder}/{KEYS}{claim.holder}", b"".join(sorted(hashes)))

    def _others(self) -> frozenset[bytes]:
        """Hashes of everything that others are making now; nothing where the store refuses to tell."""
        if self._is_refused:
            return frozenset()
        try:
            slots = {path.split("/")[2] for path in self._store.list(self._folder)}
            return frozenset().union(*(self._hashes_of(int(slot)) for slot in slots if slot.isdecimal()))
        except StoreError as error:
            self._go_without(error)
            return frozenset()

    def _hashes_of(self, slot: int) -> frozenset[bytes]:
        holder = self._claim(slot).held_by()
        if holder is None:
            return frozenset()
        if holder not in self._hashes:
            try:
                content = self._store.read_bytes(f"{self._folder}/{slot}/{KEYS}{holder}")
            except NotInStoreError:  # just begun, which the look before writing down sees, or just given back
                return frozenset()
            parts = range(0, len(content), HASH_BYTES)
            self._hashes[holder] = frozenset(content[at : at + HASH_BYTES] for at in parts)
        return self._hashes[holder]

    def _claim(self, slot: int) -> Claim:
        """A slot as this run sees it; kept, because it counts how long a note has not changed."""
        new = Claim(self._store, str(slot), seconds=leases.LEASE_SECONDS, folder=self._folder)
        return self._claims.setdefault(slot, new)


def _hash(key: str) -> bytes:
    return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=HASH_BYTES).digest()


def _sleep(seconds: float) -> None:
    sleeper = threading.Event()  # never set: a wait that nobody interrupts but the run itself
    with not_counted():
        check_interruption()
        sleeper.wait(seconds)
    check_interruption()


def _delete_quietly(store: Store, path: str) -> None:
    try:
        store.delete(path)
    except StoreError as error:  # the note beside it expires, and then nobody reads this
        logger.debug("a note was not taken back: %s", error)
