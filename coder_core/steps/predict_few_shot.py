"""Few-shot: what the classifiers of a draw say of the test images, part by part."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

from coder_core.encoders.base import IdentifiedEncoder
from coder_core.evaluation.predictions import Predictions
from coder_core.pipeline.artifact_types import (
    FewShotFitsArtifact,
    FewShotPredictionsArtifact,
    ImageEmbeddingsArtifact,
)
from coder_core.pipeline.context import Context
from coder_core.pipeline.output import Output
from coder_core.pipeline.sharding import Shard, ShardedStep
from coder_core.steps.build_classifier import read_classifier
from coder_core.steps.predict_images import COLUMNS, predictions_to_arrow, read_vectors, usable_images

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from jaxtyping import Float
    from torch import Tensor

    from coder_core.coder.classifier import Classifier

UNCALIBRATED = "uncalibrated"
"""The column of probabilities without a temperature."""


class PredictFewShot(ShardedStep[FewShotPredictionsArtifact]):
    """Classify the images by every method of a draw: columns `<method>.top_ids` and `<method>.top_probabilities`.

    Where a method has a temperature, `<method>.uncalibrated` are the probabilities of the same classes without it.
    """

    version: ClassVar[int] = 2

    fits: FewShotFitsArtifact
    images: ImageEmbeddingsArtifact
    encoder: IdentifiedEncoder

    @property
    def name(self) -> str:
        """As it stands among the timings."""
        return f"predict_few_shot_{self.fits.shots}"

    @property
    def title(self) -> str:
        """With shots and seed."""
        return f"predict-few-shot-{self.fits.shots}-{self.fits.seed}"

    @property
    def source(self) -> ImageEmbeddingsArtifact:
        """The images."""
        return self.images

    @classmethod
    def make_shard(cls, steps: Sequence[Self], shard: Shard, context: Context, outputs: Sequence[Output]) -> None:
        """Classify one shard."""
        (step,), (output,) = steps, outputs
        classifiers = {name: read_classifier(context, step.fits, name) for name in step.fits.choices}
        per_part = shard.rows // len(shard.parts)
        size = lambda _: per_part  # noqa: E731
        for part in context.each(shard.parts, "classifying", total=shard.rows, unit="images", size=size):
            if output.found_part(part) is None:
                output.write_part(part, _predict_part(context, step, part, classifiers))

    def join(self, context: Context, output: Output) -> FewShotPredictionsArtifact:  # noqa: ARG002
        """All parts are there."""
        fits = self.fits
        calibrated = tuple(name for name, choice in fits.choices.items() if choice.is_calibrated)
        return output.finish(
            FewShotPredictionsArtifact,
            shots=fits.shots,
            seed=fits.seed,
            methods=tuple(fits.choices),
            calibrated=calibrated,
        )


class FewShotSaid(NamedTuple):
    """What one method of a draw says, and the probabilities of the same classes without its temperature."""

    predictions: Predictions
    uncalibrated: "Float[np.ndarray, 'images best']"


def read_few_shot_predictions(context: Context, artifact: FewShotPredictionsArtifact, method: str) -> FewShotSaid:
    """What one method of a draw says."""
    return few_shot_predictions_in(context.read(artifact, _columns_of(artifact, method)), artifact, method)


def few_shot_predictions_in(table: "pa.Table", artifact: FewShotPredictionsArtifact, method: str) -> FewShotSaid:
    """The same, of rows that were read already."""
    from coder_core.steps.predict_images import predictions_from_arrow
    from coder_core.storage.tables import vectors_from_arrow

    own = table.select(_columns_of(artifact, method)[: len(COLUMNS)]).rename_columns(list(COLUMNS))
    predictions = predictions_from_arrow(own, method)
    if method not in artifact.calibrated:
        return FewShotSaid(predictions, predictions.top_probabilities)
    return FewShotSaid(predictions, vectors_from_arrow(table.column(f"{method}.{UNCALIBRATED}")))


def _columns_of(artifact: FewShotPredictionsArtifact, method: str) -> list[str]:
    """Those of `COLUMNS`, in their order, and the probabilities without a temperature where there is one."""
    image_id, *own = COLUMNS
    more = (UNCALIBRATED,) if method in artifact.calibrated else ()
    return [image_id, *(f"{method}.{name}" for name in (*own, *more))]


def _predict_part(context: Context, step: PredictFewShot, part: str, classifiers: dict[str, Any]) -> "pa.Table":
    usable = usable_images(context, step.images, part)
    vectors, image_ids = read_vectors(context, step.encoder, usable), usable.column("image_id").to_pylist()
    table = usable.select(["image_id"])
    for name, classifier in classifiers.items():
        own = _said(classifier, vectors, image_ids, name)
        for column in own.column_names[1:]:
            table = table.append_column(f"{name}.{column}", own.column(column))
    return table


def _said(
    classifier: "Classifier", vectors: "Float[Tensor, 'images dim']", image_ids: list[str], name: str
) -> "pa.Table":
    """What one method says; where it has a temperature, decisions are those of its scores without it, ties included."""
    import pyarrow as pa
    import torch

    from coder_core.classifiers import TemperedClassifier, predict_with
    from coder_core.coder.ranking import probabilities_of
    from coder_core.evaluation.predicting import build_predictions

    if not isinstance(classifier, TemperedClassifier):
        return predictions_to_arrow(predict_with(classifier, vectors, image_ids, method=name))
    scores = classifier.inner.logits(vectors)
    plain = build_predictions(scores, image_ids, method=name)
    top_ids = torch.from_numpy(plain.top_ids).to(scores.device, torch.int64)
    calibrated = probabilities_of(scores / classifier.temperature, top_ids).float().cpu().numpy()
    table = predictions_to_arrow(replace(plain, top_probabilities=calibrated))
    flat = pa.array(plain.top_probabilities.reshape(-1))
    return table.append_column(UNCALIBRATED, pa.FixedSizeListArray.from_arrays(flat, plain.top_ids.shape[1]))
