"""What there is to classify: classes, images and labels become three artifacts.

The listing of images is cut into parts of `LISTING_ROWS`; every later per-image artifact has the same parts: they are
the unit of work, of resuming and of memory. Labels are an artifact of their own that no prediction step receives. A
data set is looked at in every run; what is found is kept under the key of its content.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from coder_core.classes import ClassList
from coder_core.counted import counted
from coder_core.errors import DatasetError
from coder_core.fingerprint import NotIdentity
from coder_core.images.renamed_classes import open_renamed
from coder_core.images.sources import ImageSource
from coder_core.images.unlabelled import open_images
from coder_core.loops import each
from coder_core.pipeline.artifact_types import (
    ClassesArtifact,
    Dataset,
    IgnoredArtifact,
    ImagesArtifact,
    LabelsArtifact,
    NewImages,
)
from coder_core.pipeline.context import Context
from coder_core.pipeline.output import Output, part_name
from coder_core.pipeline.step import ArtifactStep, Step
from coder_core.pipeline.traits import PREFLIGHT, Traits
from coder_core.specs import DatasetSpec

if TYPE_CHECKING:
    import pyarrow as pa

    from coder_core.evaluation.labels import LabelTable
    from coder_core.images.sources import ImageBatch

LISTING_ROWS = 4096
"""Images per part: 320 parts for ImageNet's 1.3 million images."""


class LoadDataset(Step[Dataset]):
    """List a data set.

    Raises:
        DatasetError: The data set is missing, empty or contradicts itself.
        FeatureFileError: A features file cannot be used.
    """

    source: DatasetSpec
    class_names: dict[str, str] = Field(default_factory=dict)

    @property
    def title(self) -> str:
        """With the kind of the data set."""
        return f"load-dataset-{self.source.kind}"

    def run(self, context: Context) -> Dataset:
        """Look at the data set; keep classes, images and labels."""
        source = open_renamed(self.source, self.class_names, settle_seconds=context.runtime.settle_seconds)
        return Dataset(
            name=source.name,
            classes=context.do(ListClasses(names=source.classes.names, ids=source.classes.stable_ids)),
            images=context.do(ListImages(content=source.identity, source=source)),
            labels=context.do(ListLabels(content=source.labels_identity, source=source)),
            ignored=context.do(_list_ignored(source)),
        )

    def records(self, result: Dataset, seconds: float) -> tuple[()]:  # noqa: ARG002
        """The lists stand for it."""
        return ()


class ListClasses(ArtifactStep[ClassesArtifact]):
    """Keep a class list."""

    loop_free: ClassVar[str] = "writes one document"

    names: tuple[str, ...]
    ids: tuple[str, ...] | None = None

    def make(self, context: Context, output: Output) -> ClassesArtifact:  # noqa: ARG002
        """Write names and stable ids."""
        ids = {} if self.ids is None else {"ids": list(self.ids)}
        output.write_document({"names": list(self.names), **ids})
        return output.finish(ClassesArtifact, class_count=len(self.names))


class ListImages(ArtifactStep[ImagesArtifact]):
    """Keep a listing of images."""

    version: ClassVar[int] = 3

    content: str
    source: Annotated[Any, NotIdentity("`content` is the hash of all that it lists")]
    label: Annotated[str, NotIdentity("what the step is called among the timings")] = "load_dataset"

    @property
    def name(self) -> str:
        """As it stands among the timings."""
        return self.label

    def make(self, context: Context, output: Output) -> ImagesArtifact:
        """Write ids, where each image is, what it is, or what its features are, and what is known to be unreadable."""
        for number, batch in _batches(self.source, context):
            output.write_part(part_name(number), _images_table(batch))
        return output.finish(ImagesArtifact)


class ListLabels(ArtifactStep[LabelsArtifact]):
    """Keep the labels of a listing."""

    content: str
    source: Annotated[Any, NotIdentity("`content` is the hash of all that it lists")]

    @property
    def name(self) -> str:
        """As it stands among the timings."""
        return "read_labels"

    def make(self, context: Context, output: Output) -> LabelsArtifact:
        """Write ids and labels."""
        import pyarrow as pa

        from coder_core.storage.tables import ids_to_arrow

        for number, batch in _batches(self.source, context, only_labels=True):
            unknown = pa.nulls(len(batch.image_ids), pa.int32())
            labels = unknown if batch.label_ids is None else pa.array(batch.label_ids, type=pa.int32())
            table = pa.table({"image_id": ids_to_arrow(batch.image_ids), "label_id": labels})
            output.write_part(part_name(number), table)
        return output.finish(LabelsArtifact)


class ListIgnored(ArtifactStep[IgnoredArtifact]):
    """Keep what lies beside the images and is none."""

    loop_free: ClassVar[str] = "writes one short table"

    files: tuple[tuple[str, str], ...]
    count: int

    def make(self, context: Context, output: Output) -> IgnoredArtifact:  # noqa: ARG002
        """Write locations and reasons; of very many the first, and the count of all."""
        import pyarrow as pa

        columns = [[location for location, _ in self.files], [reason for _, reason in self.files]]
        arrays = [pa.array(column, type=pa.string()) for column in columns]
        output.write(pa.table(arrays, names=["location", "reason"]))
        return output.finish(IgnoredArtifact, count=self.count)


class CheckSameClasses(Step[None]):
    """Refuse a further data set whose class list is another one: its label ids would mean other classes.

    Raises:
        DatasetError: The names, or their order, differ.
    """

    traits: ClassVar[Traits] = PREFLIGHT
    loop_free: ClassVar[str] = "compares two lists"

    classes: ClassesArtifact
    others: ClassesArtifact
    what: str

    def run(self, context: Context) -> None:
        """Compare the names."""
        names, found = (read_classes(context, handle).names for handle in (self.classes, self.others))
        if names != found:
            difference = _first_difference(names, found)
            problem = f"its class list is another one ({difference})."
            raise DatasetError(problem, self.what, "Give the same classes in order.")


class ListNewImages(Step[NewImages]):
    """List image files that nobody has labelled.

    Each file once, in the order in which the locations name them; an image's id is its location.

    Raises:
        InputError: There is no such file or folder, or no image in it; nothing is listed then.
    """

    locations: tuple[str, ...]

    def run(self, context: Context) -> NewImages:
        """Look for the files."""
        found = open_images(self.locations)
        images = context.do(ListImages(content=found.identity, source=found, label="list_new_images"))
        return NewImages(images=images, ignored=context.do(_list_ignored(found)))

    def records(self, result: NewImages, seconds: float) -> tuple[()]:  # noqa: ARG002
        """The lists stand for it."""
        return ()


def read_classes(context: Context, classes: ClassesArtifact) -> ClassList:
    """The class list of an artifact."""
    document = context.read_document(classes)
    stable_ids = document.get("ids")
    return ClassList(tuple(document["names"]), None if stable_ids is None else tuple(stable_ids))


def read_labels(context: Context, labels: LabelsArtifact, split: str) -> "LabelTable":
    """The labels of an artifact, as those of a split: `train`, `validation` or `test`."""
    parts = context.parts(labels)
    read = [_labels_of_part(context, labels, part.name, split) for part in each(parts)]
    return _joined_labels(read, split)


def read_labels_of(context: Context, labels: LabelsArtifact, image_ids: "Sequence[str]", split: str) -> "LabelTable":
    """The labels of an artifact, which are those of some images, as a rule: then no id is held twice."""
    import numpy as np

    from coder_core.evaluation.labels import LabelTable

    found, start = np.empty(len(image_ids), dtype=np.int64), 0
    for part in each(context.parts(labels)):
        own, stop = _labels_of_part(context, labels, part.name, split), start + part.rows
        if own.image_ids != image_ids[start:stop]:
            return read_labels(context, labels, split)
        found[start:stop], start = own.label_ids, stop
    if start < len(image_ids):
        return read_labels(context, labels, split)
    return LabelTable(image_ids, found, split)


class LabelParts:
    """Labels as they are needed beside images that are worked through part by part.

    Args:
        context: The store.
        labels: The labels.
        split: `train`, `validation` or `test`.
    """

    def __init__(self, context: Context, labels: LabelsArtifact, split: str) -> None:
        self._context, self._labels, self._split = context, labels, split
        self._names = frozenset(part.name for part in context.parts(labels))

    def beside(self, name: str, image_ids: "Sequence[str]") -> "LabelTable":
        """Labels of the images of a part: those of the part of that name, as a rule, else all that there are."""
        if name in self._names:
            own = _labels_of_part(self._context, self._labels, name, self._split)
            if own.knows(image_ids):
                return own
        return self._all

    @cached_property
    def _all(self) -> "LabelTable":
        return read_labels(self._context, self._labels, self._split)


def _labels_of_part(context: Context, labels: LabelsArtifact, name: str, split: str) -> "LabelTable":
    import numpy as np

    from coder_core.evaluation.labels import LabelTable
    from coder_core.storage.tables import ids_from_arrow

    table = context.read_part(labels, name)
    label_ids = table.column("label_id").to_numpy().astype(np.int64)
    return LabelTable(ids_from_arrow(table.column("image_id")), label_ids, split)


def _joined_labels(read: "Sequence[LabelTable]", split: str) -> "LabelTable":
    import numpy as np

    from coder_core.evaluation.labels import LabelTable
    from coder_core.image_ids import ImageIds

    ids = ImageIds.join([table.image_ids for table in read if isinstance(table.image_ids, ImageIds)])
    return LabelTable(ids, np.concatenate([table.label_ids for table in read]), split)


def _batches(source: ImageSource, context: Context, *, only_labels: bool = False) -> Iterator[tuple[int, "ImageBatch"]]:
    """The parts of a listing; a source whose images are made when they are read may tell their labels without them."""
    read = getattr(source, "labels", source.batches) if only_labels else source.batches
    batches = read(LISTING_ROWS)
    size: Callable[[ImageBatch], int] = lambda batch: len(batch.image_ids)  # noqa: E731
    yield from enumerate(
        context.each(batches, "reading the data set", total=source.image_count, unit="images", size=size)
    )


def _list_ignored(source: Any) -> ListIgnored:
    return ListIgnored(files=tuple(tuple(file) for file in source.ignored), count=source.ignored_count)


def _images_table(batch: "ImageBatch") -> "pa.Table":
    import numpy as np
    import pyarrow as pa

    from coder_core.storage.tables import ids_to_arrow, vectors_to_arrow

    values = vectors_to_arrow(batch.values) if isinstance(batch.values, np.ndarray) else pa.array(batch.values)
    table = pa.table({"image_id": ids_to_arrow(batch.image_ids), batch.column: values})
    for name, column in (("token", batch.tokens), ("reason", batch.reasons)):
        if column is not None:
            table = table.append_column(name, pa.array(column, type=pa.string()))
    return table


def _first_difference(names: Sequence[str], others: Sequence[str]) -> str:
    if len(names) != len(others):
        return f"{counted(len(others), 'class')} instead of {len(names)}"
    place = next(place for place, (a, b) in enumerate(zip(names, others, strict=True)) if a != b)
    return f"class {place} is {others[place]!r} instead of {names[place]!r}"
