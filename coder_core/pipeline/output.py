"""Where a step writes what it makes: parts in any order, or one document; the base class commits them."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from coder_core.errors import StepContractError
from coder_core.pipeline.artifact_handle import ArtifactHandle
from coder_core.storage.artifact_writer import ArtifactWriter
from coder_core.storage.manifest import Artifact, PartRecord

if TYPE_CHECKING:
    import pyarrow as pa

Made = TypeVar("Made", bound=ArtifactHandle)

ONE_PART = "part-000000"
"""The part of a table that is written at once."""


def part_name(number: int) -> str:
    """Name of the part with the given number; names sort in the order of the rows."""
    return f"part-{number:06d}"


class Output:
    """The artifact in the making.

    Args:
        writer: The storage layer's side of it.
    """

    def __init__(self, writer: ArtifactWriter) -> None:
        self._writer = writer
        self._document: Mapping[str, object] | None = None
        self._rows: dict[str, int] = {}
        self._written: int = 0
        self._computed: int | None = None

    @property
    def computed_rows(self) -> int:
        """Rows computed in this run: as `count` was told, else all that were written."""
        return self._written if self._computed is None else self._computed

    def count(self, computed: int) -> None:
        """Add to the rows that were computed in this run, where some of them were in the store."""
        self._computed = (self._computed or 0) + computed

    def write(self, table: "pa.Table") -> None:
        """Write the whole table as one part."""
        self.write_part(ONE_PART, table)

    def write_part(self, name: str, table: "pa.Table") -> PartRecord:
        """Write one part; a sound part of that name that is there already stays."""
        record = self._writer.write_part(name, table)
        self._rows[name] = record.rows
        self._written += record.rows
        return record

    def found_part(self, name: str) -> PartRecord | None:
        """A part that an interrupted run left, or another shard wrote."""
        record = self._writer.found_part(name)
        if record is not None:
            self._rows[name] = record.rows
        return record

    def take_part_over(self, name: str, other: Artifact, record: PartRecord) -> None:
        """Copy a part of another artifact that is what is to be made; one that is damaged, or gone, is made instead."""
        if self._writer.take_part_over(name, other, record):
            self._rows[name] = record.rows

    def discard_part(self, name: str) -> None:
        """Remove a part that is sound but says too little by now, so that it can be written anew."""
        self._writer.discard_part(name)
        self._rows.pop(name, None)

    def read_part(self, name: str, columns: Sequence[str] | None = None) -> "pa.Table":
        """Read a part back that this or another process wrote."""
        return self._writer.read_part(name, columns)

    def adopt(self, records: Sequence[PartRecord]) -> None:
        """Take over the parts that shards wrote."""
        self._writer.adopt(records)
        self._rows.update({record.name: record.rows for record in records})

    def records(self) -> tuple[PartRecord, ...]:
        """The records of all parts, in the order of their names."""
        return tuple(self._writer.records(sorted(self._rows)))

    def write_document(self, document: Mapping[str, object]) -> None:
        """Write a small JSON object in the place of a table."""
        self._document = document

    def finish(self, handle_type: type[Made], **facts: Any) -> Made:
        """Make the handle of the artifact; the base class commits it.

        Args:
            handle_type: What the step declares.
            **facts: The handle's own fields.
        """
        return handle_type(key=self._writer.key, rows=sum(self._rows.values()), **facts)

    def commit(self, handle: ArtifactHandle) -> None:
        """Write the manifest.

        Raises:
            StepContractError: Nothing was written.
        """
        if self._document is not None:
            self._writer.commit_document(self._document, handle.facts)
        elif self._rows:
            self._writer.commit(handle.facts, parts=list(self._rows))
        else:
            problem = "it finished without a part and without a document."
            raise StepContractError(problem, f"artifact {handle.kind}", "Write an empty table when there are no rows.")
