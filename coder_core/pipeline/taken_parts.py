"""Parts that need not be made: those of another listing that hold the same images.

A listing with one image more is another artifact, and so is all that is made from it; yet all its parts but one are
those of the listing before. What a sharded step makes of a part depends on that part and on the step's other fields, so
where both are equal the part that is there is copied, and compared with its hash on the way.
"""

import logging
from typing import TYPE_CHECKING, NamedTuple

from coder_core.errors import StoreError
from coder_core.fingerprint import key_of
from coder_core.pipeline.context import Context
from coder_core.storage.artifacts import ArtifactStore
from coder_core.storage.manifest import Artifact, ArtifactPayload, PartRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coder_core.pipeline.artifact_handle import ArtifactHandle
    from coder_core.pipeline.output import Output
    from coder_core.pipeline.sharding import ShardedStep

logger = logging.getLogger(__name__)

SLOT_DIGITS = 16
"""Of a hash that only leads to a candidate, whose record says whether it is the right one."""


class _Common(NamedTuple):
    """What two artifacts share that differ in the listing alone, and where the payload names that."""

    source_path: str
    rest: object


class Predecessor(NamedTuple):
    """An artifact that was made as another one is to be made, of another listing.

    Args:
        artifact: The artifact.
        listing: What it was made of, part by part.
    """

    artifact: Artifact
    listing: Artifact

    def part_made_of(self, sha256: str, artifacts: ArtifactStore) -> PartRecord | None:
        """What was made of the part of the listing that has this content."""
        listed = artifacts.find_part(self.listing, sha256=sha256)
        return None if listed is None else artifacts.find_part(self.artifact, name=listed.name)


def take_parts_over(
    step: "ShardedStep[ArtifactHandle]", names: "Sequence[str]", context: Context, output: "Output"
) -> None:
    """Copy those of some parts that are missing and that another listing has, too."""
    missing = [name for name in names if output.found_part(name) is None]
    before = find_predecessor(step, context) if missing else None
    if before is None:
        return
    for name in missing:
        record = before.part_made_of(context.part(step.source, name).sha256, context.artifacts)
        if record is not None:
            output.take_part_over(name, before.artifact, record)


def find_predecessor(step: "ShardedStep[ArtifactHandle]", context: Context) -> Predecessor | None:
    """The newest artifact that differs from a step's in the listing alone; None where there is none, or it is gone."""
    own = _common(step.payload, step.source.key)
    if own is None:
        return None
    try:
        made = context.artifacts.latest(step.payload.kind, slot_of(step))
        if made is None or made.key == step.key:
            return None
        listing_key = made.payload.inputs.get(own.source_path, "")
        if _common(made.payload, listing_key) != own:
            return None
        listing = Artifact(kind=step.source.kind, key=listing_key, rows=0)
        context.artifacts.known_manifest(listing)
    except StoreError as error:  # collected or damaged meanwhile: everything is made, as without it
        logger.debug("%s: nothing is taken over: %s", step.title, error)
        return None
    return Predecessor(made.handle(), listing)


def slot_of(step: "ShardedStep[ArtifactHandle]") -> str:
    """Where the newest artifact is noted that was made like a step's, of whichever listing."""
    return f"{step.name}-{key_of(_common(step.payload, step.source.key))[:SLOT_DIGITS]}"


def _common(payload: ArtifactPayload, source_key: str) -> _Common | None:
    paths = [path for path, key in payload.inputs.items() if key == source_key]
    if len(paths) != 1:
        return None
    others = {path: key for path, key in payload.inputs.items() if path != paths[0]}
    return _Common(paths[0], [payload.kind, payload.step_version, payload.spec, others])
