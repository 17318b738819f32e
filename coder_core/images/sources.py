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

from coder_core.classes import ClassList
from coder_core.demo.images import flag_designs_hash, flag_names, render_flags
from coder_core.demo.render import RENDERER_VERSION
from coder_core.fingerprint import content_hash, key_of
from coder_core.images.features_file import load_features
from coder_core.images.listing import list_folder
from coder_core.locations import open_location
from coder_core.specs import FeaturesDataset, FlagsDataset, FolderDataset
from coder_core.storage.inputs import read_input


class ImageBatch(NamedTuple):
    """Some images of a data set, in order.

    Attributes:
        image_ids: Unique within the data set.
        label_ids: Their classes.
        column: Name of `values`: `location`, `content` or `vector`.
        values: URLs, bytes of image files, or features `(images, dim)`.
    """

    image_ids: Sequence[str]
    label_ids: Int[np.ndarray, " images"]
    column: str
    values: Sequence[str] | Sequence[bytes] | Float[np.ndarray, "images dim"]


class ImageSource(Protocol):
    """A data set that can be read."""

    @property
    def identity(self) -> str:
        """sha256 of what decides the images and their labels."""
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

    def batches(self, rows: int) -> Iterator[ImageBatch]:
        """Render the flags."""
        images = render_flags(self._dataset.images_per_class, self._dataset.seed)
        while batch := list(islice(images, rows)):
            labels = np.array([image.label_id for image in batch], dtype=np.int64)
            yield ImageBatch([image.image_id for image in batch], labels, "content", [image.content for image in batch])


class FolderSource:
    """Image files in class folders."""

    def __init__(self, dataset: FolderDataset) -> None:
        self._listing = list_folder(dataset)
        self.classes = self._listing.classes
        self.image_count = len(self._listing.image_ids)

    @cached_property
    def identity(self) -> str:
        """Names, sizes and times (or ETags) of all files, and the order of the classes."""
        digest = hashlib.sha256(key_of(self.classes.names).encode())
        for location, token in zip(self._listing.locations, self._listing.tokens, strict=True):
            digest.update(key_of([location, token]).encode())
        return digest.hexdigest()

    def batches(self, rows: int) -> Iterator[ImageBatch]:
        """Slice the listing; no file is opened."""
        listing = self._listing
        for start in range(0, self.image_count, rows):
            part = slice(start, start + rows)
            yield ImageBatch(listing.image_ids[part], listing.label_ids[part], "location", listing.locations[part])


class FeaturesSource:
    """Features that another tool computed."""

    def __init__(self, dataset: FeaturesDataset) -> None:
        self._dataset = dataset
        self._set = load_features(dataset)
        self.classes = self._set.classes
        self.image_count = len(self._set.image_ids)

    @cached_property
    def identity(self) -> str:
        """The file's bytes, and which arrays of it are read."""
        columns = self._dataset.model_dump(mode="json", exclude={"path"})
        return key_of([content_hash(read_input(open_location(self._dataset.path))), columns])

    def batches(self, rows: int) -> Iterator[ImageBatch]:
        """Slice the features."""
        for start in range(0, self.image_count, rows):
            part = slice(start, start + rows)
            yield ImageBatch(self._set.image_ids[part], self._set.label_ids[part], "vector", self._set.features[part])


def open_source(dataset: FlagsDataset | FolderDataset | FeaturesDataset) -> ImageSource:
    """The source of a data set.

    Raises:
        InputError: The folder is missing; or, as `DatasetError`, it has no image or contradicts itself.
        FeatureFileError: The features file cannot be used.
    """
    if isinstance(dataset, FlagsDataset):
        return FlagsSource(dataset)
    if isinstance(dataset, FolderDataset):
        return FolderSource(dataset)
    return FeaturesSource(dataset)
