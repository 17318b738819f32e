"""Ledgers: append-only rows that are found by a content key, so that nothing is computed twice.

A part is one Parquet file named by the sha256 of its bytes: a retry writes the same bytes to the same name, concurrent
writers cannot disturb each other, and a reader that knows a part never looks at it again. A key stands for its
content, so when writers race for one key it does not matter whose row answers.
`compact` merges small parts: the merged part is written before the old ones are deleted, and a crash in between only
leaves rows twice.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int

from coder_core.errors import StoreError
from coder_core.fingerprint import content_hash
from coder_core.storage.ledger_damage import KEY, part_hash, watched_part, write_ledger_part
from coder_core.storage.parts import Hit, Keys, PartIndex, check_key_column, key_column
from coder_core.storage.refusals import NotInStoreError, UnexpectedContentError
from coder_core.storage.store import Store
from coder_core.storage.tables import check_columns, decode_parquet, open_parquet, read_parquet

COMPACT_ROWS = 65_536
"""Parts below this are small and are merged until they reach it: 134 MB of 512 float32."""


class Match(NamedTuple):
    """Rows that answer a request: row `i` of the table is the answer to the asked key number `slots[i]`."""

    part: str
    slots: Int[np.ndarray, " rows"]
    table: pa.Table


class Ledger:
    """Rows by content key in one partition of a named ledger. Picklable; safe for any number of writers.

    Args:
        store: Where the ledger lives.
        name: What the rows are, e.g. `completions`.
        partition: What they depend on besides their key, e.g. the encoder key.
    """

    def __init__(self, store: Store, name: str, partition: str) -> None:
        self.store = store
        self.folder = f"ledgers/{name}/{partition}"
        self.url = store.url(self.folder)
        self._index = PartIndex(store, self.folder)

    def keys(self) -> set[str]:
        """Return every key that the ledger holds now."""
        self._index.refresh()
        return set(self._index.keys())

    def missing(self, keys: Keys) -> list[str]:
        """Return the keys that the ledger does not hold now, each once, in the given order."""
        asked: list[str] = key_column(keys).take(pa.array(self.missing_rows(keys))).to_pylist()
        return asked

    def missing_rows(self, keys: Keys) -> Int[np.ndarray, " missing"]:
        """As `missing`, as the ascending places of these keys among those asked for."""
        self._index.refresh()
        asked = key_column(keys)
        unknown = self._index.locate(asked)[1]
        rows: Int[np.ndarray, " missing"] = unknown[_first_places(asked.take(pa.array(unknown)))]
        return rows

    def holds_all(self, keys: Keys) -> bool:
        """Whether all keys were held when the ledger was last looked at, or were added here since; asks nobody."""
        return not len(self._index.locate(keys)[1])

    def append(self, table: pa.Table, *, is_missing: bool = False) -> int:
        """Add rows in one atomic step; returns how many were written.

        Rows whose key this process knows to be held (`missing` has just looked) are left out, so a repeated call and an
        empty table write nothing.

        Args:
            table: Any columns beside a string column `key` without nulls; of a repeated key the first row counts.
            is_missing: None of the keys is held, as `missing` has just said: they are not looked up again.
        """
        check_key_column(table.schema, self.url)
        keys = table.column(KEY)
        if keys.null_count:
            raise StoreError(f"{keys.null_count} of {len(keys)} keys are null.", self.url, "Give every row a key.")
        self._index.load()
        unknown = range(len(keys)) if is_missing else self._index.locate(keys)[1]
        new = _drop_repeated(table.take(pa.array(unknown)) if len(unknown) < len(keys) else table)
        if new.num_rows:
            self._index.remember(write_ledger_part(self.store, self.folder, new), new.column(KEY))
        return int(new.num_rows)

    def read(self, keys: Keys, columns: Sequence[str] | None = None) -> pa.Table:
        """Return one row per asked key, in the asked order; keys may repeat.

        Args:
            keys: Keys that the ledger holds.
            columns: Columns to read; None for all. Every part of a ledger has the same columns.

        Raises:
            StoreError: When a key is not held, naming how many and the first, or when a part is damaged.
        """
        matches = list(self.matches(keys, columns))
        if not matches:
            return self._empty_table(columns)
        table = pa.concat_tables([match.table for match in matches], promote_options="permissive")
        return table.take(pa.array(np.argsort(np.concatenate([match.slots for match in matches]))))

    def matches(self, keys: Keys, columns: Sequence[str] | None = None) -> Iterator[Match]:
        """Yield the rows of asked keys as they come, one row group of one part at a time (bounded memory)."""
        asked = key_column(keys)
        hits = self._locate_all(asked)
        is_open = np.ones(len(asked), dtype=np.bool_)
        try:
            for hit in hits:
                for match in _read_hit(self.store, hit, columns):
                    is_open[match.slots] = False
                    yield match
        except NotInStoreError:  # compacted away a moment ago: its rows are in another part now
            self._index.refresh()
            slots = np.flatnonzero(is_open)
            again = self.matches(asked.take(pa.array(slots)), columns)
            yield from (match._replace(slots=slots[match.slots]) for match in again)

    def plan_compaction(self) -> list[list[str]]:
        """Group the small parts: each group is to become one part."""
        self._index.refresh()
        small = [part for part in self._index.parts() if self._index.row_count(part) < COMPACT_ROWS]
        return [batch for batch in self._batches(small) if len(batch) > 1]

    def part_count(self) -> int:
        """Count the parts that are known since the last look."""
        return len(self._index.parts())

    def compact(self, plan: Sequence[Sequence[str]] | None = None) -> int:
        """Merge small parts into larger ones (as planned a moment ago); returns how many parts are gone.

        Others may read, append and compact at the same time. Killed in between, it leaves rows twice, which no reader
        sees and the next compaction mends.
        """
        gone = sum(self._merge(batch) for batch in (self.plan_compaction() if plan is None else plan))
        self._index.refresh()
        return gone

    def _locate_all(self, keys: pa.Array) -> list[Hit]:
        hits, unknown = self._index.locate(keys)
        for _ in range(2):  # twice: a listing during a compaction may show neither the old part nor the new one
            if len(unknown):
                self._index.refresh()
                hits, unknown = self._index.locate(keys)
        if len(unknown):
            first = keys[int(unknown[0])].as_py()
            raise StoreError(
                f"{len(unknown)} of {len(keys)} keys are not in this ledger, the first is {first!r}.",
                self.url,
                "Ask `missing` first, then compute and append those.",
            )
        return hits

    def _batches(self, parts: list[str]) -> Iterator[list[str]]:
        batch: list[str] = []
        rows = 0
        for part in parts:
            batch.append(part)
            rows += self._index.row_count(part)
            if rows >= COMPACT_ROWS:
                yield batch
                batch, rows = [], 0
        yield batch

    def _merge(self, parts: Sequence[str]) -> int:
        try:
            tables = [self._read_whole(part) for part in parts]
        except NotInStoreError:  # another process is compacting the same parts
            return 0
        rows = _drop_repeated(pa.concat_tables(tables, promote_options="permissive"))
        merged = write_ledger_part(self.store, self.folder, rows)
        gone = [part for part in parts if part != merged]
        for part in gone:
            self.store.delete(part)
        return len(gone)

    def _read_whole(self, part: str) -> pa.Table:
        """Read a part that is about to be deleted: its hash must be right, a damaged footer could hide rows."""
        content, url = self.store.read_bytes(part), self.store.url(part)
        with watched_part(self.store, part):
            if content_hash(content) != part_hash(part):
                raise UnexpectedContentError("This part is not what was written (its sha256 is not its name).", url)
            return decode_parquet(content, url)

    def _empty_table(self, columns: Sequence[str] | None) -> pa.Table:
        self._index.refresh()
        for part in self._index.parts():
            return read_parquet(self.store, part, columns).slice(0, 0)
        return pa.table({KEY: pa.array([], type=pa.string())})


def _read_hit(store: Store, hit: Hit, columns: Sequence[str] | None) -> Iterator[Match]:
    with watched_part(store, hit.part), open_parquet(store, hit.part) as file:
        check_columns(file, columns, store.url(hit.part))
        sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        ends = np.cumsum(sizes, dtype=np.int64)
        owners = np.searchsorted(ends, hit.rows, side="right")
        for group in np.unique(owners):
            own = np.flatnonzero(owners == group)
            rows = hit.rows[own] - (ends[group] - sizes[group])
            table = file.read_row_group(
                int(group), columns=None if columns is None else list(columns), use_threads=False
            )
            yield Match(hit.part, hit.slots[own], table.take(pa.array(rows)))


def _drop_repeated(table: pa.Table) -> pa.Table:
    first = _first_places(table.column(KEY))
    return table if len(first) == table.num_rows else table.take(pa.array(first))


def _first_places(keys: pa.Array | pa.ChunkedArray) -> Int[np.ndarray, " places"]:
    """Where each key stands first, in order."""
    distinct = keys.unique()
    if len(distinct) == len(keys):
        return np.arange(len(keys))
    return np.asarray(pc.index_in(distinct, value_set=keys).to_numpy(), dtype=np.int64)
