"""Artifacts: what one step made, found again by what it was made from.

`key = sha256(canonical_json(kind, step_version, spec, inputs))`, so equal work has an equal key on every machine. Parts
are written first and once; `manifest.json` is written last and once: a folder without manifest is nothing, and a part
that the manifest does not name (left by an interrupted run with another batch size) is ignored. The manifest keeps the
whole payload, so that a miss can say which field changed. A part is read whole and compared with the hash in the
manifest; what differs is moved aside and made again by the next run (`artifact_damage`).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import pyarrow as pa

from coder_core.errors import StoreError
from coder_core.fingerprint import differences
from coder_core.storage.artifact_damage import checked_manifest, checked_part
from coder_core.storage.artifact_writer import ArtifactWriter
from coder_core.storage.manifest import (
    LATEST,
    Artifact,
    ArtifactPayload,
    Manifest,
    PartRecord,
    artifact_folder,
    artifact_key,
    load_manifest,
    part_path,
)
from coder_core.storage.refusals import NotInStoreError
from coder_core.storage.store import Store
from coder_core.storage.tables import decode_parquet, open_parquet

__all__ = ["Artifact", "ArtifactPayload", "ArtifactStore", "artifact_key"]


class _Known:
    """A manifest that was read, and its parts by name and by content: a shard asks for a few of thousands."""

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self.parts = {part.name: part for part in manifest.parts}

    @cached_property
    def by_content(self) -> dict[str, PartRecord]:
        """Parts by their sha256."""
        return {part.sha256: part for part in self.manifest.parts}


class ArtifactStore:
    """Artifacts of one store. Picklable."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._known: dict[tuple[str, str], _Known] = {}

    def find(self, payload: ArtifactPayload) -> Artifact | None:
        """Return the finished artifact of a payload, or None.

        Raises:
            DamagedFileError: When its manifest is damaged; it has been moved aside, so that a second look finds None.
        """
        manifest = self.find_manifest(payload)
        return manifest.handle() if manifest else None

    def find_manifest(self, payload: ArtifactPayload) -> Manifest | None:
        """Return the record of the finished artifact of a payload, or None; raises as `find` does."""
        return checked_manifest(self.store, payload.kind, artifact_key(payload))

    def open(self, kind: str, key: str) -> Artifact:
        """Return the finished artifact of a kind and key.

        Raises:
            StoreError: When it is not in the store (any more), or damaged.
        """
        manifest = load_manifest(self.store, kind, key)
        if manifest is None:
            place = self.store.url(artifact_folder(kind, key))
            raise StoreError("This artifact is not in the store (any more).", place, "Run the evaluation again.")
        return manifest.handle()

    def writer(self, payload: ArtifactPayload) -> ArtifactWriter:
        """Start, or go on with, the artifact of a payload."""
        return ArtifactWriter(self.store, payload)

    def manifest(self, artifact: Artifact) -> Manifest:
        """Read the record of an artifact.

        Raises:
            StoreError: When it is gone or damaged.
        """
        found = checked_manifest(self.store, artifact.kind, artifact.key)
        if found is None:
            place = self.store.url(artifact_folder(artifact.kind, artifact.key))
            raise StoreError("This artifact is not in the store (any more).", place, "Run again: it is made anew.")
        return found

    def read(self, artifact: Artifact, columns: Sequence[str] | None = None) -> pa.Table:
        """Read the whole table, parts in the order of their names.

        Raises:
            DamagedFileError: When a part is gone or is not what was written.
        """
        parts = self.known_manifest(artifact).parts
        return pa.concat_tables([self._read_checked(artifact, part, columns) for part in parts])

    def parts(self, artifact: Artifact) -> tuple[PartRecord, ...]:
        """List the parts in the order of their names."""
        return tuple(self.known_manifest(artifact).parts)

    def known_manifest(self, artifact: Artifact) -> Manifest:
        """As `manifest`, read once: what is committed does not change, unless it is made again (`forget`).

        The record of ten million images names 2,400 parts, and every shard asks for it.
        """
        return self._remembered(artifact).manifest

    def read_part(self, artifact: Artifact, name: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Read one part.

        Raises:
            DamagedFileError: When it is gone or is not what was written.
        """
        return self._read_checked(artifact, self.part(artifact, name), columns)

    def part(self, artifact: Artifact, name: str) -> PartRecord:
        """The record of one part; raises StoreError where there is none of that name."""
        record = self._remembered(artifact).parts.get(name)
        if record is None:
            place = self.store.url(artifact_folder(artifact.kind, artifact.key))
            raise StoreError(f"This artifact has no part {name!r}.", place, "Use the names that `parts` gives.")
        return record

    def find_part(self, artifact: Artifact, *, name: str = "", sha256: str = "") -> PartRecord | None:
        """The record of the part of that name, or of that content, if there is one."""
        known = self._remembered(artifact)
        return known.by_content.get(sha256) if sha256 else known.parts.get(name)

    def forget(self, artifact: Artifact) -> None:
        """Read the record of an artifact that is made again anew."""
        self._known.pop((artifact.kind, artifact.key), None)

    def _remembered(self, artifact: Artifact) -> "_Known":
        identity = (artifact.kind, artifact.key)
        if identity not in self._known:
            self._known[identity] = _Known(self.manifest(artifact))
        return self._known[identity]

    def iter_batches(
        self, artifact: Artifact, columns: Sequence[str] | None = None, *, rows: int = 8_192
    ) -> Iterator[pa.RecordBatch]:
        """Read the table in batches of at most `rows` rows, holding one row group of one part at a time."""
        for part in self.manifest(artifact).parts:
            path = self._checked_path(artifact, part)
            with open_parquet(self.store, path) as file:
                yield from file.iter_batches(
                    batch_size=rows, columns=None if columns is None else list(columns), use_threads=False
                )

    def write_document(self, payload: ArtifactPayload, document: Mapping[str, object]) -> Artifact:
        """Store a small JSON object as an artifact without a table."""
        return ArtifactWriter(self.store, payload).commit_document(document)

    def read_document(self, artifact: Artifact) -> dict[str, Any]:
        """Read the JSON object of an artifact that `write_document` made."""
        document = self.manifest(artifact).document
        if document is None:
            place = self.store.url(artifact_folder(artifact.kind, artifact.key))
            raise StoreError("This artifact holds a table and not a document.", place, "Use `read`.")
        return document

    def verify(self, artifact: Artifact) -> None:
        """Read every part and compare it with the hash in the manifest.

        Raises:
            DamagedFileError: Naming the first part that is gone or is not what was written.
        """
        for part in self.manifest(artifact).parts:
            self._checked_path(artifact, part)

    def explain_miss(self, payload: ArtifactPayload, slot: str) -> str:
        """Say why a step found no artifact: which fields differ from those of the one that it made last.

        Args:
            payload: What was looked for.
            slot: Who looks: a step's name, see `note_latest`.
        """
        last = self.latest(payload.kind, slot)
        if last is None:
            return f"{slot} has made none yet"
        fields = differences(last.payload, payload)
        made = f"{payload.kind} {last.key[:12]} of {last.created_at:%Y-%m-%d %H:%M} UTC"
        changed = "; ".join(fields) or "nothing differs: what it made is gone, damaged or incomplete"
        return f"{changed} (compared with {made})"

    def note_latest(self, artifact: Artifact, slot: str) -> None:
        """Note that a step has just made an artifact; of two notes at once either may stay."""
        self.forget(artifact)
        self.store.write_bytes(_note_path(artifact.kind, slot), artifact.key.encode("ascii"))

    def latest(self, kind: str, slot: str) -> Manifest | None:
        """The record of what was noted last in a slot; None where nothing was, or it is gone."""
        try:
            key = self.store.read_bytes(_note_path(kind, slot)).decode("ascii")
            if (kind, key) not in self._known and (found := load_manifest(self.store, kind, key)) is not None:
                self._known[kind, key] = _Known(found)
        except (StoreError, UnicodeDecodeError):  # no note, or one that explains nothing any more
            return None
        known = self._known.get((kind, key))
        return None if known is None else known.manifest

    def _read_checked(self, artifact: Artifact, part: PartRecord, columns: Sequence[str] | None) -> pa.Table:
        content = checked_part(self.store, artifact.kind, artifact.key, part)
        return decode_parquet(
            content, self.store.url(part_path(artifact.kind, artifact.key, part.name)), columns=columns
        )

    def _checked_path(self, artifact: Artifact, part: PartRecord) -> str:
        """Compare a part, block by block, with its record; returns its file."""
        path = part_path(artifact.kind, artifact.key, part.name)
        try:
            is_sound = self.store.hash_file(path) == part.sha256
        except NotInStoreError:
            is_sound = False
        if not is_sound:
            checked_part(self.store, artifact.kind, artifact.key, part)
        return path


def _note_path(kind: str, slot: str) -> str:
    return f"{LATEST}/{kind}/{re.sub('[^a-z0-9_-]', '-', slot.lower())}"
