"""What the second half of an evaluation starts from: what is classified, by whom, and what is said about it."""

from typing import NamedTuple

from coder_core.atg.generation_report import GenerationReport
from coder_core.encoders.base import IdentifiedEncoder
from coder_core.pipeline.artifact_types import (
    Dataset,
    ImageEmbeddingsArtifact,
    TextBankArtifact,
    TextEmbeddingsArtifact,
    TextsArtifact,
)


class Inputs(NamedTuple):
    """Everything that predictions are made from, and the data set with its labels for those who may read them.

    Args:
        dataset: What is classified.
        encoder: Whose space.
        bank: What is said about the classes.
        generation: What a language model was asked for it, chunk by chunk.
        texts: The sentences of stage 1.
        text_embeddings: Where they lie.
        images: Where the images lie.
        class_names: What classes are called, where not as the data set says.
    """

    dataset: Dataset
    encoder: IdentifiedEncoder
    bank: TextBankArtifact
    generation: tuple[GenerationReport, ...]
    texts: TextsArtifact
    text_embeddings: TextEmbeddingsArtifact
    images: ImageEmbeddingsArtifact
    class_names: dict[str, str] = {}  # noqa: RUF012 - never changed
