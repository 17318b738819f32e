"""Where keys stand: 128 bits of every key in sorted runs, so that a look among ten million costs as one among few.

Keys are sha256 sums in hexadecimal; their first 32 digits are taken as two 64-bit numbers (two of ten million agree in
all 128 bits with a probability of 1e-25). What is added becomes a sorted run; runs of similar size are merged, as a
log-structured merge tree does, so that n keys cost O(n log n) in all however they arrive, and 25 bytes each.
Such sums are spread evenly, so the first bits of one say nearly where it stands: no search halves its way through a
run, which would miss the processor's cache at every step.
"""

import binascii
import hashlib
from collections.abc import Collection, Sequence
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
from jaxtyping import Int, UInt8, UInt32, UInt64

DIGITS = 32
"""Hexadecimal digits of a key that are compared."""
KEY_CHARACTERS = 64
BUCKET_KEYS = 4
"""Keys of a run, about, that share the bits by which they are looked for."""
BUCKETS_AT_ONCE = 65_536
"""Buckets whose beginnings are looked for at a time."""
LONGEST_BUCKET = 64
"""Keys that share those bits, at most: sums are never so uneven, and other keys are searched by halving."""


class Digests(NamedTuple):
    """The first 128 bits of some keys, as two numbers each."""

    high: UInt64[np.ndarray, " keys"]
    low: UInt64[np.ndarray, " keys"]


class Places(NamedTuple):
    """Where asked keys stand: number of the part and row within it; -1 where the key is not known."""

    parts: Int[np.ndarray, " keys"]
    rows: Int[np.ndarray, " keys"]


class Run(NamedTuple):
    """Keys, with their places.

    Args:
        high: The first 64 bits; within an index in ascending order.
        low: The next 64.
        parts: Number of the part of each.
        rows: Row within that part.
        starts: Where the keys begin whose first bits are a number, for each such number; None where they are uneven.
    """

    high: UInt64[np.ndarray, " keys"]
    low: UInt64[np.ndarray, " keys"]
    parts: Int[np.ndarray, " keys"]
    rows: Int[np.ndarray, " keys"]
    starts: UInt32[np.ndarray, " buckets"] | None = None

    @property
    def columns(self) -> "tuple[np.ndarray, ...]":
        """What there is of every key."""
        return self[:4]


class KeyIndex:
    """Finds keys in parts that are known by number. Adding and dropping give a new index; looking changes nothing."""

    def __init__(self, runs: Sequence[Run] = ()) -> None:
        self._runs = tuple(runs)

    def __len__(self) -> int:
        return sum(len(run.high) for run in self._runs)

    def add(self, parts: Sequence[Run]) -> "KeyIndex":
        """Return an index that also knows the keys of some parts, each as `run_of` gives them."""
        added = [run for run in parts if len(run.high)]
        if not added:
            return self
        runs = [*self._runs, _merged(added)]
        while len(runs) > 1 and len(runs[-1].high) >= len(runs[-2].high):
            runs[-2:] = [_merged(runs[-2:])]
        return KeyIndex(runs)

    def drop(self, numbers: Collection[int]) -> "KeyIndex":
        """Return an index that knows nothing of some parts."""
        gone = np.array(sorted(numbers), dtype=np.int64)
        kept = (_sorted_run([column[~np.isin(run.parts, gone)] for column in run.columns]) for run in self._runs)
        return KeyIndex([run for run in kept if len(run.high)])

    def locate(self, keys: pa.Array) -> Places:
        """Find keys; of several parts that hold one, any answers."""
        digests = digest_keys(keys)
        parts = np.full(len(keys), -1, dtype=np.int64)
        rows = np.full(len(keys), -1, dtype=np.int64)
        for run in self._runs:
            open_slots = np.flatnonzero(parts < 0)
            found, places = _find(run, Digests(digests.high[open_slots], digests.low[open_slots]))
            parts[open_slots[found]] = run.parts[places]
            rows[open_slots[found]] = run.rows[places]
        return Places(parts, rows)


def digest_keys(keys: pa.Array) -> Digests:
    """Take the first 128 bits of keys; what is no sha256 sum in hexadecimal is hashed first."""
    if not len(keys):
        return Digests(np.empty(0, np.uint64), np.empty(0, np.uint64))
    values = _hexadecimal(keys)
    if values is None:
        keys = pa.array([_normal_key(key) for key in keys.to_pylist()], type=pa.string())
        values = _hexadecimal(keys)
    assert values is not None  # noqa: S101 - by construction
    numbers = np.ascontiguousarray(values[:, : DIGITS // 2]).view(">u8").astype(np.uint64)
    return Digests(np.ascontiguousarray(numbers[:, 0]), np.ascontiguousarray(numbers[:, 1]))


def _hexadecimal(keys: pa.Array) -> UInt8[np.ndarray, "keys bytes"] | None:
    """The bytes of keys that are all 64 hexadecimal digits; else None."""
    _, offsets, characters = keys.buffers()
    bounds = np.frombuffer(offsets, dtype=np.int32)[keys.offset : keys.offset + len(keys) + 1]
    if bounds[-1] - bounds[0] != KEY_CHARACTERS * len(keys) or (np.diff(bounds) != KEY_CHARACTERS).any():
        return None
    content = memoryview(characters)[bounds[0] : bounds[-1]]
    if (np.frombuffer(content, dtype=np.uint8) & 0x60 == 0x40).any():  # capitals, which stand for the same numbers
        return None
    try:
        return np.frombuffer(binascii.unhexlify(content), dtype=np.uint8).reshape(len(keys), KEY_CHARACTERS // 2)
    except binascii.Error:
        return None


def _normal_key(key: str) -> str:
    is_hash = len(key) == KEY_CHARACTERS and set(key) <= set("0123456789abcdef")
    return key if is_hash else hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def run_of(number: int, keys: pa.Array) -> Run:
    """The keys of one part, in its order.

    Args:
        number: Of the part.
        keys: Its key column, without nulls.
    """
    digests = digest_keys(keys)
    return Run(*digests, np.full(len(keys), number, dtype=np.int32), np.arange(len(keys), dtype=np.int32))


def _merged(runs: Sequence[Run]) -> Run:
    """One sorted run of several, column by column: of ten million keys the whole is 250 MB."""
    kind: Literal["stable", "quicksort"] = "stable" if len(runs) == 2 else "quicksort"  # stable finds two sorted halves
    order = np.argsort(np.concatenate([run.high for run in runs]), kind=kind)
    return _sorted_run([np.concatenate(columns)[order] for columns in zip(*(run.columns for run in runs), strict=True)])


def _sorted_run(columns: "Sequence[np.ndarray]") -> Run:
    """A run of columns whose first is in order, and where its buckets begin."""
    high = columns[0]
    bits = max(0, (len(high) // BUCKET_KEYS).bit_length() - 1)
    starts = np.full(2**bits + 1, len(high), dtype=np.uint32)
    for first in range(0, 2**bits if bits else 0, BUCKETS_AT_ONCE):
        numbers = np.arange(first, min(first + BUCKETS_AT_ONCE, 2**bits), dtype=np.uint64) << np.uint64(64 - bits)
        starts[first : first + len(numbers)] = np.searchsorted(high, numbers)
    starts[0] = 0
    high, low, parts, rows = columns
    return Run(high, low, parts, rows, starts if np.diff(starts).max() <= LONGEST_BUCKET else None)


def _first_bits(high: UInt64[np.ndarray, " keys"], bits: int) -> Int[np.ndarray, " keys"]:
    """The number that the first bits are; of none 0."""
    return np.asarray((high >> np.uint64(64 - bits)).astype(np.int64) if bits else np.zeros(len(high), dtype=np.int64))


def _places_of(run: Run, high: UInt64[np.ndarray, " keys"]) -> Int[np.ndarray, " keys"]:
    """Where in a run the first number stands that is not below each of some, which are in order."""
    if run.starts is None:
        return np.asarray(np.searchsorted(run.high, high), dtype=np.int64)
    bits = (len(run.starts) - 1).bit_length() - 1
    places: Int[np.ndarray, " keys"] = run.starts[_first_bits(high, bits)].astype(np.int64)
    behind = np.arange(len(high))
    while len(behind):
        behind = behind[places[behind] < len(run.high)]
        behind = behind[run.high[places[behind]] < high[behind]]
        places[behind] += 1
    return places


def _find(run: Run, asked: Digests) -> tuple[Int[np.ndarray, " found"], Int[np.ndarray, " found"]]:
    """Which asked keys the run holds, and where in it. Equal high numbers stand side by side: each is looked at."""
    slots = np.argsort(asked.high)  # in their order, so that each search begins where memory was just read
    places = _places_of(run, asked.high[slots])
    found_slots, found_places = [], []
    while len(slots):
        is_within = places < len(run.high)
        slots, places = slots[is_within], places[is_within]
        is_level = run.high[places] == asked.high[slots]
        slots, places = slots[is_level], places[is_level]
        is_same = run.low[places] == asked.low[slots]
        found_slots.append(slots[is_same])
        found_places.append(places[is_same])
        slots, places = slots[~is_same], places[~is_same] + 1
    empty = np.empty(0, dtype=np.int64)
    return np.concatenate([empty, *found_slots]), np.concatenate([empty, *found_places])
