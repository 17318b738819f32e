"""The publication of a run: its row of `runs`, and beside it a record with the sha256 of every part that it shows.

Arrow verifies the page checksums of Parquet and DuckDB does not (measured: two of three flipped bytes in a data page
change an answer without a word), so what queries read is compared with these hashes. The record is written before the
row and is named by the hash of the row: whatever two publishers of one run do, the row that wins has its own record,
and a damaged row has none. It is JSON, because a query must not wait for pyarrow. Runs published before there were
records have none at all.
"""

import json
from collections.abc import Mapping

from coder_core.fingerprint import content_hash, key_of
from coder_core.storage.columns import RUNS
from coder_core.storage.refusals import REPAIR, NotInStoreError, UnexpectedContentError
from coder_core.storage.result_paths import result_path, run_folder
from coder_core.storage.store import Store

Hashes = Mapping[str, str]
"""Path of a part, relative to the store -> sha256 of its bytes."""
SUFFIX = ".json"


def publish_row(store: Store, run_id: str, row: bytes, hashes: Hashes) -> bool:
    """Write the record and then the row, which makes the run visible.

    Args:
        store: Where to.
        run_id: The run.
        row: The Parquet file with its row of `runs`.
        hashes: Every other part of the run.

    Returns:
        False when the run was published before; its first row then stays.
    """
    parts = dict(sorted(hashes.items()))
    content = json.dumps({"parts": parts, "checksum": key_of(parts)}, indent=1).encode("ascii")
    store.write_bytes(record_path(run_id, content_hash(row)), content)
    return store.create_bytes(result_path(RUNS, run_id), row)


def load_record(store: Store, run_id: str) -> Hashes | None:
    """Read the record of a published run; None when it was published before there were records.

    Raises:
        NotInStoreError: When the run is not published.
        UnexpectedContentError: When its row or its record is not what was written.
    """
    row = store.read_bytes(result_path(RUNS, run_id))
    path = record_path(run_id, content_hash(row))
    try:
        return _decode(store.read_bytes(path), store.url(path))
    except NotInStoreError:
        if not any(found.endswith(SUFFIX) for found in store.list(run_folder(RUNS, run_id))):
            return None
    problem = "This row of `runs` is not what was published (no record has its sha256)."
    raise UnexpectedContentError(problem, store.url(result_path(RUNS, run_id)), REPAIR)


def record_path(run_id: str, row_sha256: str) -> str:
    """Return the file of the record that belongs to a row, relative to the store."""
    return f"{run_folder(RUNS, run_id)}/{row_sha256}{SUFFIX}"


def _decode(content: bytes, url: str) -> Hashes:
    try:
        fields = json.loads(content)
        hashes: dict[str, str] = fields["parts"]
        if fields["checksum"] == key_of(hashes):
            return hashes
        reason = "its checksum differs"
    except (ValueError, TypeError, KeyError) as error:
        reason = str(error)
    raise UnexpectedContentError(f"The record of this run is damaged ({reason}).", url, REPAIR)
