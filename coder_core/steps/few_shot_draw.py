"""What every step of a few-shot draw reads: labelled images of the pool, and what texts say of their classes.

A draw is one number of shots and one seed. Pool labels decide, so they are part of the key.
"""

from typing import TYPE_CHECKING, ClassVar, NamedTuple

from coder_core.encoders.base import IdentifiedEncoder
from coder_core.pipeline.artifact_types import (
    FewShotFitsArtifact,
    ImageEmbeddingsArtifact,
    ImagesArtifact,
    LabelsArtifact,
    TextEmbeddingsArtifact,
    TextsArtifact,
)
from coder_core.pipeline.context import Context
from coder_core.pipeline.step import ArtifactStep
from coder_core.pipeline.step_inputs import FileInput
from coder_core.pipeline.traits import MODEL, Traits
from coder_core.specs import TextFeaturesFile
from coder_core.steps.embed_texts import read_text_embeddings
from coder_core.steps.pool_images import read_pool, with_views

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from coder_core.coder.classifier import Classifier
    from coder_core.few_shot.draws import Draw
    from coder_core.few_shot.pool import Pool
    from coder_core.texts.text_layout import TextLayout

VIEWS_VERSION = 1
"""Goes up when `images.augmentation` makes other views."""


class ReadDraw(NamedTuple):
    """Labelled images, which of them are support and validation, and how many were left out as test images."""

    pool: "Pool"
    draw: "Draw"
    dropped: int


class OfDraw(ArtifactStep[FewShotFitsArtifact]):
    """A step that reads the labelled images of one draw: the same fields, the same support.

    Raises:
        LabelLeakError: A pool image is a test image, and `drop_shared` is off.
        DatasetError: A class has too few images in the pool.
    """

    traits: ClassVar[Traits] = MODEL

    shots: int
    seed: int
    zero_shot: str
    views: int
    validation_per_class: int | None
    allow_fewer: bool
    drop_shared: bool
    metric_texts: FileInput | None
    texts: TextsArtifact
    text_embeddings: TextEmbeddingsArtifact
    test_images: ImageEmbeddingsArtifact
    pool_images: ImagesArtifact
    pool: ImageEmbeddingsArtifact
    pool_labels: LabelsArtifact
    encoder: IdentifiedEncoder
    logit_scale: float
    views_version: int = VIEWS_VERSION

    def read_draw(self, context: Context) -> ReadDraw:
        """Draw from the pool; support images stand at the mean of their views."""
        from coder_core.few_shot.draws import draw_examples

        pool = read_pool(context, self)
        draw = draw_examples(
            pool.pool.label_ids,
            shots=self.shots,
            seed=self.seed,
            validation_per_class=self.validation_per_class,
            allow_fewer=self.allow_fewer,
        )
        return ReadDraw(with_views(context, self, pool, draw) if self.views else pool.pool, draw, pool.dropped)


def metric_input(texts: TextFeaturesFile | None) -> FileInput | None:
    """The file of texts that make the metric, as an input: another column is another input."""
    return None if texts is None else FileInput(path=texts.path, columns=(texts.features,))


def text_vectors(context: Context, step: OfDraw) -> "Float[Tensor, 'texts dim']":
    """The vectors of the texts, in their order."""
    import torch

    return torch.from_numpy(read_text_embeddings(context, step.text_embeddings, step.encoder))


def zero_shot_classifier(
    step: OfDraw, vectors: "Float[Tensor, 'texts dim']", layout: "TextLayout"
) -> "Classifier | None":
    """The zero-shot classifier to fuse with; None where the step fuses with none.

    Args:
        step: Names the method, and the factor from similarity to logit.
        vectors: L2-normalised rows, one per text of the table.
        layout: Which of them belong to which class and kind.
    """
    from coder_core.methods import build_classifier

    if step.zero_shot == "none":
        return None
    return build_classifier(step.zero_shot, vectors, layout, logit_scale=step.logit_scale)


def class_texts_of(
    zero_shot: "Classifier | None", vectors: "Float[Tensor, 'texts dim']", layout: "TextLayout"
) -> "Float[Tensor, 'classes dim'] | None":
    """One text vector per class: those of a linear zero-shot classifier; beside any other, the class's name.

    Args:
        zero_shot: Made by `zero_shot_classifier`.
        vectors: L2-normalised rows, one per text of the table.
        layout: Which of them belong to which class and kind.

    Returns:
        None for images alone: without a zero-shot classifier, texts say nothing of classes.
    """
    from coder_core.baselines.clip import build_clip
    from coder_core.coder.classifier import LinearClassifier

    if zero_shot is None:
        return None
    return (zero_shot if isinstance(zero_shot, LinearClassifier) else build_clip(vectors, layout)).weights
