"""Temperatures of few-shot methods by the images under test, where a draw has no validation images. Reads no label."""

from typing import TYPE_CHECKING, ClassVar

from coder_core.encoders.base import IdentifiedEncoder
from coder_core.pipeline.artifact_types import FewShotChoice, FewShotFitsArtifact, ImageEmbeddingsArtifact
from coder_core.pipeline.context import Context
from coder_core.pipeline.output import Output
from coder_core.pipeline.step import ArtifactStep
from coder_core.specs import TransductionName, row_name
from coder_core.steps.build_classifier import classifier_table, read_classifier
from coder_core.steps.calibrate_method import SUGGESTING, sample_images

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from coder_core.coder.classifier import Classifier

TEACHER: TransductionName = "batch_discriminant"
"""The transduction that says what the images under test are."""


class CalibrateFewShotByBatch(ArtifactStep[FewShotFitsArtifact]):
    """Give the classifiers of a draw the temperature that what the batch has taught each of them suggests."""

    version: ClassVar[int] = 1

    fits: FewShotFitsArtifact
    taught: FewShotFitsArtifact
    images: ImageEmbeddingsArtifact
    encoder: IdentifiedEncoder

    @property
    def name(self) -> str:
        """As it stands among the timings."""
        return f"calibrate_few_shot_{self.fits.shots}"

    @property
    def title(self) -> str:
        """With shots and seed."""
        return f"calibrate-few-shot-{self.fits.shots}-{self.fits.seed}"

    def make(self, context: Context, output: Output) -> FewShotFitsArtifact:
        """Write every classifier once more, under its temperature where the batch suggests one."""
        import torch

        vectors = torch.cat(list(sample_images(context, self.images, self.encoder)))
        choices = {}
        fitted = self.fits.choices
        for name, choice in context.each(fitted.items(), "calibrating", total=len(fitted), unit="methods"):
            classifier, choices[name] = self._calibrated(context, name, choice, vectors)
            output.write_part(name, classifier_table(classifier.state()))
        fits = self.fits
        return output.finish(
            FewShotFitsArtifact, shots=fits.shots, seed=fits.seed, dropped=fits.dropped, choices=choices
        )

    def _calibrated(
        self, context: Context, name: str, choice: FewShotChoice, vectors: "Float[Tensor, 'images dim']"
    ) -> "tuple[Classifier, FewShotChoice]":
        from coder_core.classifiers import TemperedClassifier
        from coder_core.evaluation.temperature import batch_temperature

        classifier, row = read_classifier(context, self.fits, name), row_name(TEACHER, name)
        if self.taught.found[row].batch not in SUGGESTING:
            return classifier, choice
        taught = read_classifier(context, self.taught, row).logits(vectors).softmax(dim=1)
        temperature = batch_temperature(classifier.logits(vectors), taught)
        return TemperedClassifier(classifier, temperature), choice.with_temperature(temperature, "batch")
