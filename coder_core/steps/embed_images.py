"""Images get their places in the encoder's space, shard by shard.

A shard is a run of parts of the image listing; shards are independent, so they map onto threads, processes or machines.
A broken image is left out, counted and listed with its reason, and the run goes on.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field

from coder_core.counted import counted
from coder_core.embedding.image_stream import UNREAD
from coder_core.encoders.base import IdentifiedEncoder
from coder_core.encoders.registry import find_family
from coder_core.errors import DatasetError, FeatureFileError
from coder_core.fingerprint import key_of
from coder_core.images.decoding import decoder_identity
from coder_core.loops import each
from coder_core.pipeline.artifact_types import ImageEmbeddingsArtifact, ImagesArtifact
from coder_core.pipeline.context import Context
from coder_core.pipeline.output import Output
from coder_core.pipeline.sharding import Shard, ShardedStep
from coder_core.pipeline.traits import MODEL, Traits
from coder_core.progress import track
from coder_core.storage.shared_work import Work, share_work

if TYPE_CHECKING:
    import pyarrow as pa
    from jaxtyping import Float

COLUMNS = ("image_id", "key", "problem")

FEATURE_PARTS = 4
"""Parts of a listing of features whose vectors go into the ledger together: 16,384 rows, as a shard has by default."""


class EmbedImages(ShardedStep[ImageEmbeddingsArtifact]):
    """Give every image its place in the encoder's space; what the ledger holds is not embedded again.

    The artifact has `image_id`, ledger `key` and, of a broken image, its `problem`.

    Raises:
        CheckpointError: The model cannot be loaded.
        FeatureFileError: Image features are of another encoder.
        DatasetError: Not one image can be read.
    """

    version: ClassVar[int] = 2
    traits: ClassVar[Traits] = MODEL

    images: ImagesArtifact
    encoder: IdentifiedEncoder
    decoder: str = Field(default_factory=decoder_identity)

    @property
    def source(self) -> ImagesArtifact:
        """The listing."""
        return self.images

    def usable_rows(self, artifact: Any) -> int:
        """All but those in quarantine."""
        return int(artifact.usable)

    def is_intact(self, artifact: ImageEmbeddingsArtifact, context: Context) -> bool:
        """Whether every image could be read, and the ledger still holds every vector: a damaged part is moved aside."""
        if artifact.unread is not None:
            return False
        self._look_anew(context)
        read = (context.read_part(artifact, part.name, ["key", "problem"]) for part in context.parts(artifact))
        return all(self._holds(context, part) for part in each(read))

    @classmethod
    def make_shard(cls, steps: Sequence[Self], shard: Shard, context: Context, outputs: Sequence[Output]) -> None:
        """Embed the images of one shard that the ledger does not hold, or holds no more."""
        (step,), (output,) = steps, outputs
        output.count(0)
        if not any(missing := step._lacking(shard.parts, context, output)):
            return

        def lacking(names: list[str]) -> list[str]:  # moves nothing aside: who made them may be at work on the others
            step._look(names, context, output)
            return [name for name in names if not step._is_made(name, context, output)]

        def embed(names: list[str]) -> None:
            step._embed(names, context, output)

        work = Work(f"embedding images ({step.encoder.label})", step._name_images(missing, context), lacking, embed)
        share_work(context.artifacts.store, ["embed_images", step.encoder.key], work)

    def _name_images(self, parts: Sequence[str], context: Context) -> dict[str, list[str]]:
        """What tells the images of each part from others, before any is read: where they are, or in which part."""
        if "location" not in context.columns(self.images):
            return {name: [f"{self.images.key} {name}"] for name in parts}
        listed = ((name, context.read_part(self.images, name, ["location"])) for name in parts)
        return {name: listing.column("location").to_pylist() for name, listing in listed}

    def _is_made(self, name: str, context: Context, output: Output) -> bool:
        if output.found_part(name) is None:
            return False
        return self._holds(context, output.read_part(name, ["key", "problem"]))

    def _lacking(self, names: Sequence[str], context: Context, output: Output) -> list[str]:
        self._look(names, context, output)
        return [name for name in names if not self._has_part(name, context, output)]

    def _embed(self, missing: Sequence[str], context: Context, output: Output) -> None:
        rows = sum(context.part(self.images, name).rows for name in missing)
        listed = ((name, context.read_part(self.images, name)) for name in missing)
        with track("embedding images", total=rows, unit="images", note=context.pace.describe) as progress:
            for name, table, computed in each(_embed_parts(context, self.encoder, listed, progress.advance)):
                output.write_part(name, table)
                output.count(computed)

    def join(self, context: Context, output: Output) -> ImageEmbeddingsArtifact:
        """Count what was left out, and name what may be there another time."""
        problems: list[dict[str, Any]] = []
        rows = 0
        for record in context.each(output.records(), "joining", total=len(output.records()), unit="parts"):
            rows += record.rows
            problems += broken_rows(output.read_part(record.name, ["image_id", "problem"])).to_pylist()
        if len(problems) == rows:
            raise DatasetError(
                f"none of {counted(rows, 'image')} can be read ({problems[0]['problem']}).",
                problems[0]["image_id"],
                "Check the data set.",
            )
        unread = [row["image_id"] for row in problems if row["problem"].startswith(UNREAD)]
        return output.finish(
            ImageEmbeddingsArtifact, quarantined=len(problems), unread=key_of(unread) if unread else None
        )

    def _has_part(self, name: str, context: Context, output: Output) -> bool:
        if output.found_part(name) is None:
            return False
        part = output.read_part(name, ["key", "problem"])
        if _has_unread(part):
            output.discard_part(name)
            return False
        return self._holds(context, part)

    def _look(self, names: Sequence[str], context: Context, output: Output) -> None:
        """As `_look_anew`, where one of some parts is there: what none is made of nobody asks the ledger for."""
        if any(output.found_part(name) is not None for name in names):
            self._look_anew(context)

    def _look_anew(self, context: Context) -> None:
        """Learn of what others have added to the ledger, or moved aside, since the last look."""
        from coder_core.embedding.ledgers import open_ledger

        open_ledger(context, "image_embeddings", self.encoder).missing(())

    def _holds(self, context: Context, embedded: "pa.Table") -> bool:
        """Whether the ledger held the vectors of a part at the last look."""
        from coder_core.embedding.ledgers import open_ledger

        keys = readable_rows(embedded).column("key")
        return open_ledger(context, "image_embeddings", self.encoder).holds_all(keys)


def readable_rows(part: "pa.Table") -> "pa.Table":
    """The rows of a part that have no problem: all, as a rule, and then nothing is copied."""
    import pyarrow.compute as pc

    problems = part.column("problem")
    return part if problems.null_count == len(part) else part.filter(pc.is_null(problems))


def broken_rows(part: "pa.Table") -> "pa.Table":
    """The rows of a part that have a problem."""
    import pyarrow.compute as pc

    return part.filter(pc.is_valid(part.column("problem")))


def _has_unread(part: "pa.Table") -> bool:
    import pyarrow.compute as pc

    return bool(pc.any(pc.starts_with(part.column("problem"), UNREAD)).as_py())


def _embed_parts(
    context: Context,
    encoder: IdentifiedEncoder,
    listed: Iterator[tuple[str, "pa.Table"]],
    advance: Callable[[int], None],
) -> Iterator[tuple[str, "pa.Table", int]]:
    """Embed parts of a listing; gives each part's table and how many of its images were computed."""
    if find_family(encoder.spec.kind).embeds_images:
        from coder_core.steps.embed_listed_files import embed_listed

        yield from embed_listed(context, encoder, listed, advance)
        return
    while parts := list(islice(listed, FEATURE_PARTS)):
        for name, table, computed in _keep_vectors(context, encoder, parts):
            advance(table.num_rows)
            yield name, table, computed


def embedded_table(image_ids: Sequence[str], keys: Sequence[str | None], problems: Sequence[str | None]) -> "pa.Table":
    """Rows of the artifact."""
    import pyarrow as pa

    columns = [pa.array(values, type=pa.string()) for values in (image_ids, keys, problems)]
    return pa.table(columns, names=list(COLUMNS))


def _keep_vectors(
    context: Context, encoder: IdentifiedEncoder, listed: Sequence[tuple[str, "pa.Table"]]
) -> Iterator[tuple[str, "pa.Table", int]]:
    """Keep features that another tool computed, of some parts at once; gives each part's table and how many are new."""
    import numpy as np
    import pyarrow as pa

    from coder_core.embedding.ledgers import open_ledger
    from coder_core.storage.tables import row_hashes, vectors_from_arrow

    vectors: Float[np.ndarray, "images dim"] = np.concatenate(
        [vectors_from_arrow(listing.column("vector")) for _, listing in listed]
    )
    _check_dim(vectors.shape[1], encoder)
    keys = row_hashes(vectors)
    ledger = open_ledger(context, "image_embeddings", encoder)
    new = ledger.missing_rows(keys)
    ledger.append(keys.take(pa.array(new)), vectors[new], is_missing=True)
    start = 0
    for name, listing in listed:
        end = start + len(listing)
        columns = [listing.column("image_id"), keys.slice(start, end - start), pa.nulls(end - start, pa.string())]
        yield name, pa.table(columns, names=list(COLUMNS)), int(((start <= new) & (new < end)).sum())
        start = end


def _check_dim(dim: int, encoder: IdentifiedEncoder) -> None:
    if dim != encoder.dim:
        raise FeatureFileError(
            f"image features have {dim} dimensions, text features {encoder.dim}.",
            ", ".join(file.path for file in getattr(encoder.spec, "texts", ())),
            "Give image and text features of one encoder.",
        )
