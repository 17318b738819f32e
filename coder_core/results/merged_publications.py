"""What a run published beside its tables (its record and its manifest), from files of its own or from a merged one.

In a merged file each is a row: the run, the path and the bytes of its record (null for a run that was published before
there were records), and the path and the bytes of its manifest (null for a run of 0.1).
"""

from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from coder_core.fingerprint import content_hash
from coder_core.results.catalog import Catalog
from coder_core.results.generations import MergedFile
from coder_core.results.result_paths import PUBLICATIONS
from coder_core.results.run_records import RunRecord, decode_record
from coder_core.results.schema import RUN_ID
from coder_core.storage.refusals import REPAIR, UnexpectedContentError
from coder_core.storage.store import Store
from coder_core.storage.tables import decode_parquet

SCHEMA = pa.schema(
    [
        (RUN_ID, pa.string()),
        ("record_path", pa.string()),
        ("record", pa.binary()),
        ("manifest_path", pa.string()),
        ("manifest", pa.binary()),
    ]
)


class Publication(NamedTuple):
    """The record of a run, and its bytes; and its manifest. None where the run has none."""

    record: RunRecord | None
    record_path: str | None
    record_bytes: bytes | None
    manifest: bytes | None


def read_publication(catalog: Catalog, run_id: str) -> Publication:
    """Read what a published run published beside its tables, compared with its hashes.

    Raises:
        NotInStoreError: It was compacted or moved aside since it was listed.
        UnexpectedContentError: A file is not what was written.
    """
    if run_id in catalog.generation.by_run:
        return _read_merged(catalog, run_id)
    record = catalog.records([run_id])[run_id]
    path = catalog.record_path(run_id)
    content = catalog.store.read_bytes(path) if path else None
    if record is None or record.manifest is None:
        return Publication(record, path, content, None)
    manifest = read_checked(catalog.store, record.manifest.path, record.manifest.sha256)
    return Publication(record, path, content, manifest)


def read_checked(store: Store, path: str, sha256: str) -> bytes:
    """Read a whole file and compare it with its hash; what differs is read once more, to rule out the network.

    Raises:
        UnexpectedContentError: It is not what was written.
    """
    for _ in range(2):
        content = store.read_bytes(path)
        if content_hash(content) == sha256:
            return content
    problem = "This result file is not what was published (its sha256 differs)."
    raise UnexpectedContentError(problem, store.url(path), REPAIR)


def publications_of(store: Store, file: MergedFile) -> dict[str, Publication]:
    """Read a merged file of records and manifests.

    Raises:
        UnexpectedContentError: It is not what was written.
    """
    table = decode_parquet(read_checked(store, file.path, file.sha256), store.url(file.path))
    return {row[RUN_ID]: _publication(row, store.url(file.path)) for row in table.to_pylist()}


def _read_merged(catalog: Catalog, run_id: str) -> Publication:
    for file in catalog.merged_files(PUBLICATIONS, [run_id]):
        content = read_checked(catalog.store, file.path, file.sha256)
        table = decode_parquet(content, catalog.store.url(file.path))
        rows = table.filter(pc.equal(table.column(RUN_ID), run_id)).to_pylist()
        if rows:
            return _publication(rows[0], catalog.store.url(file.path))
    problem = f"The run {run_id} is listed as compacted, and its record is not there."
    raise UnexpectedContentError(problem, catalog.store.url(PUBLICATIONS), REPAIR)


def _publication(row: dict[str, object], url: str) -> Publication:
    path, content, manifest = row["record_path"], row["record"], row["manifest"]
    record = None
    if isinstance(path, str) and isinstance(content, bytes):
        record = decode_record(content, path, url)
    return Publication(
        record,
        path if isinstance(path, str) else None,
        content if isinstance(content, bytes) else None,
        manifest if isinstance(manifest, bytes) else None,
    )
