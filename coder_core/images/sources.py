"""Where a data set's images come from: rendered flags, a folder of files, or a file of features.

Each source knows its identity without doing the expensive part, and then yields its images in batches: ids, labels, and
one column that says where the picture is (`location`), what it is (`content`) or what its features are (`vector`).
"""

import hashlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import islice
from typing import NamedTuple, Protocol

import numpy as np
from jaxtyping import Float, Int

from coder_core.class_source.reading import SETTLE_SECONDS, read_class_source
from coder_core.classes import ClassList
from coder_core.demo.images import flag_designs_hash, flag_names, render_flags
from coder_core.demo.render import RENDERER_VERSION
from coder_core.fingerprint import key_of
from coder_core.images.features_file import load_features
from coder_core.images.listing import FolderListing, list_folder, list_split
from coder_core.specs import FeaturesDataset, FlagsDataset, FolderDataset, SplitDataset


class ImageBatch(NamedTuple):
    """Some images of a data set, in order.

    Attributes:
        image_ids: Unique within the data set.
        label_ids: Their classes.
        column: Name of `values`: `location`, `content` or `vector`.
        values: URLs, bytes of image files, or features `(images, dim)`.
        tokens: Of URLs: a text each that changes when the file does.
    """

    image_ids: Sequence[str]
    label_ids: Int[np.ndarray, " images"]
    column: str
    values: Sequence[str] | Sequence[bytes] | Float[np.ndarray, "images dim"]
    tokens: Sequence[str] | None = None


class ImageSource(Protocol):
    """A data set that can be read."""

    @property
    def identity(self) -> str:
        """sha256 of what decides the images and their order; labels that can be changed alone are no part of it."""
        ...

    @property
    def labels_identity(self) -> str:
        """sha256 of what decides the label of each image."""
        ...

    @property
    def classes(self) -> ClassList:
        """Classes in label order."""
        ...

    @property
    def image_count(self) -> int:
        """Number of images."""
        ...

    def batches(self, rows: int) -> Iterator[ImageBatch]:
        """All images, `rows` at a time."""
        ...


class FlagsSource:
    """The demonstration's flags, rendered when asked for."""

    def __init__(self, dataset: FlagsDataset) -> None:
        self._dataset = dataset
        self.classes = ClassList(flag_names())
        self.image_count = len(self.classes) * dataset.images_per_class

    @property
    def identity(self) -> str:
        """Design table, renderer, seed and number of photographs."""
        return key_of([self._dataset, RENDERER_VERSION, flag_designs_hash()])

    @property
    def labels_identity(self) -> str:
        """The images say what they show."""
        return self.identity

    def batches(self, rows: int) -> Iterator[ImageBatch]:
        """Render the flags."""
        images = render_flags(self._dataset.images_per_class, self._dataset.seed)
        while batch := list(islice(images, rows)):
            labels = np.array([image.label_id for image in batch], dtype=np.int64)
            yield ImageBatch([image.image_id for image in batch], labels, "content", [image.content for image in batch])


class FilesSource:
    """Image files, in class folders or as a published split lists them."""

    def __init__(self, listing: FolderListing) -> None:
        self._listing = listing
        self.classes = self._listing.classes
        self.image_count = len(self._listing.image_ids)

    @cached_property
    def identity(self) -> str:
        """Names, sizes and times (or ETags) of all files; a class without images changes nothing here."""
        digest = hashlib.sha256()
        for location, token in zip(self._listing.locations, self._listing.tokens, strict=True):
            digest.update(key_of([location, token]).encode())
        return digest.hexdigest()

    @property
    def labels_identity(self) -> str:
        """Paths and labels, and the names that the labels count in."""
        return key_of([self.identity, self._listing.label_ids.tolist(), self.classes.names])

    def batches(self, rows: int) -> Iterator[ImageBatch]:
        """Slice the listing; no file is opened."""
        listing = self._listing
        for start in range(0, self.image_count, rows):
            part = slice(start, start + rows)
            yield ImageBatch(
                listing.image_ids[part],
                listing.label_ids[part],
                "location",
                listing.locations[part],
                listing.tokens[part],
            )


class FeaturesSource:
    """Features that another tool computed."""

    def __init__(self, dataset: FeaturesDataset, listed: ClassList | None = None) -> None:
        self._set = load_features(dataset, listed)
        self.classes = self._set.classes
        self.image_count = len(self._set.image_ids)

    @cached_property
    def identity(self) -> str:
        """Ids and normalised features."""
        features = np.ascontiguousarray(self._set.features)
        return key_of([self._set.image_ids, features.shape, hashlib.sha256(features.data).hexdigest()])

    @cached_property
    def labels_identity(self) -> str:
        """Ids, labels, and the names that the labels count in."""
        return key_of([self._set.image_ids, self._set.label_ids.tolist(), self.classes.names])

    def batches(self, rows: int) -> Iterator[ImageBatch]:
        """Slice the features."""
        for start in range(0, self.image_count, rows):
            part = slice(start, start + rows)
            yield ImageBatch(self._set.image_ids[part], self._set.label_ids[part], "vector", self._set.features[part])


def open_source(
    dataset: FlagsDataset | FolderDataset | SplitDataset | FeaturesDataset, *, settle_seconds: float = SETTLE_SECONDS
) -> ImageSource:
    """The source of a data set, with the classes that the data set has, or those of its `classes`.

    Args:
        dataset: What to open.
        settle_seconds: How long a class list kept outside must not have changed.

    Raises:
        InputError: The folder or the class list is missing; or, as `DatasetError`, there is no image, or it contradicts
            itself.
        FeatureFileError: The features file cannot be used.
        UnfinishedInputError: The class list is half written.
    """
    if isinstance(dataset, FlagsDataset):
        return FlagsSource(dataset)
    if isinstance(dataset, SplitDataset):
        return FilesSource(list_split(dataset))
    listed = read_class_source(dataset.classes, settle_seconds=settle_seconds) if dataset.classes else None
    if isinstance(dataset, FolderDataset):
        return FilesSource(list_folder(dataset, listed))
    return FeaturesSource(dataset, listed)
