"""Manifests: the record of a finished artifact, and the small handle that stands for it between steps.

No pyarrow here: handles travel through flows and tasks, which must start fast.
"""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from coder_core.errors import StoreError
from coder_core.fingerprint import key_of, plain_json
from coder_core.storage.refusals import NotInStoreError
from coder_core.storage.store import Store

FOLDER = "artifacts"
MANIFEST = "manifest.json"
Summary = dict[str, int | float | str]


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


def load_manifest(store: Store, kind: str, key: str) -> Manifest | None:
    """Read a manifest; None when there is none, and then there is no artifact.

    Raises:
        StoreError: When it is damaged or is not the manifest of this key.
    """
    path = f"{artifact_folder(kind, key)}/{MANIFEST}"
    remedy = "Delete its folder and run again."
    try:
        manifest = Manifest.model_validate_json(store.read_bytes(path))
    except NotInStoreError:
        return None
    except ValidationError as error:
        problem = f"This manifest is damaged ({error.errors()[0]['msg']})."
        raise StoreError(problem, store.url(path), remedy) from error
    if (manifest.key, artifact_key(manifest.payload)) != (key, key):
        problem = "This manifest contradicts itself: its key is not that of its payload or of its folder."
        raise StoreError(problem, store.url(path), remedy)
    return manifest
