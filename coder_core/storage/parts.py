"""The parts of one ledger partition and the index of their keys.

Parts are immutable and named by the hash of their content, so what is known about a part stays true for ever and is
cached by name: a refresh lists the folder and reads the key column of new parts only. The index keeps 25 bytes a key.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
import pyarrow as pa
from jaxtyping import Int

from coder_core.storage.key_index import KeyIndex, Places, Run, run_of
from coder_core.storage.ledger_damage import KEY, watched_part
from coder_core.storage.refusals import NotInStoreError, UnexpectedContentError
from coder_core.storage.store import Store
from coder_core.storage.tables import open_parquet

READERS = 8
"""Key columns read at once: on S3 a part costs a few round trips, and they overlap."""

REFRESH_ROUNDS = 10
"""How often parts are listed again when one is compacted away while it is being read."""


Read = TypeVar("Read")


class Hit(NamedTuple):
    """Where asked keys stand in one part: `rows[i]` of the part answers request `slots[i]`."""

    part: str
    slots: Int[np.ndarray, " hits"]
    rows: Int[np.ndarray, " hits"]


Keys: TypeAlias = Sequence[str] | pa.Array | pa.ChunkedArray
"""Keys that are asked for; a column of a table is taken as it is, without an object for each."""


def key_column(keys: Keys) -> pa.Array:
    """Keys as one column."""
    if isinstance(keys, pa.ChunkedArray):
        return _one_chunk(keys)
    return keys if isinstance(keys, pa.Array) else pa.array(keys, type=pa.string())


@dataclass(frozen=True)
class _Known:
    """What is known at one moment; replaced as a whole, so that readers need no lock.

    Args:
        numbers: Number of every part that is there.
        names: The part of every number.
        sizes: Rows of every part, by number.
        index: Their keys.
    """

    numbers: dict[str, int]
    names: dict[int, str]
    sizes: dict[int, int]
    index: KeyIndex


class PartIndex:
    """Which key stands in which row of which part.

    Args:
        store: Where the parts are.
        folder: The folder of the partition, relative to the store.
    """

    def __init__(self, store: Store, folder: str) -> None:
        self.store = store
        self.folder = folder
        self._known = _Known({}, {}, {}, KeyIndex())
        self._next_number = 0
        self._lock = threading.Lock()
        self._is_loaded = False

    def __reduce__(self) -> tuple[type["PartIndex"], tuple[Store, str]]:
        """Travel without the cache."""
        return PartIndex, (self.store, self.folder)

    def parts(self) -> list[str]:
        """Name the known parts, sorted."""
        return sorted(self._known.numbers)

    def row_count(self, part: str) -> int:
        """Count the rows of a known part."""
        known = self._known
        return known.sizes[known.numbers[part]]

    def load(self) -> None:
        """Learn of the parts, unless that happened before."""
        if not self._is_loaded:
            self.refresh()

    def remember(self, part: str, keys: pa.ChunkedArray) -> None:
        """Add a part that this process has just written, which saves reading it back."""
        with self._lock:
            if part not in self._known.numbers:
                self._known = self._grown(self._known, {part: run_of(self._next_number, _one_chunk(keys))})

    def refresh(self) -> None:
        """Learn of parts that were added or removed by anyone since the last call."""
        with self._lock:
            for last_round in [False] * (REFRESH_ROUNDS - 1) + [True]:
                try:
                    self._known = self._read_index()
                except NotInStoreError:  # compacted away since it was listed: list again, its rows are elsewhere now
                    if last_round:
                        raise
                else:
                    break
            self._is_loaded = True

    def keys(self) -> list[str]:
        """Read the keys of all known parts; a key may occur in more than one part."""
        columns = self._read_parts(lambda _, part: self._read_part_keys(part), self.parts())
        return [key for column in columns for key in column.to_pylist()]

    def locate(self, keys: Keys) -> tuple[list[Hit], Int[np.ndarray, " unknown"]]:
        """Find keys; of several parts that hold one, any answers.

        Returns:
            The hits by part, in the order of parts; and the positions of the keys that no known part holds.
        """
        known = self._known
        places = known.index.locate(key_column(keys))
        return sorted(_hits_by_part(known.names, places), key=lambda hit: hit.part), np.flatnonzero(places.parts < 0)

    def _read_index(self) -> _Known:
        present = [path for path in self.store.list(self.folder) if path.endswith(".parquet")]
        known = self._known
        gone = known.numbers.keys() - set(present)
        new = [part for part in present if part not in known.numbers]
        runs = self._read_parts(lambda place, part: run_of(self._next_number + place, self._read_part_keys(part)), new)
        return self._grown(_without(known, gone) if gone else known, dict(zip(new, runs, strict=True)))

    def _grown(self, known: _Known, runs: dict[str, Run]) -> _Known:
        """With further parts, which are numbered in their order, from the next number on."""
        numbered = {part: self._next_number + place for place, part in enumerate(runs)}
        self._next_number += len(runs)
        return _Known(
            known.numbers | numbered,
            known.names | {number: part for part, number in numbered.items()},
            known.sizes | {numbered[part]: len(run.high) for part, run in runs.items()},
            known.index.add(list(runs.values())),
        )

    def _read_parts(self, read: Callable[[int, str], Read], parts: list[str]) -> list[Read]:
        """Read parts, several at once, and keep of each what `read(place, part)` makes of it."""
        if len(parts) < 2:
            return [read(place, part) for place, part in enumerate(parts)]
        with ThreadPoolExecutor(READERS) as readers:
            return list(readers.map(read, range(len(parts)), parts))

    def _read_part_keys(self, part: str) -> pa.Array:
        with watched_part(self.store, part), open_parquet(self.store, part) as file:
            check_key_column(file.schema_arrow, self.store.url(part))
            keys = _one_chunk(file.read(columns=[KEY], use_threads=False).column(KEY))
            if len(keys) != file.metadata.num_rows:  # Arrow reads on where a bit of a page's header has flipped
                raise pa.ArrowInvalid(f"{len(keys)} keys in {file.metadata.num_rows} rows")
            return keys


def _without(known: _Known, gone: set[str]) -> _Known:
    numbers = {known.numbers[part] for part in gone}
    return _Known(
        {part: number for part, number in known.numbers.items() if part not in gone},
        {number: part for number, part in known.names.items() if part not in gone},
        {number: size for number, size in known.sizes.items() if number not in numbers},
        known.index.drop(numbers),
    )


def _one_chunk(keys: pa.ChunkedArray) -> pa.Array:
    if keys.num_chunks == 1:
        return keys.chunk(0)
    return pa.concat_arrays(keys.chunks) if keys.num_chunks else pa.array([], type=pa.string())


def check_key_column(schema: pa.Schema, place: str) -> None:
    """Refuse a table whose `key` column is missing or not a string column.

    Raises:
        UnexpectedContentError: It is; names the columns that there are.
    """
    if KEY not in schema.names or schema.field(KEY).type != pa.string():
        raise UnexpectedContentError(
            f"A ledger needs a string column {KEY!r}; the columns are {_described(schema)}.",
            place,
            "Add the column, or delete the file if it does not belong here.",
        )


def _described(schema: Any) -> str:
    return ", ".join(f"{field.name} {field.type}" for field in schema) or "none"


def _hits_by_part(names: dict[int, str], places: Places) -> Iterator[Hit]:
    slots = np.flatnonzero(places.parts >= 0)
    slots = slots[np.argsort(places.parts[slots], kind="stable")]
    owners = places.parts[slots]
    for number in np.unique(owners):
        own = slots[np.searchsorted(owners, number) : np.searchsorted(owners, number, side="right")]
        yield Hit(names[int(number)], own, places.rows[own])
