"""Handles: small frozen values that travel between steps and stand for what the store holds."""

from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict

from coder_core.fingerprint import Json
from coder_core.storage.manifest import Artifact, Manifest


class Handle(BaseModel):
    """A frozen value that knows all its fields; JSON on its way to another process."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ArtifactHandle(Handle):
    """What a step made, by kind and key; counts by its key alone wherever it is part of an identity.

    A subclass names its `kind`, and adds fields for the few facts that are worth knowing without reading the artifact.

    Attributes:
        key: sha256 of what it was made from: the folder in the store.
        rows: Rows of its table; 0 for a document.
    """

    kind: ClassVar[str]

    key: str
    rows: int = 0

    def identity(self) -> Json:
        """The key: two artifacts of one key are equal."""
        return self.key

    @property
    def stored(self) -> Artifact:
        """How the storage layer names it."""
        return Artifact(kind=self.kind, key=self.key, rows=self.rows)

    @property
    def facts(self) -> dict[str, Any]:
        """The fields that a subclass adds, as JSON: the summary in the manifest."""
        return self.model_dump(mode="json", exclude={"key", "rows"})

    @classmethod
    def of_manifest(cls, manifest: Manifest) -> Self:
        """Read a handle back from the record of the artifact."""
        return cls(key=manifest.key, rows=manifest.rows, **manifest.summary)
