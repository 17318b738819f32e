"""Temperatures of few-shot methods by the images under test, where a draw has no validation images. Reads no label."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

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


class StandardiseFewShot(ArtifactStep[FewShotFitsArtifact]):
    """Divide the scores of a draw's classifiers by their spread over the classes, a mean over the images under test.

    Scores of any scale would be log-probabilities of any sureness to the transduction that stands on them.
    """

    fits: FewShotFitsArtifact
    images: ImageEmbeddingsArtifact
    encoder: IdentifiedEncoder

    @property
    def name(self) -> str:
        """As it stands among the timings."""
        return f"standardise_few_shot_{self.fits.shots}"

    def make(self, context: Context, output: Output) -> FewShotFitsArtifact:
        """Write every classifier once more, under its spread as a temperature."""
        import torch

        from coder_core.classifiers import TemperedClassifier
        from coder_core.evaluation.temperature import spread_of

        vectors = torch.cat(list(sample_images(context, self.images, self.encoder)))
        for name in context.each(self.fits.choices, "scoring", total=len(self.fits.choices), unit="methods"):
            classifier = read_classifier(context, self.fits, name)
            standardised = TemperedClassifier(classifier, spread_of(classifier.logits(vectors)))
            output.write_part(name, classifier_table(standardised.state()))
        return _finish(output, self.fits, self.fits.choices)


class CalibrateFewShotByBatch(ArtifactStep[FewShotFitsArtifact]):
    """Give the classifiers of a draw the temperature that what the batch has taught each of them suggests.

    Attributes:
        fits: Standardised.
        taught: What `TEACHER` has made of each of them.
        images: The batch.
        encoder: Of the images.
    """

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
        """Write every classifier under its temperature; as it was before all, where the batch suggests none."""
        import torch

        vectors = torch.cat(list(sample_images(context, self.images, self.encoder)))
        choices, fitted = {}, self.fits.choices
        for name, choice in context.each(fitted.items(), "calibrating", total=len(fitted), unit="methods"):
            classifier, choices[name] = self._calibrated(context, name, choice, vectors)
            output.write_part(name, classifier_table(classifier.state()))
        return _finish(output, self.fits, choices)

    def _calibrated(
        self, context: Context, name: str, choice: FewShotChoice, vectors: "Float[Tensor, 'images dim']"
    ) -> "tuple[Classifier, FewShotChoice]":
        from coder_core.classifiers import TemperedClassifier
        from coder_core.evaluation.temperature import batch_temperature

        standardised, row = read_classifier(context, self.fits, name), row_name(TEACHER, name)
        assert isinstance(standardised, TemperedClassifier)  # noqa: S101 - made by `StandardiseFewShot`
        if self.taught.found[row].batch not in SUGGESTING:
            return standardised.inner, choice
        shares = read_classifier(context, self.taught, row).logits(vectors).softmax(dim=1)
        temperature = standardised.temperature * batch_temperature(standardised.logits(vectors), shares)
        return TemperedClassifier(standardised.inner, temperature), choice.with_temperature(temperature, "batch")


def _finish(output: Output, fits: FewShotFitsArtifact, choices: Mapping[str, FewShotChoice]) -> FewShotFitsArtifact:
    return output.finish(
        FewShotFitsArtifact, shots=fits.shots, seed=fits.seed, dropped=fits.dropped, choices=dict(choices)
    )
