"""The publication of a run: its row of `runs`, and a record with the hash of every file that it shows.

Arrow verifies the page checksums of Parquet and DuckDB does not (measured: two of three flipped bytes in a data page
change an answer without a word), so what is read is compared with these hashes. The record is written before the row
and is named by the hash of the row: whatever two publishers of one run do, the row that wins has its own record, and a
damaged row has none. Files are named by the hash of their bytes and never written over, so what the loser writes, even
long after, disturbs nothing that the winner shows. It is JSON, because a query must not wait for pyarrow. Runs of 0.1
have records of another form, and those published before there were records have none at all.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from coder_core.fingerprint import content_hash, key_of
from coder_core.results.result_paths import parse_record_name, parse_run_file
from coder_core.storage.refusals import REPAIR, UnexpectedContentError

ROWS_SUFFIX = ".parquet"


class FileRecord(NamedTuple):
    """A file of a run.

    Args:
        table: The result table that it holds; empty for a manifest.
        path: Relative to the store.
        sha256: Of its bytes.
        bytes: Its size; None where 0.1 wrote the record.
        rows: Its rows; None where 0.1 wrote the record, and for a manifest.
    """

    table: str
    path: str
    sha256: str
    bytes: int | None
    rows: int | None


class RunRecord(NamedTuple):
    """What a run published.

    Args:
        run_id: The run.
        row_sha256: Hash of its row of `runs`.
        name: The evaluation, as its config names it; empty where 0.1 wrote the record.
        started_at: As `layout.time_digits` writes it; empty where 0.1 wrote the record.
        files: Every file with rows, but not the row of `runs`.
        manifest: The run's manifest; None for a run without one.
    """

    run_id: str
    row_sha256: str
    name: str
    started_at: str
    files: tuple[FileRecord, ...]
    manifest: FileRecord | None


def encode_record(record: RunRecord) -> bytes:
    """Write a record as JSON with a checksum."""
    fields = record._asdict() | {
        "files": [file._asdict() for file in record.files],
        "manifest": record.manifest._asdict() if record.manifest else None,
    }
    return json.dumps({**fields, "checksum": _checksum(fields)}, indent=1).encode("ascii")


def decode_record(content: bytes, path: str, url: str) -> RunRecord:
    """Read a record of any version.

    Args:
        content: Its bytes.
        path: Where it lies in the store; its name says which run and row it is of.
        url: The same for the message of a refusal.

    Raises:
        UnexpectedContentError: It is damaged, or not the record that its name says.
    """
    try:
        fields = json.loads(content)
        stated = fields.pop("checksum")
        record = _old_record(fields["parts"], path) if "parts" in fields else _new_record(fields)
        found = key_of(fields["parts"]) if "parts" in fields else _checksum(fields)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UnexpectedContentError(f"The record of this run is damaged ({error}).", url, REPAIR) from error
    name = parse_record_name(path)
    if found != stated or name is None or (name.run_id, name.row_sha256) != (record.run_id, record.row_sha256):
        raise UnexpectedContentError("The record of this run is damaged (its checksum differs).", url, REPAIR)
    return record


def _new_record(fields: Mapping[str, Any]) -> RunRecord:
    files = tuple(FileRecord(**file) for file in fields["files"])
    manifest = FileRecord(**fields["manifest"]) if fields["manifest"] else None
    return RunRecord(**{**fields, "files": files, "manifest": manifest})


def _old_record(parts: Mapping[str, str], path: str) -> RunRecord:
    """Read a record of 0.1: path of a part -> sha256."""
    name = parse_record_name(path)
    files = []
    for part, sha256 in parts.items():
        found = parse_run_file(part)
        if found and part.endswith(ROWS_SUFFIX):
            files.append(FileRecord(found.table, part, sha256, None, None))
    return RunRecord(name.run_id if name else "", name.row_sha256 if name else "", "", "", tuple(files), None)


def _checksum(fields: Mapping[str, Any]) -> str:
    return content_hash(json.dumps(fields, sort_keys=True, separators=(",", ":")).encode("ascii"))
