"""Steps that are cut into shards: each shard is a task of its own, on a thread, a process or another machine.

A shard is a run of parts of the artifact that is worked through; its parts are the parts of what is made, so a shard
that was interrupted goes on at its first missing part. Several steps of one class that read the same artifact may share
one pass over it (`run.in_one_pass`): each still makes its own artifact under its own key.
"""

import time
from collections.abc import Sequence
from typing import Generic, NamedTuple, Self

from coder_core.errors import StepContractError
from coder_core.interruption import check_interruption, time_limit
from coder_core.pipeline.artifact_handle import ArtifactHandle, Handle
from coder_core.pipeline.context import Context
from coder_core.pipeline.output import Output
from coder_core.pipeline.pace import Pace
from coder_core.pipeline.step import ArtifactStep, Done, Made
from coder_core.pipeline.taken_parts import slot_of, take_parts_over
from coder_core.storage.manifest import PartRecord


class Shard(Handle):
    """Parts that one task works on."""

    parts: tuple[str, ...]
    rows: int

    @property
    def name(self) -> str:
        """First and last part, for people; one part is named once."""
        return "..".join(dict.fromkeys([self.parts[0], self.parts[-1]]))


class ShardReport(Handle):
    """What one shard contributed to one artifact."""

    key: str
    records: tuple[PartRecord, ...]
    seconds: float
    computed: int
    pace: Pace | None = None


class ShardedStep(ArtifactStep[Made], Generic[Made]):
    """A step whose artifact is made shard by shard."""

    @property
    def source(self) -> ArtifactHandle:
        """The artifact that is worked through part by part."""
        raise NotImplementedError

    @classmethod
    def make_shard(cls, steps: Sequence[Self], shard: Shard, context: Context, outputs: Sequence[Output]) -> None:
        """Write the parts of a shard for every one of some steps that share a pass."""
        raise NotImplementedError

    def join(self, context: Context, output: Output) -> Made:
        """Return the handle, all parts being there: `output.finish(...)`."""
        raise NotImplementedError


class Pass(NamedTuple):
    """What is left to do of some steps that share a pass.

    Args:
        done: By key: the accounts of those whose artifact was found.
        missing: The others.
        shards: What to work through for those.
    """

    done: dict[str, Done]
    missing: tuple[ShardedStep[ArtifactHandle], ...]
    shards: tuple[Shard, ...]


def plan_pass(steps: Sequence[ShardedStep[ArtifactHandle]], context: Context) -> Pass:
    """Find what is there, and cut the rest into shards.

    Raises:
        StepContractError: The steps do not work through the same artifact.
    """
    check_interruption()
    if len({(type(step), step.source.key) for step in steps}) > 1:
        raise StepContractError("steps of one pass work through different artifacts.", steps[0].name)
    done: dict[str, Done] = {}
    missing: dict[str, ShardedStep[ArtifactHandle]] = {}
    for step in steps:
        started = time.monotonic()
        found = step.find(context)
        if found is None:
            step.explain_miss(context)
            missing[step.key] = step
        else:
            done[step.key] = step.found(found, time.monotonic() - started)
    shards = plan_shards(steps[0].source, context) if missing else ()
    return Pass(done, tuple(missing.values()), shards)


def plan_shards(source: ArtifactHandle, context: Context) -> tuple[Shard, ...]:
    """Group the parts of an artifact into shards of about `runtime.shard_images` rows."""
    shards: list[Shard] = []
    for part in context.parts(source):
        last = shards[-1] if shards else None
        if last and last.rows + part.rows <= context.runtime.shard_images:
            shards[-1] = Shard(parts=(*last.parts, part.name), rows=last.rows + part.rows)
        else:
            shards.append(Shard(parts=(part.name,), rows=part.rows))
    return tuple(shards)


def run_shard(steps: Sequence[ShardedStep[ArtifactHandle]], shard: Shard, context: Context) -> tuple[ShardReport, ...]:
    """Work through one shard within the time limit; gives one report per step."""
    context = context.paced()
    started = time.monotonic()
    check_interruption()
    outputs = [step.open_output(context) for step in steps]
    with time_limit(steps[0].traits.time_limit_seconds):
        for step, output in zip(steps, outputs, strict=True):
            take_parts_over(step, shard.parts, context, output)
        type(steps[0]).make_shard(steps, shard, context, outputs)
    seconds, pace = (time.monotonic() - started) / len(steps), context.pace.total
    return tuple(
        ShardReport(key=step.key, records=output.records(), seconds=seconds, computed=output.computed_rows, pace=pace)
        for step, output in zip(steps, outputs, strict=True)
    )


def finish_step(step: ShardedStep[ArtifactHandle], reports: Sequence[ShardReport], context: Context) -> Done:
    """Join what the shards wrote into the step's artifact."""
    context = context.paced()
    started = time.monotonic()
    own = [report for report in reports if report.key == step.key]
    output = step.open_output(context)
    for report in own:
        output.adopt(report.records)
        output.count(report.computed)
        if report.pace is not None:
            context.pace.add(**report.pace.model_dump())
    made = step.join(context, output)
    seconds = time.monotonic() - started + sum(report.seconds for report in own)
    done = step.commit(context, output, made, seconds)
    context.artifacts.note_latest(made.stored, slot_of(step))
    return done
