"""What happens when a part of a ledger is not what was written: it is moved aside, and what can be trusted is kept.

A part's name is the sha256 of its bytes, so any reader can tell damage from a network that garbled one answer. Every
page carries a checksum: where some row groups fail theirs and others do not, the rows of the sound ones become a part
of their own before the damaged one goes (completions were paid for). Where every row can be read and the hash is wrong
all the same, the damage is in the footer, which says what the bytes mean: then nothing of the part is trusted.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq

from coder_core.fingerprint import content_hash
from coder_core.storage.damaged_files import confirm_damage
from coder_core.storage.refusals import UnexpectedContentError
from coder_core.storage.store import Store
from coder_core.storage.tables import encode_parquet, explained_parquet, open_parquet

KEY = "key"


def part_hash(part: str) -> str:
    """Return the sha256 that a part's name states."""
    return PurePosixPath(part).stem


def write_ledger_part(store: Store, folder: str, table: pa.Table) -> str:
    """Write rows as a part named by the hash of its bytes; returns its path."""
    content = encode_parquet(table)
    path = f"{folder}/{content_hash(content)}.parquet"
    store.create_bytes(path, content)
    return path


@contextmanager
def watched_part(store: Store, part: str) -> Iterator[None]:
    """Read from a part inside the block; damage that is found there is confirmed and moved aside.

    Raises:
        DamagedFileError: It is damaged; the next run makes again what it held.
        UnexpectedContentError: Its hash is right: it is whole, and not what was expected.
        NotInStoreError: It was compacted, or moved aside by another process.
    """
    try:
        yield
    except UnexpectedContentError as suspicion:
        raise examine_part(store, part, suspicion) from suspicion


def examine_part(store: Store, part: str, suspicion: UnexpectedContentError) -> UnexpectedContentError:
    """Return the error to raise for a part that could not be read: it is moved aside when its hash is wrong."""
    if store.hash_file(part) == part_hash(part):
        return suspicion
    if sound := sound_rows(store, part):
        write_ledger_part(store, str(PurePosixPath(part).parent), sound)
    return confirm_damage(store, part, part_hash(part), suspicion)


def sound_rows(store: Store, part: str) -> pa.Table | None:
    """Return the rows of a part's intact row groups when others fail their checksums; None when there are none."""
    groups, tables = 0, []
    try:
        with open_parquet(store, part) as file:
            groups = file.num_row_groups
            tables = [table for group in range(groups) if (table := _sound_group(file, group)) is not None]
    except UnexpectedContentError:
        return None  # without a readable footer nobody knows what the bytes mean
    return pa.concat_tables(tables) if 0 < len(tables) < groups else None


def _sound_group(file: pq.ParquetFile, group: int) -> pa.Table | None:
    try:
        with explained_parquet(""):
            table = file.read_row_group(group, use_threads=False)
    except UnexpectedContentError:
        return None
    has_keys = KEY in table.schema.names and table.schema.field(KEY).type == pa.string()
    return table if has_keys and not table.column(KEY).null_count else None
