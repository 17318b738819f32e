"""A data set whose classes are called otherwise: its files, its labels and their order stay as they are."""

from collections.abc import Iterator, Mapping

from coder_core.class_source.read_class_source import SETTLE_SECONDS
from coder_core.classes import ClassList, rename_classes
from coder_core.images.sources import IgnoredFile, ImageBatch, ImageSource, open_source
from coder_core.specs import DatasetSpec

PLACE = "class_names"


class RenamedClasses:
    """A source under other class names. Label ids do not change, so no listing is another one for it."""

    def __init__(self, source: ImageSource, new_names: Mapping[str, str]) -> None:
        self._source = source
        self.name = source.name
        self.classes: ClassList = rename_classes(source.classes, new_names, PLACE)
        self.image_count = source.image_count
        self.ignored: tuple[IgnoredFile, ...] = source.ignored
        self.ignored_count = source.ignored_count

    @property
    def identity(self) -> str:
        """That of the data set."""
        return self._source.identity

    @property
    def labels_identity(self) -> str:
        """That of the data set."""
        return self._source.labels_identity

    def batches(self, rows: int) -> Iterator[ImageBatch]:
        """Those of the data set."""
        return self._source.batches(rows)


def open_renamed(
    dataset: DatasetSpec, class_names: Mapping[str, str], *, settle_seconds: float = SETTLE_SECONDS
) -> ImageSource:
    """Open a data set under the class names of an evaluation.

    Args:
        dataset: What to open.
        class_names: `EvalSpec.class_names`.
        settle_seconds: As for `open_source`.

    Raises:
        DatasetError: `class_names` names a class that is not there; or as `open_source`.
    """
    return under_names(open_source(dataset, settle_seconds=settle_seconds), class_names)


def under_names(source: ImageSource, class_names: Mapping[str, str]) -> ImageSource:
    """A data set that is open already, under the class names of an evaluation.

    Raises:
        DatasetError: `class_names` names a class that is not there.
    """
    return RenamedClasses(source, class_names) if class_names else source
