"""What a batch teaches: the images under test, without labels, move a stage-1 classifier.

The images are read part by part, once an iteration; memory does not grow with their number. What comes out is a
classifier like any other: it answers the batch, and further images without looking at any batch.
"""

from typing import TYPE_CHECKING, ClassVar

from coder_core.encoders.base import IdentifiedEncoder
from coder_core.pipeline.artifact_types import (
    BatchFound,
    ClassifierArtifact,
    ImageEmbeddingsArtifact,
    TextEmbeddingsArtifact,
    TextsArtifact,
    TransducedArtifact,
)
from coder_core.pipeline.context import Context
from coder_core.pipeline.output import Output
from coder_core.pipeline.step import ArtifactStep
from coder_core.pipeline.step_inputs import FileInput
from coder_core.specs import TextFeaturesFile, TransductionName, row_name
from coder_core.steps.build_classifier import classifier_table, read_classifier
from coder_core.steps.embed_texts import read_text_embeddings
from coder_core.steps.predict_images import read_vectors, usable_images
from coder_core.steps.write_texts import read_text_table
from coder_core.texts.kinds import TextKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jaxtyping import Float
    from torch import Tensor

    from coder_core.coder.classifier import Classifier
    from coder_core.few_shot.text_metric import MetricSpace
    from coder_core.transduction.image_batch import Parts
    from coder_core.transduction.transduced import Transduced


class FitTransduction(ArtifactStep[TransducedArtifact]):
    """Learn from a batch of unlabelled images, on top of a stage-1 classifier. Labels do not exist here.

    Raises:
        ConfigError: The texts that shall make the metric do not vary.
    """

    version: ClassVar[int] = 3

    method: TransductionName
    stage1: ClassifierArtifact
    class_kinds: tuple[TextKind, ...]
    texts: TextsArtifact
    text_embeddings: TextEmbeddingsArtifact
    metric_texts: FileInput | None
    images: ImageEmbeddingsArtifact
    encoder: IdentifiedEncoder

    @property
    def name(self) -> str:
        """As it stands among the timings."""
        return f"fit_{row_name(self.method, self.stage1.method)}"

    def make(self, context: Context, output: Output) -> TransducedArtifact:
        """Fit, and keep the classifier."""
        found = _transduce(context, self, read_classifier(context, self.stage1))
        output.write(classifier_table(found.classifier.state()))
        return output.finish(
            TransducedArtifact,
            method=row_name(self.method, self.stage1.method),
            **batch_found(self.stage1.method, found).model_dump(),
        )


def batch_found(stage1: str, found: "Transduced") -> BatchFound:
    """What a batch was taken for, to be kept."""
    return BatchFound(
        stage1=stage1,
        batch=str(found.kind),
        reason=found.reason,
        images=found.images,
        unusable=found.unusable,
        classes_off=found.classes_off,
        effective_classes=found.effective_classes,
        prior_evidence=found.prior_evidence,
        image_evidence=found.image_evidence,
        temperature=float(getattr(found.classifier, "temperature", 1.0)),
    )


def read_batch(context: Context, images: ImageEmbeddingsArtifact, encoder: IdentifiedEncoder) -> "Parts":
    """The images of a batch, part by part, read anew each time."""

    def parts() -> "Iterator[Float[Tensor, 'rows dim']]":
        names = [part.name for part in context.parts(images)]
        for name in context.each(names, "looking at the batch", total=len(names), unit="parts"):
            yield read_vectors(context, encoder, usable_images(context, images, name)).float()

    return parts


def _transduce(context: Context, step: FitTransduction, stage1: "Classifier") -> "Transduced":
    from coder_core.transduction.fit_batch import fit_batch
    from coder_core.transduction.stated_prior import describe_prior

    parts = read_batch(context, step.images, step.encoder)
    if step.method != "batch_discriminant":
        return describe_prior(parts, stage1, assumes_balance=step.method == "sinkhorn")
    vectors = _text_vectors(context, step)
    texts = class_text_vectors(context, step.texts, step.class_kinds, vectors)
    return fit_batch(parts, stage1, class_texts=texts, space=metric_space(step.metric_texts, vectors))


def _text_vectors(context: Context, step: FitTransduction) -> "Float[Tensor, 'texts dim']":
    import torch

    return torch.from_numpy(read_text_embeddings(context, step.text_embeddings, step.encoder)).float()


def class_text_vectors(
    context: Context, texts: TextsArtifact, kinds: tuple[TextKind, ...], vectors: "Float[Tensor, 'texts dim']"
) -> "Float[Tensor, 'classes dim']":
    """One vector per class: the mean of what stage 1 reads of it, at unit length."""
    from coder_core.coder.vectors import normalise, segment_sums
    from coder_core.texts.text_layout import build_layout

    layout = build_layout(read_text_table(context, texts))
    return normalise(segment_sums(vectors, layout.segments(kinds)).float())


def makes_metric(texts: int, dim: int) -> bool:
    """Whether an evaluation's own texts are so many that they make the metric."""
    from coder_core.transduction.fit_batch import TEXTS_PER_DIMENSION

    return texts >= TEXTS_PER_DIMENSION * dim


def metric_space(metric_texts: FileInput | None, vectors: "Float[Tensor, 'texts dim']") -> "MetricSpace | None":
    """The metric of the texts of a file, or of an evaluation's own; None where these are too few."""
    import torch

    from coder_core.encoders.precomputed import read_text_features
    from coder_core.few_shot.text_metric import fit_metric
    from coder_core.transduction.fit_batch import METRIC_LEVEL

    if metric_texts is not None:
        file = TextFeaturesFile(path=metric_texts.path, features=metric_texts.columns[0])
        vectors = torch.nn.functional.normalize(torch.from_numpy(read_text_features(file)).float(), dim=1)
    elif not makes_metric(*vectors.shape):
        return None
    return fit_metric(vectors).saturating(METRIC_LEVEL)
