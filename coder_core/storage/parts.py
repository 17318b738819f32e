"""The parts of one ledger partition and the index of their keys.

Parts are immutable and named by the hash of their content, so what is known about a part stays true for ever and is
cached by name: a refresh lists the folder and reads the key column of new parts only. The keys stay Arrow strings
(about 70 bytes each); looking up a million of them is one hash join and takes a fraction of a second.
"""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int

from coder_core.storage.ledger_damage import KEY, watched_part
from coder_core.storage.refusals import NotInStoreError, UnexpectedContentError
from coder_core.storage.store import Store
from coder_core.storage.tables import open_parquet

READERS = 8
"""Key columns read at once: on S3 a part costs a few round trips, and they overlap."""

REFRESH_ROUNDS = 10
"""How often parts are listed again when one is compacted away while it is being read."""


class Hit(NamedTuple):
    """Where asked keys stand in one part: `rows[i]` of the part answers request `slots[i]`."""

    part: str
    slots: Int[np.ndarray, " hits"]
    rows: Int[np.ndarray, " hits"]


class PartIndex:
    """Which key stands in which row of which part.

    Args:
        store: Where the parts are.
        folder: The folder of the partition, relative to the store.
    """

    def __init__(self, store: Store, folder: str) -> None:
        self.store = store
        self.folder = folder
        self._keys_by_part: dict[str, pa.Array] = {}
        self._lock = threading.Lock()
        self._is_loaded = False

    def __reduce__(self) -> tuple[type["PartIndex"], tuple[Store, str]]:
        """Travel without the cache."""
        return PartIndex, (self.store, self.folder)

    def parts(self) -> list[str]:
        """Name the known parts, sorted."""
        return sorted(self._keys_by_part)

    def row_count(self, part: str) -> int:
        """Count the rows of a known part."""
        return len(self._keys_by_part[part])

    def load(self) -> None:
        """Learn of the parts, unless that happened before."""
        if not self._is_loaded:
            self.refresh()

    def remember(self, part: str, keys: pa.ChunkedArray) -> None:
        """Add a part that this process has just written, which saves reading it back."""
        with self._lock:
            self._keys_by_part = self._keys_by_part | {part: _one_chunk(keys)}

    def refresh(self) -> None:
        """Learn of parts that were added or removed by anyone since the last call."""
        with self._lock:
            for last_round in [False] * (REFRESH_ROUNDS - 1) + [True]:
                try:
                    self._keys_by_part = self._read_index()
                except NotInStoreError:  # compacted away since it was listed: list again, its rows are elsewhere now
                    if last_round:
                        raise
                else:
                    break
            self._is_loaded = True

    def _read_index(self) -> dict[str, pa.Array]:
        present = [path for path in self.store.list(self.folder) if path.endswith(".parquet")]
        known = {part: self._keys_by_part[part] for part in present if part in self._keys_by_part}
        new = [part for part in present if part not in known]
        return known | dict(zip(new, self._read_keys(new), strict=True))

    def keys(self) -> pa.ChunkedArray:
        """Return the keys of all known parts, in the order of `parts()`; a key may occur in more than one part."""
        keys_by_part = dict(self._keys_by_part)
        return pa.chunked_array([keys_by_part[part] for part in sorted(keys_by_part)], type=pa.string())

    def locate(self, keys: Sequence[str]) -> tuple[list[Hit], Int[np.ndarray, " unknown"]]:
        """Find keys; of several parts that hold one, the first by name answers.

        Returns:
            The hits by part, in the order of parts; and the positions of the keys that no known part holds.
        """
        keys_by_part = dict(self._keys_by_part)
        parts = sorted(keys_by_part)
        rows = _first_rows(keys, pa.chunked_array([keys_by_part[part] for part in parts], type=pa.string()))
        ends = np.cumsum([len(keys_by_part[part]) for part in parts], dtype=np.int64)
        slots = np.flatnonzero(rows >= 0)
        return list(_hits_by_part(parts, ends, slots, rows[slots])), np.flatnonzero(rows < 0)

    def _read_keys(self, parts: list[str]) -> list[pa.Array]:
        if len(parts) < 2:
            return [self._read_part_keys(part) for part in parts]
        with ThreadPoolExecutor(READERS) as readers:
            return list(readers.map(self._read_part_keys, parts))

    def _read_part_keys(self, part: str) -> pa.Array:
        with watched_part(self.store, part), open_parquet(self.store, part) as file:
            check_key_column(file.schema_arrow, self.store.url(part))
            return _one_chunk(file.read(columns=[KEY]).column(KEY))


def _one_chunk(keys: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(keys.chunks) if keys.num_chunks else pa.array([], type=pa.string())


def check_key_column(schema: pa.Schema, place: str) -> None:
    """Refuse a table whose `key` column is missing or not a string column."""
    if KEY not in schema.names or schema.field(KEY).type != pa.string():
        raise UnexpectedContentError(
            f"A ledger needs a string column {KEY!r}; the columns are {_described(schema)}.",
            place,
            "Add the column, or delete the file if it does not belong here.",
        )


def _described(schema: Any) -> str:
    return ", ".join(f"{field.name} {field.type}" for field in schema) or "none"


def _first_rows(keys: Sequence[str], held: pa.ChunkedArray) -> Int[np.ndarray, " keys"]:
    """Find the first row of `held` with each key, -1 for none.

    The hash table is built over the asked keys and the held ones are streamed past it: of a million held keys, 256 are
    found in 0.02 s; a table over the held ones would take 0.3 s for every call.
    """
    asked = pa.array(keys, type=pa.string()).dictionary_encode()
    found = pc.index_in(held, value_set=asked.dictionary)
    rows = np.flatnonzero(found.is_valid().to_numpy())
    first_rows = np.full(len(asked.dictionary), -1, dtype=np.int64)
    first_rows[found.drop_null().to_numpy()[::-1]] = rows[::-1]  # the last assignment stays: the first row
    matched: np.ndarray = first_rows[asked.indices.to_numpy(zero_copy_only=False)]
    return matched


def _hits_by_part(
    parts: list[str],
    ends: Int[np.ndarray, " parts"],
    slots: Int[np.ndarray, " hits"],
    rows: Int[np.ndarray, " hits"],
) -> Iterator[Hit]:
    owners = np.searchsorted(ends, rows, side="right")
    order = np.argsort(owners, kind="stable")
    bounds = np.searchsorted(owners[order], np.arange(len(parts) + 1))
    for position, part in enumerate(parts):
        own = order[bounds[position] : bounds[position + 1]]
        if len(own):
            start = ends[position - 1] if position else 0
            yield Hit(part, slots[own], rows[own] - start)
