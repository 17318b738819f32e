"""What the second half of an evaluation starts from: what is classified, by whom, and what is said about it."""

from typing import NamedTuple

from coder_core.atg.generation_report import GenerationReport
from coder_core.encoders.base import IdentifiedEncoder
from coder_core.errors import ConfigError
from coder_core.pipeline.artifact_types import (
    Dataset,
    ImageEmbeddingsArtifact,
    ShownImages,
    TextBankArtifact,
    TextEmbeddingsArtifact,
    TextsArtifact,
)
from coder_core.specs import EvalSpec


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
        shown: Labelled images that a language model was shown; None where it was shown none.
    """

    dataset: Dataset
    encoder: IdentifiedEncoder
    bank: TextBankArtifact
    generation: tuple[GenerationReport, ...]
    texts: TextsArtifact
    text_embeddings: TextEmbeddingsArtifact
    images: ImageEmbeddingsArtifact
    class_names: dict[str, str] = {}  # noqa: RUF012 - never changed
    shown: ShownImages | None = None


def require_labels(spec: EvalSpec) -> None:
    """Refuse an evaluation of images that nobody has labelled.

    Raises:
        ConfigError: Its data set, or another that it measures or learns by, is `unlabelled`.
    """
    pool = spec.few_shot.pool if spec.few_shot else None
    for place, source in (("dataset", spec.dataset), ("validation", spec.validation), ("few_shot.pool", pool)):
        if source is not None and source.kind == "unlabelled":
            raise ConfigError(
                "its images have no labels: nothing can be measured or learnt.",
                place,
                "Sort images into class folders, or have them named: coder-eval try FOLDER --classes names.txt.",
            )
