"""What is chosen on validation images for an exported classifier: a temperature, and when to say "none of these"."""

from typing import TYPE_CHECKING

from coder_core.encoders.base import IdentifiedEncoder
from coder_core.pipeline.artifact_handle import Handle
from coder_core.pipeline.artifact_types import (
    ClassifierArtifact,
    FewShotFitsArtifact,
    ImageEmbeddingsArtifact,
    LabelsArtifact,
)
from coder_core.pipeline.context import Context
from coder_core.pipeline.output import ONE_PART
from coder_core.pipeline.step import Step
from coder_core.steps.build_classifier import read_classifier
from coder_core.steps.load_dataset import read_labels
from coder_core.steps.predict_images import read_vectors, usable_images

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor


class ExportCalibration(Handle):
    """What was chosen.

    Attributes:
        temperature: What logits are divided by; None where the run has chosen one, or an order is made without logits.
        images: Validation images.
        threshold: Smallest probability of an answer; None where no cut gives the precision that was asked for.
        precision: Share of the answers above it that are right.
        kept: Validation images above it.
        loss: Mean negative log-likelihood of the validation images at the temperature, in nats; None as above, and
            where an earlier version chose it.
    """

    temperature: float | None
    images: int
    threshold: float | None = None
    precision: float = 0.0
    kept: int = 0
    loss: float | None = None


class CalibrateExport(Step[ExportCalibration]):
    """Choose temperature and threshold of a classifier of any kind. Reads validation labels."""

    classifier: ClassifierArtifact | FewShotFitsArtifact
    part: str = ONE_PART
    images: ImageEmbeddingsArtifact
    labels: LabelsArtifact
    encoder: IdentifiedEncoder
    precision: float

    def run(self, context: Context) -> ExportCalibration:
        """Score the validation images, and search."""
        import numpy as np
        import torch

        from coder_core.classifiers import RerankClassifier, TemperedClassifier, predict_with
        from coder_core.evaluation.abstaining import choose_cutoff
        from coder_core.evaluation.temperature import fit_temperature, mean_loss

        classifier = read_classifier(context, self.classifier, self.part)
        vectors, image_ids = self._read(context)
        labels = read_labels(context, self.labels, "validation").label_ids_of(image_ids)
        temperature = loss = None
        if not isinstance(classifier, RerankClassifier | TemperedClassifier):
            logits, label_ids = classifier.logits(vectors), torch.tensor(labels)
            temperature = fit_temperature(logits, label_ids)
            loss = mean_loss(logits, label_ids, 1 / temperature)
            classifier = TemperedClassifier(classifier, temperature)
        found = predict_with(classifier, vectors, image_ids, method="export")
        probabilities = found.top_probabilities[:, 0].astype(np.float64)
        cutoff = choose_cutoff(probabilities, found.top_ids[:, 0] == labels, precision=self.precision)
        chosen = ExportCalibration(temperature=temperature, images=len(labels), loss=loss)
        if cutoff is None:
            return chosen
        update = {"threshold": cutoff.threshold, "precision": cutoff.precision, "kept": cutoff.kept}
        return chosen.model_copy(update=update)

    def _read(self, context: Context) -> "tuple[Float[Tensor, 'images dim'], list[str]]":
        import torch

        found, image_ids = [], []
        parts = context.parts(self.images)
        for part in context.each(parts, "reading validation images", total=len(parts), unit="parts"):
            usable = usable_images(context, self.images, part.name)
            found.append(read_vectors(context, self.encoder, usable))
            image_ids += usable.column("image_id").to_pylist()
        return torch.cat(found), image_ids
