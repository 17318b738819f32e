"""Writing an artifact: its parts first, in any order from any process; its manifest last, and once.

A part that an interrupted run has left is read once and kept, so that work goes on where it ended; one that is damaged
at a second look, too, is moved aside and written anew.
"""

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from coder_core.errors import StoreError
from coder_core.fingerprint import content_hash, plain_json
from coder_core.storage.artifact_damage import checked_manifest, checked_part, part_damage
from coder_core.storage.manifest import (
    Artifact,
    ArtifactPayload,
    Manifest,
    PartRecord,
    Summary,
    artifact_folder,
    artifact_key,
    encode_manifest,
    manifest_path,
    part_path,
)
from coder_core.storage.refusals import NotInStoreError, UnexpectedContentError
from coder_core.storage.store import Store
from coder_core.storage.tables import decode_parquet, encode_parquet, open_parquet, read_parquet

logger = logging.getLogger("coder_core.storage.artifacts")
"""The name that alerts watch: docs/observability.md."""


class ArtifactWriter:
    """Writes one artifact: parts in any order from any process, then one commit. Picklable.

    Args:
        store: Where to.
        payload: What the artifact is made from.
    """

    def __init__(self, store: Store, payload: ArtifactPayload) -> None:
        self.store = store
        self.payload = payload
        self.key = artifact_key(payload)
        self._records: dict[str, PartRecord] = {}
        self._columns: dict[str, str] = {}

    def has_part(self, name: str) -> bool:
        """Tell whether a part is there, e.g. from an interrupted run; it then belongs to what `commit` commits.

        A damaged one is moved aside and is not there.
        """
        is_there = self.store.exists(self._path(name))
        return is_there and (name in self._records or self._inspect(name))

    def write_part(self, name: str, table: pa.Table) -> PartRecord:
        """Write one part in one step; a sound part that is there already stays as it is. Returns its record."""
        content = encode_parquet(table)
        if self.store.create_bytes(self._path(name), content):
            self._record(name, content, table)
        elif not self._inspect(name):
            return self.write_part(name, table)
        return self._records[name]

    def found_part(self, name: str) -> PartRecord | None:
        """The record of a part that is there, e.g. from an interrupted run, or None."""
        return self._records[name] if self.has_part(name) else None

    def take_part_over(self, name: str, other: Artifact, record: PartRecord) -> bool:
        """Copy a part of another artifact; False where it is not (any more) what its record says."""
        try:
            content = self.store.read_bytes(part_path(other.kind, other.key, record.name))
        except NotInStoreError:
            return False
        if content_hash(content) != record.sha256:
            return False
        if not self.store.create_bytes(self._path(name), content):
            return self.has_part(name)
        self._records[name] = record.model_copy(update={"name": name})
        return True

    def discard_part(self, name: str) -> None:
        """Remove a part that is to be made anew, after the manifest that may name it."""
        self.store.delete(manifest_path(self.payload.kind, self.key))
        self.store.delete(self._path(name))
        self._records.pop(name, None)

    def records(self, names: Sequence[str]) -> list[PartRecord]:
        """The records of parts that this writer wrote, found or adopted."""
        return [self._records[name] for name in names]

    def read_part(self, name: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Read one part that this or another process wrote."""
        if name not in self._records:
            return read_parquet(self.store, self._path(name), columns)
        content = checked_part(self.store, self.payload.kind, self.key, self._records[name])
        return decode_parquet(content, self.store.url(self._path(name)), columns=columns)

    def adopt(self, records: Sequence[PartRecord]) -> None:
        """Take over the records of parts that other processes wrote, so that `commit` need not read them again."""
        self._records.update({record.name: record for record in records})

    def commit(self, summary: Mapping[str, Any] | None = None, *, parts: Sequence[str] = ()) -> Artifact:
        """Finish the artifact: write its manifest, naming every part.

        Args:
            summary: Numbers and words worth showing.
            parts: Names of the parts when other processes wrote some; by default those that this writer wrote or found.

        Returns:
            The artifact; when another process has committed it meanwhile, that one's.
        """
        names = sorted(parts or self._records)
        if not names:
            place = self.store.url(artifact_folder(self.payload.kind, self.key))
            raise StoreError("An artifact needs a part.", place, "Write an empty table when there are no rows.")
        for name in names:
            if name not in self._records and not self._inspect(name):
                raise StoreError("This part is damaged or gone.", self.store.url(self._path(name)), "Run again.")
        if not self._columns:
            with open_parquet(self.store, self._path(names[0])) as file:
                self._columns = {field.name: str(field.type) for field in file.schema_arrow}
        return self._publish([self._records[name] for name in names], dict(summary or {}), None)

    def commit_document(self, document: Mapping[str, object], summary: Mapping[str, Any] | None = None) -> Artifact:
        """Finish the artifact with a JSON object in the place of a table."""
        plain = plain_json(dict(document), "document")
        return self._publish([], dict(summary or {}), plain if isinstance(plain, dict) else {})

    def _publish(self, parts: list[PartRecord], summary: Summary, document: dict[str, Any] | None) -> Artifact:
        manifest = Manifest(
            kind=self.payload.kind,
            key=self.key,
            payload=self.payload,
            parts=parts,
            rows=sum(part.rows for part in parts),
            created_at=datetime.now(UTC),
            summary=summary,
            columns=self._columns,
            document=document,
        )
        self.store.create_bytes(manifest_path(self.payload.kind, self.key), encode_manifest(manifest))
        return (checked_manifest(self.store, self.payload.kind, self.key) or manifest).handle()

    def _inspect(self, name: str, *, is_second_look: bool = False) -> bool:
        """Read a part that is there and remember its record; one that is damaged at a second look is moved aside."""
        url = self.store.url(self._path(name))
        try:
            content = self.store.read_bytes(self._path(name))
            self._record(name, content, decode_parquet(content, url))
        except NotInStoreError:
            return False
        except UnexpectedContentError as error:
            return self._move_aside(name, error.problem) if is_second_look else self._inspect(name, is_second_look=True)
        return True

    def _move_aside(self, name: str, problem: str) -> bool:
        damage = part_damage(self.store, self.payload.kind, self.key, name, problem)
        if self.store.exists(self._path(name)):
            raise damage
        logger.warning("%s", damage)
        return False

    def _record(self, name: str, content: bytes, table: pa.Table) -> None:
        record = PartRecord(name=name, rows=table.num_rows, sha256=content_hash(content), bytes=len(content))
        self._records[name] = record
        self._columns = {field.name: str(field.type) for field in table.schema}

    def _path(self, name: str) -> str:
        return part_path(self.payload.kind, self.key, name)
