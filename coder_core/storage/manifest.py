"""Manifests: the record of a finished artifact, and the small handle that stands for it between steps.

No pyarrow here: handles travel through flows and tasks, which must start fast.
"""

import json
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from coder_core.errors import StoreError
from coder_core.fingerprint import key_of, plain_json
from coder_core.storage.refusals import REPAIR, NotInStoreError, UnexpectedContentError
from coder_core.storage.store import Store

FOLDER = "artifacts"
LATEST = "latest"
"""Folder of the notes that say which artifact a step made last: they explain why the next one is another."""
MANIFEST = "manifest.json"
CHECKSUM = "checksum"
Summary = dict[str, Any]
"""Small facts about an artifact, as JSON."""


class Frozen(BaseModel):
    """A record that cannot be changed and knows all its fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Artifact(Frozen):
    """The handle of an artifact: small enough to travel through Prefect as JSON.

    Args:
        kind: What it is, e.g. `texts`.
        key: 64 hexadecimal digits: what it was made from.
        rows: Rows of its table.
        summary: Numbers and words worth showing.
    """

    kind: str
    key: str
    rows: int
    summary: Summary = Field(default_factory=dict)


class ArtifactPayload(Frozen):
    """Everything that decides an artifact's content, and nothing else.

    Args:
        kind: Names the step's product; lower-case letters, digits, `_` and `-`.
        step_version: Raised by whoever changes what the step computes.
        spec: What to compute; anything that `canonical_json` takes.
        inputs: Keys of computed inputs, content hashes of the others.
    """

    kind: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    step_version: int
    spec: Any
    inputs: dict[str, str] = Field(default_factory=dict)

    @field_validator("spec", mode="before")
    @classmethod
    def _reduce_spec(cls, spec: object) -> object:
        return plain_json(spec, "spec")


class PartRecord(Frozen):
    """One part as the manifest knows it: name without suffix, rows, sha256 and size of the file."""

    name: str
    rows: int
    sha256: str
    bytes: int


class Manifest(Frozen):
    """The record of a finished artifact; `schema` lists column names and Arrow types."""

    kind: str
    key: str
    payload: ArtifactPayload
    parts: list[PartRecord]
    rows: int
    created_at: datetime
    summary: Summary
    columns: dict[str, str]
    document: dict[str, Any] | None = None

    def handle(self) -> Artifact:
        """Return the handle that stands for this artifact."""
        return Artifact(kind=self.kind, key=self.key, rows=self.rows, summary=self.summary)


def artifact_key(payload: ArtifactPayload) -> str:
    """Return the key of what a payload decides."""
    return key_of(payload)


def artifact_folder(kind: str, key: str) -> str:
    """Return the folder of an artifact, relative to the store."""
    return f"{FOLDER}/{kind}/{key}"


def part_path(kind: str, key: str, name: str) -> str:
    """Return the file of a part, relative to the store."""
    return f"{artifact_folder(kind, key)}/{name}.parquet"


def encode_manifest(manifest: Manifest) -> bytes:
    """Write a manifest as JSON with the sha256 of all it says: a flipped digit would be another plausible number."""
    fields = manifest.model_dump(mode="json")
    return json.dumps({**fields, CHECKSUM: key_of(fields)}, indent=1).encode("ascii")


def manifest_path(kind: str, key: str) -> str:
    """Return the file of a manifest, relative to the store."""
    return f"{artifact_folder(kind, key)}/{MANIFEST}"


def load_manifest(store: Store, kind: str, key: str) -> Manifest | None:
    """Read a manifest; None when there is none, and then there is no artifact.

    Raises:
        UnexpectedContentError: When it is damaged or is not the manifest of this key.
        StoreError: When another version of this package wrote it.
    """
    path = manifest_path(kind, key)
    try:
        content = store.read_bytes(path)
    except NotInStoreError:
        return None
    manifest = _decode(content, store.url(path))
    if (manifest.key, manifest.kind, artifact_key(manifest.payload)) != (key, kind, key):
        problem = "This manifest contradicts itself: its key is not that of its payload or of its folder."
        raise UnexpectedContentError(problem, store.url(path), REPAIR)
    return manifest


def _decode(content: bytes, url: str) -> Manifest:
    """Read a manifest; those written before there were checksums have none to be compared with."""
    try:
        fields = json.loads(content)
        stated = fields.pop(CHECKSUM, None)
        is_sound = stated is None or key_of(fields) == stated
    except (ValueError, TypeError, AttributeError) as error:
        raise UnexpectedContentError(f"This manifest is damaged ({error}).", url, REPAIR) from error
    if not is_sound:
        raise UnexpectedContentError("This manifest is damaged (its checksum differs).", url, REPAIR)
    try:
        return Manifest.model_validate(fields)
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        if stated is None:
            raise UnexpectedContentError(f"This manifest is damaged ({reason}).", url, REPAIR) from error
        problem = f"This manifest is whole, and this version of coder-eval cannot read it ({reason})."
        raise StoreError(problem, url, "Use the version that wrote it, or another store.") from error
