"""The explicit CODER matrix, every image by every neighbour text, as Parquet: where the spec asks for it.

Nobody needs it to classify; it is for those who want to look at the similarities, or train on them. It is written in
pieces of bounded size: neither the number of images nor their product with the texts is ever in memory.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar, Self

from coder_core.encoders.base import IdentifiedEncoder
from coder_core.pipeline.artifact_types import CoderMatrixArtifact, ImageEmbeddingsArtifact, TextEmbeddingsArtifact
from coder_core.pipeline.context import Context
from coder_core.pipeline.output import Output
from coder_core.pipeline.sharding import Shard, ShardedStep
from coder_core.steps.embed_texts import read_text_embeddings
from coder_core.steps.predict_images import read_vectors, usable_images

if TYPE_CHECKING:
    import pyarrow as pa

MEBIBYTE = 2**20


class WriteMatrix(ShardedStep[CoderMatrixArtifact]):
    """Write similarities; columns are the unique texts, in the order of the text table."""

    version: ClassVar[int] = 2

    images: ImageEmbeddingsArtifact
    text_embeddings: TextEmbeddingsArtifact
    encoder: IdentifiedEncoder

    @property
    def source(self) -> ImageEmbeddingsArtifact:
        """The images."""
        return self.images

    @classmethod
    def make_shard(cls, steps: Sequence[Self], shard: Shard, context: Context, outputs: Sequence[Output]) -> None:
        """Write the rows of one shard."""
        import torch

        from coder_core.coder.vectors import coder_matrix
        from coder_core.storage.tables import vectors_to_arrow

        (step,), (output,) = steps, outputs
        texts = torch.from_numpy(read_text_embeddings(context, step.text_embeddings, step.encoder))
        pieces = step._pieces(shard, len(texts), context)
        size = lambda piece: len(piece[1])  # noqa: E731
        for name, piece in context.each(pieces, "writing the CODER matrix", total=shard.rows, unit="images", size=size):
            if output.found_part(name) is None:
                similarities = coder_matrix(read_vectors(context, step.encoder, piece), texts).numpy()
                columns = {"image_id": piece.column("image_id"), "similarities": vectors_to_arrow(similarities)}
                output.write_part(name, _table(columns))

    def join(self, context: Context, output: Output) -> CoderMatrixArtifact:  # noqa: ARG002
        """All pieces are there."""
        return output.finish(CoderMatrixArtifact, texts=self.text_embeddings.rows)

    def usable_rows(self, artifact: object) -> int:  # noqa: ARG002
        """Images that have a place."""
        return self.images.usable

    def _pieces(self, shard: Shard, text_count: int, context: Context) -> Iterator[tuple[str, "pa.Table"]]:
        """Cut parts so that no piece of the matrix is larger than `runtime.matrix_part_mb`."""
        rows = max(1, context.runtime.matrix_part_mb * MEBIBYTE // (4 * max(1, text_count)))
        for part in shard.parts:
            usable = usable_images(context, self.images, part)
            for start in range(0, max(1, len(usable)), rows):
                yield f"{part}-{start:06d}-{rows}", usable.slice(start, rows)


def _table(columns: dict[str, object]) -> "pa.Table":
    import pyarrow as pa

    return pa.table(columns)
