"""Probabilities that can be trusted: a method's temperature, chosen on a validation data set, or by the batch.

No decision changes.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from coder_core.encoders.base import IdentifiedEncoder
from coder_core.pipeline.artifact_types import (
    BatchTemperature,
    ClassifierArtifact,
    ImageEmbeddingsArtifact,
    LabelsArtifact,
    Temperature,
)
from coder_core.pipeline.context import Context
from coder_core.pipeline.output import Output
from coder_core.pipeline.step import ArtifactStep, Step
from coder_core.steps.build_classifier import classifier_table, read_classifier
from coder_core.steps.load_dataset import read_labels
from coder_core.steps.predict_images import read_vectors, usable_images

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

BATCH_SAMPLE = 4000
"""Images that a batch's temperature is found on, at most about twice as many: 64 MB of logits for 1,000 classes."""

SUGGESTING = ("balanced", "all_classes")
"""Kinds of batch that suggest a temperature. Where few classes share the images, stage 1's answers are mostly about
classes that are not there: measured, it fails as often as not (docs/configuration.md)."""

CALIBRATED = "_calibrated"
"""After the name of a method whose temperature was chosen."""


class ChooseTemperature(Step[Temperature]):
    """Choose a temperature by likelihood on the validation images. Reads validation labels."""

    classifier: ClassifierArtifact
    images: ImageEmbeddingsArtifact
    labels: LabelsArtifact
    encoder: IdentifiedEncoder

    @property
    def name(self) -> str:
        """As it stands among the timings."""
        return f"choose_temperature_{self.classifier.method}"

    def run(self, context: Context) -> Temperature:
        """Score the images, part by part, and search."""
        import torch

        from coder_core.evaluation.temperature import fit_temperature, mean_loss

        logits, image_ids = self._scores(context)
        labels = read_labels(context, self.labels, "validation").label_ids_of(image_ids)
        label_ids = torch.tensor(labels)  # a copy: a label table is not written to
        temperature = fit_temperature(logits, label_ids)
        return Temperature(
            temperature=temperature,
            n=len(labels),
            loss_before=mean_loss(logits, label_ids, 1.0),
            loss=mean_loss(logits, label_ids, 1 / temperature),
        )

    def _scores(self, context: Context) -> "tuple[Float[Tensor, 'images classes'], list[str]]":
        import torch

        classifier, found, image_ids = read_classifier(context, self.classifier), [], []
        parts = context.parts(self.images)
        for part in context.each(parts, "scoring", total=len(parts), unit="parts"):
            usable = usable_images(context, self.images, part.name)
            found.append(classifier.logits(read_vectors(context, self.encoder, usable)))
            image_ids += usable.column("image_id").to_pylist()
        return torch.cat(found), image_ids


class ChooseBatchTemperature(Step[BatchTemperature]):
    """Choose a temperature by what the images under test have taught a transduction of the method. Reads no label."""

    classifier: ClassifierArtifact
    taught: ClassifierArtifact
    batch: str
    images: ImageEmbeddingsArtifact
    encoder: IdentifiedEncoder

    @property
    def name(self) -> str:
        """As it stands among the timings."""
        return f"choose_batch_temperature_{self.classifier.method}"

    def run(self, context: Context) -> BatchTemperature:
        """Score a part of the images by both classifiers."""
        import torch

        from coder_core.evaluation.temperature import batch_temperature

        both = [read_classifier(context, artifact) for artifact in (self.classifier, self.taught)]
        found: list[list[Tensor]] = [[], []]
        for vectors in sample_images(context, self.images, self.encoder):
            for logits, classifier in zip(found, both, strict=True):
                logits.append(classifier.logits(vectors))
        own, taught = (torch.cat(logits) for logits in found)
        temperature = batch_temperature(own, taught.softmax(dim=1)) if self.batch in SUGGESTING else 1.0
        return BatchTemperature(temperature=temperature, n=len(own), batch=self.batch)


class BuildCalibrated(ArtifactStep[ClassifierArtifact]):
    """A classifier under another temperature."""

    loop_free: ClassVar[str] = "copies a classifier"

    classifier: ClassifierArtifact
    temperature: float

    @property
    def name(self) -> str:
        """As it stands among the timings."""
        return f"build_{self.classifier.method}{CALIBRATED}"

    def make(self, context: Context, output: Output) -> ClassifierArtifact:
        """Put the temperature around it."""
        from coder_core.classifiers import TemperedClassifier

        built = TemperedClassifier(read_classifier(context, self.classifier), self.temperature)
        output.write(classifier_table(built.state()))
        return output.finish(ClassifierArtifact, method=f"{self.classifier.method}{CALIBRATED}")


def sample_images(
    context: Context, images: ImageEmbeddingsArtifact, encoder: IdentifiedEncoder
) -> "Iterator[Float[Tensor, 'sample dim']]":
    """The vectors of at most about twice `BATCH_SAMPLE` images, evenly spaced within every part, part by part."""
    step, parts = -(-images.rows // BATCH_SAMPLE), context.parts(images)
    for part in context.each(parts, "scoring", total=len(parts), unit="parts"):
        yield read_vectors(context, encoder, usable_images(context, images, part.name))[::step]
