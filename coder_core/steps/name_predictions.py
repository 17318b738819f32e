"""What a method says about new images, in words: names instead of numbers, and the images that could not be read.

Written part by part, so that a million images are never in memory.
"""

from typing import TYPE_CHECKING, ClassVar

from coder_core.pipeline.artifact_types import (
    ClassesArtifact,
    ImageEmbeddingsArtifact,
    NamedPredictionsArtifact,
    PredictionsArtifact,
)
from coder_core.pipeline.context import Context
from coder_core.pipeline.output import Output
from coder_core.pipeline.step import ArtifactStep, Step
from coder_core.steps.load_dataset import read_classes

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = ("image", "class_name", "probability", "top5", "top5_probabilities", "problem")


class NamePredictions(ArtifactStep[NamedPredictionsArtifact]):
    """Put names to predictions: one row per image, in their order; a broken image has a `problem` and no class."""

    version: ClassVar[int] = 2

    predictions: PredictionsArtifact
    images: ImageEmbeddingsArtifact
    classes: ClassesArtifact

    def make(self, context: Context, output: Output) -> NamedPredictionsArtifact:
        """Name part after part."""
        import pyarrow as pa

        names = pa.array(read_classes(context, self.classes).names, type=pa.string())
        parts = context.parts(self.images)
        for part in context.each(parts, "naming", total=len(parts), unit="parts"):
            listing = context.read_part(self.images, part.name, ["image_id", "problem"])
            predicted = context.read_part(self.predictions, part.name)
            output.write_part(part.name, _name_part(listing, predicted, names))
        return output.finish(NamedPredictionsArtifact)


class ExportTable(Step[str]):
    """Copy named predictions to a `.parquet` file of the user's; gives its place.

    Raises:
        InputError: It cannot be written.
    """

    named: NamedPredictionsArtifact
    location: str

    loop_free: ClassVar[str] = "copies compressed batches"

    def run(self, context: Context) -> str:
        """Write the file, whole or not at all."""
        from coder_core.storage.exports import export_table

        export_table(context.artifacts, self.named.stored, self.location)
        return self.location


def _name_part(listing: "pa.Table", predicted: "pa.Table", names: "pa.Array") -> "pa.Table":
    """Bring predictions, which only usable images have, back beside all images of the part."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    from coder_core.storage.tables import vectors_from_arrow

    usable = pc.is_null(listing.column("problem")).to_numpy()
    row_of = pa.array(np.where(usable, np.cumsum(usable) - 1, 0), mask=~usable)
    top_ids = vectors_from_arrow(predicted.column("top_ids"))
    probabilities = vectors_from_arrow(predicted.column("top_probabilities"))
    top_names = _lists(names.take(pa.array(top_ids.reshape(-1))), top_ids.shape[1])
    columns = [
        listing.column("image_id"),
        names.take(pa.array(top_ids[:, 0])).take(row_of),
        pa.array(probabilities[:, 0]).take(row_of),
        top_names.take(row_of),
        _lists(pa.array(probabilities.reshape(-1)), top_ids.shape[1]).take(row_of),
        listing.column("problem"),
    ]
    return pa.table(columns, names=list(COLUMNS)).cast(_schema())


def _schema() -> "pa.Schema":
    import pyarrow as pa

    texts, numbers = pa.list_(pa.string()), pa.list_(pa.float32())
    kinds = (pa.string(), pa.string(), pa.float32(), texts, numbers, pa.string())
    return pa.schema(list(zip(COLUMNS, kinds, strict=True)))


def _lists(values: "pa.Array", width: int) -> "pa.ListArray":
    import numpy as np
    import pyarrow as pa

    offsets: np.ndarray = np.arange(0, len(values) + 1, max(width, 1), dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values)
