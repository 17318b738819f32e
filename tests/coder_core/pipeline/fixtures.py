"""Steps that compute little and tell what they did."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Self

import pyarrow as pa

from coder_core.fingerprint import NotIdentity
from coder_core.pipeline.artifact_handle import ArtifactHandle, Handle
from coder_core.pipeline.context import Context
from coder_core.pipeline.output import Output, part_name
from coder_core.pipeline.sharding import Shard, ShardedStep
from coder_core.pipeline.step import ArtifactStep, Step
from coder_core.pipeline.step_inputs import FileInput, PackagedData
from coder_core.pipeline.traits import Traits


class Numbers(ArtifactHandle):
    kind: ClassVar[str] = "numbers"
    total: int


class Settings(Handle):
    factor: int = 1
    label: Annotated[str, NotIdentity("for people")] = ""


class Count(ArtifactStep[Numbers]):
    """Writes some numbers, in parts of three."""

    made: ClassVar[list[str]] = []
    traits: ClassVar[Traits] = Traits(retry_delays=())

    count: int
    settings: Settings = Settings()
    file: FileInput | None = None
    packaged: PackagedData | None = None
    label: Annotated[str, NotIdentity("what the step is called")] = "count"

    @property
    def name(self) -> str:
        return self.label

    def make(self, context: Context, output: Output) -> Numbers:
        self.made.append(self.key)
        numbers = [self.settings.factor * number for number in range(self.count)]
        for place in range(0, max(1, self.count), 3):
            output.write_part(
                part_name(place // 3), pa.table({"number": pa.array(numbers[place : place + 3], pa.int64())})
            )
        return output.finish(Numbers, total=sum(numbers))


class Double(ShardedStep[Numbers]):
    """Multiplies the numbers of another artifact, part by part."""

    passes: ClassVar[list[tuple[int, tuple[str, ...]]]] = []
    traits: ClassVar[Traits] = Traits(retry_delays=())

    numbers: Numbers
    factor: int = 2

    @property
    def source(self) -> Numbers:
        return self.numbers

    @classmethod
    def make_shard(cls, steps: Sequence[Self], shard: Shard, context: Context, outputs: Sequence[Output]) -> None:
        cls.passes.append((len(steps), shard.parts))
        for part in context.each(shard.parts, "doubling", total=len(shard.parts), unit="parts"):
            numbers = context.read_part(steps[0].numbers, part).column("number").to_pylist()
            for step, output in zip(steps, outputs, strict=True):
                if output.found_part(part) is None:
                    output.write_part(part, pa.table({"number": [step.factor * number for number in numbers]}))

    def join(self, context: Context, output: Output) -> Numbers:
        total = sum(sum(output.read_part(record.name).column("number").to_pylist()) for record in output.records())
        return output.finish(Numbers, total=total)


class Sum(Step[int]):
    """Looks at an artifact."""

    numbers: Numbers

    def run(self, context: Context) -> int:
        return sum(context.read(self.numbers).column("number").to_pylist())
