"""What a step works with: the store behind a `Runtime`, the accelerator, and loops that can be watched and stopped."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

from coder_core.loops import each
from coder_core.pipeline.accelerator import Accelerator, LocalAccelerator
from coder_core.pipeline.artifact_handle import ArtifactHandle
from coder_core.pipeline.pace import PaceMeter
from coder_core.progress import track
from coder_core.specs import Runtime
from coder_core.storage.artifacts import ArtifactStore
from coder_core.storage.manifest import PartRecord
from coder_core.storage.store import Store

if TYPE_CHECKING:
    import pyarrow as pa

    from coder_core.pipeline.step import Step

Result = TypeVar("Result")
Item = TypeVar("Item")


def _one(_item: Any) -> int:
    return 1


@dataclass(frozen=True)
class Context:
    """What a step works with.

    Attributes:
        runtime: Where and how fast; nothing of it may enter a result.
        artifacts: The store.
        accelerator: Who may use the device.
        nested: Accounts of the steps that this step has had done.
        pace: How fast inputs go through a model in this step.
    """

    runtime: Runtime
    artifacts: ArtifactStore
    accelerator: Accelerator
    nested: list[Any] = field(default_factory=list)
    pace: PaceMeter = field(default_factory=PaceMeter)

    @classmethod
    def open(cls, runtime: Runtime, accelerator: Accelerator | None = None) -> "Context":
        """The context of a runtime, in this process."""
        return cls(runtime, ArtifactStore(Store(runtime.store)), accelerator or LocalAccelerator(runtime))

    def inner(self) -> "Context":
        """The same context, for the accounts of one step."""
        return replace(self, nested=[], pace=PaceMeter())

    def paced(self) -> "Context":
        """The same context, with a meter for one step alone."""
        return replace(self, pace=PaceMeter())

    def do(self, step: "Step[Result]") -> Result:
        """Do a step as part of another one, in the same task; its account is kept beside that of the other."""
        done = step(self)
        self.nested.extend(done.records)
        return cast("Result", done.result)

    def read(self, artifact: ArtifactHandle, columns: Sequence[str] | None = None) -> "pa.Table":
        """Read the whole table of an artifact, parts in the order of their names."""
        return self.artifacts.read(artifact.stored, columns)

    def parts(self, artifact: ArtifactHandle) -> tuple[PartRecord, ...]:
        """List the parts of an artifact."""
        return self.artifacts.parts(artifact.stored)

    def part(self, artifact: ArtifactHandle, name: str) -> PartRecord:
        """The record of one part of an artifact; all are not gone through for it."""
        return self.artifacts.part(artifact.stored, name)

    def columns(self, artifact: ArtifactHandle) -> frozenset[str]:
        """Name the columns of an artifact's table."""
        return frozenset(self.artifacts.known_manifest(artifact.stored).columns)

    def read_part(self, artifact: ArtifactHandle, name: str, columns: Sequence[str] | None = None) -> "pa.Table":
        """Read one part of an artifact."""
        return self.artifacts.read_part(artifact.stored, name, columns)

    def read_document(self, artifact: ArtifactHandle) -> dict[str, Any]:
        """Read the JSON object of an artifact that is a document."""
        return self.artifacts.read_document(artifact.stored)

    def each(
        self, items: Iterable[Item], label: str, *, total: int, unit: str, size: Callable[[Item], int] = _one
    ) -> Iterator[Item]:
        """Yield items as `loops.each` does, and show how far the work is.

        Args:
            items: What is worked on, one after the other.
            label: What is done, e.g. `classifying`.
            total: Units in all.
            unit: What is counted, e.g. `images`.
            size: Units of one item.
        """
        with track(label, total=total, unit=unit, note=self.pace.describe) as progress:
            for item in each(items):
                yield item
                progress.advance(size(item))
