"""Texts get their places in the encoder's space.

Vectors live in ledgers, one partition per encoder, found by the hash of the text or of the image file: what any run has
embedded is never embedded again. The artifacts hold no vectors but the keys, in order.
"""

from typing import TYPE_CHECKING, Annotated, ClassVar

from coder_core.encoders.base import IdentifiedEncoder
from coder_core.fingerprint import NotIdentity
from coder_core.pipeline.artifact_types import TextEmbeddingsArtifact, TextsArtifact
from coder_core.pipeline.context import Context
from coder_core.pipeline.output import Output
from coder_core.pipeline.step import ArtifactStep
from coder_core.pipeline.traits import MODEL, Traits
from coder_core.steps.write_texts import read_text_table

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float


class EmbedTexts(ArtifactStep[TextEmbeddingsArtifact]):
    """Give every text its place in the encoder's space; what the ledger holds is not embedded again.

    Raises:
        FeatureFileError: A precomputed encoder does not know a text.
        CheckpointError: The model cannot be loaded.
    """

    version: ClassVar[int] = 2
    traits: ClassVar[Traits] = MODEL

    texts: TextsArtifact
    encoder: IdentifiedEncoder
    label: Annotated[str, NotIdentity("what the step is called among the timings")] = "embed_texts"

    @property
    def name(self) -> str:
        """As it stands among the timings."""
        return self.label

    @property
    def title(self) -> str:
        """With the encoder's name."""
        return f"{self.label}-{self.encoder.label}".replace("_", "-")

    def is_intact(self, artifact: TextEmbeddingsArtifact, context: Context) -> bool:
        """Whether the ledger still holds every vector: a damaged part of it is moved aside."""
        from coder_core.embedding.ledgers import open_ledger

        keys = context.read(artifact, ["key"]).column("key").to_pylist()
        return not open_ledger(context, "text_embeddings", self.encoder).missing(keys)

    def make(self, context: Context, output: Output) -> TextEmbeddingsArtifact:
        """Embed what is missing, and keep the keys."""
        import pyarrow as pa

        from coder_core.embedding.text_passes import embed_texts

        embedded = embed_texts(context, self.encoder, read_text_table(context, self.texts).unique_texts())
        output.write(pa.table({"key": pa.array(embedded.keys, type=pa.string())}))
        output.count(embedded.computed)
        return output.finish(TextEmbeddingsArtifact)


def read_text_embeddings(
    context: Context, embeddings: TextEmbeddingsArtifact, encoder: IdentifiedEncoder
) -> "Float[np.ndarray, 'texts dim']":
    """One row per unique text, in the order of the table."""
    from coder_core.embedding.ledgers import open_ledger

    keys = context.read(embeddings, ["key"]).column("key").to_pylist()
    return open_ledger(context, "text_embeddings", encoder).read(keys)
