"""Every method says what it sees: classifiers and images go in; labels do not exist here.

One artifact per method, so that a method added later costs only itself. Methods of one run share a pass over the
images: each vector is read once.
"""

from collections.abc import Sequence
from itertools import compress
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from coder_core.encoders.base import IdentifiedEncoder
from coder_core.evaluation.predictions import HONEST, Predictions
from coder_core.fingerprint import NotIdentity
from coder_core.loops import each
from coder_core.pipeline.artifact_types import (
    ClassifierArtifact,
    FewShotFitsArtifact,
    ImageEmbeddingsArtifact,
    LabelsArtifact,
    PredictionsArtifact,
)
from coder_core.pipeline.context import Context
from coder_core.pipeline.output import ONE_PART, Output
from coder_core.pipeline.sharding import Shard, ShardedStep
from coder_core.steps.embed_images import readable_rows

if TYPE_CHECKING:
    import pyarrow as pa
    from jaxtyping import Float
    from torch import Tensor

    from coder_core.storage.manifest import PartRecord

COLUMNS = ("image_id", "top_ids", "top_probabilities")


class Predict(ShardedStep[PredictionsArtifact]):
    """Classify images by one method: the best classes of each, and their probabilities."""

    version: ClassVar[int] = 2

    classifier: ClassifierArtifact | FewShotFitsArtifact
    part: str = ONE_PART
    images: ImageEmbeddingsArtifact
    encoder: IdentifiedEncoder
    label: Annotated[str, NotIdentity("what the method is called in this run")]

    @property
    def name(self) -> str:
        """As it stands among the timings."""
        return f"predict_{self.label}"

    @property
    def method(self) -> str:
        """The method that the classifier is; a draw's few-shot classifiers are parts under their names."""
        return self.classifier.method if isinstance(self.classifier, ClassifierArtifact) else self.part

    @property
    def source(self) -> ImageEmbeddingsArtifact:
        """The images."""
        return self.images

    @classmethod
    def make_shard(cls, steps: Sequence[Self], shard: Shard, context: Context, outputs: Sequence[Output]) -> None:
        """Classify one shard by all methods, reading each vector once."""
        from coder_core.storage.tables import ids_from_arrow

        classify = [step.open_classifier(context) for step in steps]
        images, encoder = steps[0].images, steps[0].encoder
        per_part = shard.rows // len(shard.parts)
        parts = context.each(shard.parts, "classifying", total=shard.rows, unit="images", size=lambda _: per_part)
        for part in parts:
            is_missing = [output.found_part(part) is None for output in outputs]
            if not any(is_missing):
                continue
            usable = usable_images(context, images, part)
            vectors, image_ids = read_vectors(context, encoder, usable), ids_from_arrow(usable.column("image_id"))
            for method, output in compress(zip(classify, outputs, strict=True), is_missing):
                output.write_part(part, method(vectors, image_ids))

    def open_classifier(self, context: Context) -> "Any":
        """A function from vectors and ids to rows of the artifact."""
        from coder_core.classifiers import predict_with
        from coder_core.steps.build_classifier import read_classifier

        classifier = read_classifier(context, self.classifier, self.part)

        def classify(vectors: "Float[Tensor, 'images dim']", image_ids: Sequence[str]) -> "pa.Table":
            return predictions_to_arrow(predict_with(classifier, vectors, image_ids, method=self.method))

        return classify

    def join(self, context: Context, output: Output) -> PredictionsArtifact:  # noqa: ARG002
        """All parts are there."""
        return output.finish(PredictionsArtifact, method=self.method, protocol=HONEST)


class PredictAsReleased(Predict):
    """The rerank of the released code, which TEST LABELS steer: for comparison only, marked in every row."""

    labels: LabelsArtifact

    def open_classifier(self, context: Context) -> "Any":
        """As `Predict`, but for the labels, which say which images are looked at again."""
        from coder_core.reference_protocol import predict_as_released
        from coder_core.steps.build_classifier import read_classifier
        from coder_core.steps.load_dataset import read_labels

        classifier = read_classifier(context, self.classifier)
        labels = read_labels(context, self.labels, "test")

        def classify(vectors: "Float[Tensor, 'images dim']", image_ids: Sequence[str]) -> "pa.Table":
            return predictions_to_arrow(predict_as_released(classifier, vectors, image_ids, labels))

        return classify

    def join(self, context: Context, output: Output) -> PredictionsArtifact:  # noqa: ARG002
        """All parts are there."""
        from coder_core.reference_protocol import REFERENCE

        return output.finish(PredictionsArtifact, method=self.method, protocol=REFERENCE)


def usable_images(context: Context, images: ImageEmbeddingsArtifact, part: str) -> "pa.Table":
    """The images of a part that could be read: `image_id` and ledger `key`."""
    return readable_rows(context.read_part(images, part, ["image_id", "key", "problem"])).select(["image_id", "key"])


def read_vectors(context: Context, encoder: IdentifiedEncoder, usable: "pa.Table") -> "Float[Tensor, 'images dim']":
    """The vectors of images, in order."""
    import torch

    from coder_core.embedding.ledgers import open_ledger

    return torch.from_numpy(open_ledger(context, "image_embeddings", encoder).read(usable.column("key")))


def read_predictions(context: Context, artifact: PredictionsArtifact, method: str = "") -> Predictions:
    """The predictions of an artifact; `method` is what it is called in this run, where that is another name."""
    from coder_core.image_ids import ImageIds
    from coder_core.storage.tables import ids_from_arrow

    parts = context.parts(artifact)
    ids, top_ids, top_probabilities = [], _Stack(parts), _Stack(parts)  # filled part by part: never twice in memory
    for part in each(parts):
        table = context.read_part(artifact, part.name, COLUMNS)
        ids.append(ids_from_arrow(table.column("image_id")))
        top_ids.add(table.column("top_ids"))
        top_probabilities.add(table.column("top_probabilities"))
    return Predictions(
        image_ids=ImageIds.join(ids),
        top_ids=top_ids.matrix,
        top_probabilities=top_probabilities.matrix,
        method=method or artifact.method,
        protocol=artifact.protocol,
    )


class _Stack:
    """A matrix that is filled part by part.

    Args:
        parts: Whose rows it is for.
    """

    def __init__(self, parts: "Sequence[PartRecord]") -> None:
        self._rows, self._filled = sum(part.rows for part in parts), 0
        self._matrix: Any = None

    @property
    def matrix(self) -> Any:
        """All rows."""
        return self._matrix

    def add(self, column: "pa.ChunkedArray") -> None:
        """Add the rows of a part: lists of one length."""
        import numpy as np

        from coder_core.storage.tables import vectors_from_arrow

        rows = vectors_from_arrow(column)
        if self._matrix is None:
            self._matrix = np.empty((self._rows, rows.shape[1]), dtype=rows.dtype)
        self._matrix[self._filled : self._filled + len(rows)] = rows
        self._filled += len(rows)


def predictions_from_arrow(table: "pa.Table", method: str, *, protocol: str = HONEST) -> Predictions:
    """Predictions from rows of an artifact."""
    import numpy as np

    from coder_core.storage.tables import ids_from_arrow, vectors_from_arrow

    return Predictions(
        image_ids=ids_from_arrow(table.column("image_id")),
        top_ids=np.array(vectors_from_arrow(table.column("top_ids"))),  # a copy: torch takes no read-only memory
        top_probabilities=np.array(vectors_from_arrow(table.column("top_probabilities"))),
        method=method,
        protocol=protocol,
    )


def predictions_to_arrow(predictions: Predictions) -> "pa.Table":
    """Predictions as rows: image id, best classes, their probabilities, and how the decisions came about."""
    import pyarrow as pa

    from coder_core.storage.tables import ids_to_arrow

    width = predictions.top_ids.shape[1]
    best = (predictions.top_ids, predictions.top_probabilities)
    lists = [pa.FixedSizeListArray.from_arrays(pa.array(matrix.reshape(-1)), width) for matrix in best]
    table = pa.table([ids_to_arrow(predictions.image_ids), *lists], names=list(COLUMNS))
    for name, column in predictions.details.items():
        table = table.append_column(name, pa.array(column))
    return table
