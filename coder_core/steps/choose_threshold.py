"""Where the spec asks for it: the threshold of the rerank's gate, chosen on a validation data set.

The validation images go the way of the test images (embeddings, CODER, a rerank of every one of them); then a grid of
thresholds is a grid of comparisons. The choice and the whole search are recorded with the result.
"""

from typing import ClassVar

from coder_core.errors import LabelLeakError
from coder_core.pipeline.artifact_types import (
    ImageEmbeddingsArtifact,
    LabelsArtifact,
    PredictionsArtifact,
    RerankThreshold,
)
from coder_core.pipeline.context import Context
from coder_core.pipeline.step import Step
from coder_core.pipeline.traits import PREFLIGHT, Traits
from coder_core.specs import RERANK
from coder_core.steps.load_dataset import read_labels
from coder_core.steps.predict_images import read_predictions


class RefuseTestImages(Step[None]):
    """Refuse validation images that are test images; images are compared by their content.

    Raises:
        LabelLeakError: An image stands in both.
    """

    traits: ClassVar[Traits] = PREFLIGHT
    loop_free: ClassVar[str] = "compares two sets of keys"

    images: ImageEmbeddingsArtifact
    validation_images: ImageEmbeddingsArtifact

    def run(self, context: Context) -> None:
        """Compare the keys."""
        validation = _image_ids_by_key(context, self.validation_images)
        shared = _image_ids_by_key(context, self.images).keys() & validation.keys()
        if shared:
            raise LabelLeakError(
                f"{len(shared)} validation images are test images as well, {validation[min(shared)]!r} for one.",
                "validation",
                "Choose on images that are not in the data set under test.",
            )


class ChooseThreshold(Step[RerankThreshold]):
    """Choose the threshold by top-1 accuracy on the validation images. Reads validation labels."""

    loop_free: ClassVar[str] = "a grid of a hundred comparisons"

    stage1: PredictionsArtifact
    reranked: PredictionsArtifact
    labels: LabelsArtifact

    def run(self, context: Context) -> RerankThreshold:
        """Try the grid; `reranked` has every image looked at again."""
        from coder_core.evaluation.threshold import choose_threshold

        choice = choose_threshold(
            read_predictions(context, self.stage1, "coder"),
            read_predictions(context, self.reranked, RERANK),
            read_labels(context, self.labels, "validation"),
        )
        return RerankThreshold(threshold=choice.threshold, source=choice.split, n=choice.n, tried=choice.rows)


def _image_ids_by_key(context: Context, embeddings: ImageEmbeddingsArtifact) -> dict[str, str]:
    keys, image_ids = (column.to_pylist() for column in context.read(embeddings, ["key", "image_id"]).columns)
    return {key: image_id for key, image_id in zip(keys, image_ids, strict=True) if key}
