"""Where keys stand: 128 bits of every key in sorted runs, so that a look among ten million costs microseconds.

Keys are sha256 sums in hexadecimal; their first 32 digits are taken as two 64-bit numbers (two of ten million agree in
all 128 bits with a probability of 1e-25). What is added becomes a sorted run; runs of similar size are merged, as a
log-structured merge tree does, so that n keys cost O(n log n) in all however they arrive, and 24 bytes each.
"""

import hashlib
from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from jaxtyping import Int, UInt64

DIGITS = 32
"""Hexadecimal digits of a key that are compared."""
KEY_CHARACTERS = 64

_NIBBLES = np.full(256, 255, dtype=np.uint8)
_NIBBLES[[ord(digit) for digit in "0123456789abcdef"]] = range(16)


class Digests(NamedTuple):
    """The first 128 bits of some keys, as two numbers each."""

    high: UInt64[np.ndarray, " keys"]
    low: UInt64[np.ndarray, " keys"]


class Places(NamedTuple):
    """Where asked keys stand: number of the part and row within it; -1 where the key is not known."""

    parts: Int[np.ndarray, " keys"]
    rows: Int[np.ndarray, " keys"]


class Run(NamedTuple):
    """Keys, with their places; within an index in the order of their high number."""

    high: UInt64[np.ndarray, " keys"]
    low: UInt64[np.ndarray, " keys"]
    parts: Int[np.ndarray, " keys"]
    rows: Int[np.ndarray, " keys"]


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
        while len(runs) > 1 and 2 * len(runs[-1].high) >= len(runs[-2].high):
            runs[-2:] = [_merged(runs[-2:])]
        return KeyIndex(runs)

    def drop(self, numbers: Collection[int]) -> "KeyIndex":
        """Return an index that knows nothing of some parts."""
        gone = np.array(sorted(numbers), dtype=np.int64)
        kept = (Run(*(column[~np.isin(run.parts, gone)] for column in run)) for run in self._runs)
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
    digits = _hexadecimal(keys)
    if digits is None:
        keys = pa.array([_normal_key(key) for key in keys.to_pylist()], type=pa.string())
        digits = _hexadecimal(keys)
    assert digits is not None  # noqa: S101 - by construction
    nibbles = _NIBBLES[digits[:, :DIGITS]]
    numbers = np.ascontiguousarray(nibbles[:, 0::2] << 4 | nibbles[:, 1::2]).view(">u8").astype(np.uint64)
    return Digests(np.ascontiguousarray(numbers[:, 0]), np.ascontiguousarray(numbers[:, 1]))


def _hexadecimal(keys: pa.Array) -> np.ndarray | None:
    """The characters of keys that are all 64 hexadecimal digits, `(keys, 64)`, without a copy; else None."""
    _, offsets, characters = keys.buffers()
    bounds = np.frombuffer(offsets, dtype=np.int32)[keys.offset : keys.offset + len(keys) + 1]
    if bounds[-1] - bounds[0] != KEY_CHARACTERS * len(keys) or (np.diff(bounds) != KEY_CHARACTERS).any():
        return None
    table = np.frombuffer(characters, dtype=np.uint8)[bounds[0] : bounds[-1]].reshape(len(keys), KEY_CHARACTERS)
    return None if (_NIBBLES[table] == 255).any() else table


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
    """One sorted run of several, column by column: of ten million keys the whole is 240 MB."""
    order = np.argsort(np.concatenate([run.high for run in runs]), kind="stable")
    return Run(*(np.concatenate(columns)[order] for columns in zip(*runs, strict=True)))


def _find(run: Run, asked: Digests) -> tuple[Int[np.ndarray, " found"], Int[np.ndarray, " found"]]:
    """Which asked keys the run holds, and where in it. Equal high numbers stand side by side: each is looked at."""
    slots = np.argsort(asked.high)  # in their order, so that each search begins where memory was just read
    places = np.searchsorted(run.high, asked.high[slots])
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
