"""Transductions that make no classifier: TransCLIP and StatA say what each image of a batch is, and nothing of others.

They need the whole batch at once: neighbours are looked for among all images. So there is a limit, asked about before
any work; `batch_discriminant` reads a batch of any size part by part.
"""

from typing import TYPE_CHECKING

from coder_core.encoders.base import IdentifiedEncoder
from coder_core.errors import ConfigError
from coder_core.evaluation.predictions import HONEST
from coder_core.pipeline.artifact_types import (
    BatchAnswersArtifact,
    ClassifierArtifact,
    ImageEmbeddingsArtifact,
    PredictionsArtifact,
    TextEmbeddingsArtifact,
    TextsArtifact,
)
from coder_core.pipeline.context import Context
from coder_core.pipeline.output import Output
from coder_core.pipeline.step import ArtifactStep
from coder_core.specs import TransductionName, row_name
from coder_core.steps.build_classifier import read_classifier
from coder_core.steps.embed_texts import read_text_embeddings
from coder_core.steps.fit_transduction import batch_found, class_text_vectors, read_batch
from coder_core.steps.predict_images import predictions_to_arrow, usable_images
from coder_core.texts.kinds import TextKind

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float
    from torch import Tensor

LOG_SHARES = "log_shares"


class ClassifyBatch(ArtifactStep[BatchAnswersArtifact]):
    """Classify a batch of unlabelled images as a whole, on top of a stage-1 classifier. Labels do not exist here.

    Raises:
        ConfigError: The batch is too large.
    """

    method: TransductionName
    stage1: ClassifierArtifact
    class_kinds: tuple[TextKind, ...]
    texts: TextsArtifact
    text_embeddings: TextEmbeddingsArtifact
    images: ImageEmbeddingsArtifact
    encoder: IdentifiedEncoder

    @property
    def name(self) -> str:
        """As it stands among the timings."""
        return f"fit_{row_name(self.method, self.stage1.method)}"

    def make(self, context: Context, output: Output) -> BatchAnswersArtifact:
        """Read the batch, classify it, and write the shares in the parts of the batch."""
        import torch

        from coder_core.transduction.batch_answers import answer_batch

        classes = self.texts.class_count
        check_batch_fits(self.method, images=self.images.usable, classes=classes, dim=self.encoder.dim)
        vectors = torch.from_numpy(read_text_embeddings(context, self.text_embeddings, self.encoder)).float()
        log_shares, found = answer_batch(
            read_batch(context, self.images, self.encoder),
            read_classifier(context, self.stage1),
            method=self.method,
            class_texts=class_text_vectors(context, self.texts, self.class_kinds, vectors),
        )
        self._write(context, output, log_shares.numpy())
        return output.finish(
            BatchAnswersArtifact,
            method=row_name(self.method, self.stage1.method),
            class_count=classes,
            **batch_found(self.stage1.method, found).model_dump(),
        )

    def _write(self, context: Context, output: Output, log_shares: "Float[np.ndarray, 'images classes']") -> None:
        import pyarrow as pa

        from coder_core.storage.tables import vectors_to_arrow

        first, parts = 0, context.parts(self.images)
        for part in context.each(parts, "writing shares", total=len(parts), unit="parts"):
            image_ids = usable_images(context, self.images, part.name).column("image_id")
            own = vectors_to_arrow(log_shares[first : first + len(image_ids)])
            output.write_part(part.name, pa.table([image_ids, own], names=["image_id", LOG_SHARES]))
            first += len(image_ids)


class AnswersToPredictions(ArtifactStep[PredictionsArtifact]):
    """The best classes of every image of a batch that was classified as a whole."""

    answers: BatchAnswersArtifact
    images: ImageEmbeddingsArtifact

    @property
    def name(self) -> str:
        """As it stands among the timings."""
        return f"predict_{self.answers.method}"

    def make(self, context: Context, output: Output) -> PredictionsArtifact:
        """Part by part."""
        from coder_core.evaluation.predicting import build_predictions

        parts = context.parts(self.answers)
        for part in context.each(parts, "classifying", total=len(parts), unit="parts"):
            image_ids, logits = read_log_shares(context, self.answers, part.name)
            said = build_predictions(logits, image_ids, method=self.answers.method)
            output.write_part(part.name, predictions_to_arrow(said))
        return output.finish(PredictionsArtifact, method=self.answers.method, protocol=HONEST)


def check_batch_fits(method: str, *, images: int, classes: int, dim: int) -> None:
    """Refuse a batch that would not fit in memory.

    Raises:
        ConfigError: It would not; says how much it needs and what can be done.
    """
    from coder_core.transduction.batch_answers import MOST_BYTES, bytes_needed

    needed = bytes_needed(images, classes, dim)
    if needed > MOST_BYTES:
        raise ConfigError(
            f"{method} holds the whole batch in memory: {images} images x {classes} classes take "
            f"{needed / 2**30:.1f} GB, and {MOST_BYTES / 2**30:.0f} GB is the limit.",
            "transduction.methods",
            "Leave it out: batch_discriminant reads a batch of any size part by part.",
        )


def read_log_shares(
    context: Context, answers: BatchAnswersArtifact, part: str
) -> "tuple[list[str], Float[Tensor, 'images classes']]":
    """The ids of the images of a part, and the logarithms of their classes' shares."""
    import numpy as np
    import torch

    from coder_core.storage.tables import vectors_from_arrow

    table = context.read_part(answers, part)
    shares = np.array(vectors_from_arrow(table.column(LOG_SHARES)))  # a copy: torch takes no read-only memory
    return table.column("image_id").to_pylist(), torch.from_numpy(shares)
