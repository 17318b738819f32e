"""Where a data set's images come from: rendered flags, files in folders, a published split, or a file of features.

Each source knows its identity without doing the expensive part, and then yields its images in batches: ids, labels, and
one column that says where the picture is (`location`), what it is (`content`) or what its features are (`vector`).
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cached_property
from importlib import import_module
from itertools import islice
from pathlib import PurePosixPath
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
from jaxtyping import Float, Int

from coder_core.class_source.read_class_source import SETTLE_SECONDS, read_class_source
from coder_core.classes import ClassList
from coder_core.demo.flag_images import RENDERER_VERSION, flag_designs_hash, flag_names, list_flags, render_flags
from coder_core.fingerprint import key_of, key_of_columns
from coder_core.images.features_file import load_features
from coder_core.images.labelled_rows import LabelledRows, label_rows
from coder_core.images.listed_images import list_table
from coder_core.images.listing import FolderListing, list_folder
from coder_core.images.manifests import list_manifest
from coder_core.images.parquet_images import list_parquet
from coder_core.images.split_listing import list_split
from coder_core.images.tar_shards import list_shards
from coder_core.specs import (
    DatasetSpec,
    FeaturesDataset,
    FlagsDataset,
    FolderDataset,
    LabelledDataset,
    ManifestDataset,
    ParquetDataset,
    SplitDataset,
    TableDataset,
    TarDataset,
)
from coder_core.storage.addresses import redact
from coder_core.storage.ignored_files import IgnoredFile

__all__ = [
    "SOURCES",
    "IgnoredFile",
    "ImageBatch",
    "ImageSource",
    "base_name",
    "identify_files",
    "open_source",
    "opened_before",
    "register_source",
]


class ImageBatch(NamedTuple):
    """Some images of a data set, in order.

    Attributes:
        image_ids: Unique within the data set.
        label_ids: Their classes; None where nobody has labelled them.
        column: Name of `values`: `location`, `content` or `vector`.
        values: URLs, bytes of image files, or features `(images, dim)`.
        tokens: Of URLs: a text each that changes when the file does.
        reasons: Of URLs: why a file cannot be read, where the listing found that out, else None. Such an image is not
            opened; it is a line of the quarantine like one that cannot be decoded. None where all can be read.
    """

    image_ids: Sequence[str]
    label_ids: Int[np.ndarray, " images"] | None
    column: str
    values: Sequence[str] | Sequence[bytes] | Float[np.ndarray, "images dim"]
    tokens: Sequence[str] | None = None
    reasons: Sequence[str | None] | None = None


class ImageSource(Protocol):
    """A data set that can be read."""

    @property
    def name(self) -> str:
        """What the data set is called in tables."""
        ...

    @property
    def identity(self) -> str:
        """sha256 of what decides the images, their ids and their order; labels that can change alone are no part."""
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

    @property
    def ignored(self) -> tuple[IgnoredFile, ...]:
        """What was handed in beside the images, each with a reason; cut at some thousands."""
        ...

    @property
    def ignored_count(self) -> int:
        """How many there are, also of those that are not named."""
        ...

    def batches(self, rows: int) -> Iterator[ImageBatch]:
        """All images, `rows` at a time."""
        ...


Opened = TypeVar("Opened", bound=Callable[[Any, float], ImageSource])

SOURCES: dict[str, Callable[[Any, float], ImageSource]] = {}
"""`kind` of a data set's spec -> what opens it: `(spec, settle_seconds) -> ImageSource`."""


_ELSEWHERE = {"unlabelled": "coder_core.images.unlabelled", "named": "coder_core.datasets.named_source"}
"""What registers the kinds that stand on this module."""

_opened: ContextVar[dict[str, ImageSource]] = ContextVar("opened")


def register_source(kind: str) -> Callable[[Opened], Opened]:
    """Make a function the one that opens data sets of a kind."""

    def register(opener: Opened) -> Opened:
        SOURCES[kind] = opener
        return opener

    return register


def open_source(dataset: DatasetSpec, *, settle_seconds: float = SETTLE_SECONDS) -> ImageSource:
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
    if (found := _opened.get({}).pop(_name_of(dataset), None)) is not None:
        return found
    if dataset.kind not in SOURCES:
        import_module(_ELSEWHERE[dataset.kind])
    return SOURCES[dataset.kind](dataset, settle_seconds)


@contextmanager
def opened_before(sources: list[tuple[DatasetSpec, ImageSource]]) -> Iterator[None]:
    """Within a block, give whoever opens one of these data sets first what was opened just now: listing takes long.

    Args:
        sources: What was opened, with its settings. The list is empty then: who opens a data set has it alone, and
            the memory of ten million features is free once they are in the store.
    """
    token = _opened.set({_name_of(dataset): source for dataset, source in sources})
    sources.clear()
    try:
        yield
    finally:
        _opened.reset(token)


def _name_of(dataset: DatasetSpec) -> str:
    return dataset.model_dump_json()


class FlagsSource:
    """The demonstration's flags, rendered when asked for."""

    ignored: tuple[IgnoredFile, ...] = ()
    ignored_count = 0

    def __init__(self, dataset: FlagsDataset) -> None:
        self._dataset = dataset
        self.name = dataset.name or "flags"
        self.classes = ClassList(flag_names())
        self.image_count = len(self.classes) * dataset.images_per_class

    @property
    def identity(self) -> str:
        """Design table, renderer, seed and number of photographs."""
        dataset = self._dataset
        return key_of([dataset.kind, dataset.images_per_class, dataset.seed, RENDERER_VERSION, flag_designs_hash()])

    @property
    def labels_identity(self) -> str:
        """The images say what they show."""
        return self.identity

    def labels(self, rows: int) -> Iterator[ImageBatch]:
        """Name the photographs and their flags; none is rendered for it."""
        listed = list_flags(self._dataset.images_per_class)
        while batch := list(islice(listed, rows)):
            labels = np.array([label_id for _, label_id, _ in batch], dtype=np.int64)
            yield ImageBatch([image_id for image_id, _, _ in batch], labels, "", [])

    def batches(self, rows: int) -> Iterator[ImageBatch]:
        """Render the flags."""
        images = render_flags(self._dataset.images_per_class, self._dataset.seed)
        while batch := list(islice(images, rows)):
            labels = np.array([image.label_id for image in batch], dtype=np.int64)
            yield ImageBatch([image.image_id for image in batch], labels, "content", [image.content for image in batch])


class FilesSource:
    """Image files, in class folders or as a published split lists them; `note` says what labels may be mistaken in."""

    def __init__(self, listing: FolderListing, name: str) -> None:
        self._listing = listing
        self.name = name
        self.classes = listing.classes
        self.image_count = len(listing.image_ids)
        self.ignored = listing.ignored.entries
        self.ignored_count = listing.ignored.count
        self.note = listing.note

    @cached_property
    def identity(self) -> str:
        """Ids, places, sizes and times (or ETags) of all files in order; a class without images changes nothing."""
        listing = self._listing
        reasons = [listing.reasons.get(row) for row in range(self.image_count)]
        return identify_files(listing.image_ids, listing.locations, listing.tokens, reasons)

    @property
    def labels_identity(self) -> str:
        """Files and labels, and the names that the labels count in."""
        return key_of_columns(self.identity, self._listing.label_ids, self.classes.names)

    def batches(self, rows: int) -> Iterator[ImageBatch]:
        """Slice the listing; no file is opened."""
        listing = self._listing
        for start in range(0, self.image_count, rows):
            part = slice(start, start + rows)
            reasons = [listing.reasons.get(row) for row in range(*part.indices(self.image_count))]
            yield ImageBatch(
                listing.image_ids[part],
                listing.label_ids[part],
                "location",
                listing.locations[part],
                listing.tokens[part],
                reasons if any(reasons) else None,
            )


class FeaturesSource:
    """Features that another tool computed."""

    def __init__(self, dataset: FeaturesDataset, listed: ClassList | None = None) -> None:
        self._set = load_features(dataset, listed)
        self.name = dataset.name or _name_of_features(dataset)
        self.classes = self._set.classes
        self.image_count = len(self._set.image_ids)
        self.ignored = self._set.ignored.entries
        self.ignored_count = self._set.ignored.count

    @cached_property
    def identity(self) -> str:
        """Ids and normalised features."""
        features = np.ascontiguousarray(self._set.features)
        return key_of_columns(self._set.image_ids, features.shape, hashlib.sha256(features.data).hexdigest())

    @cached_property
    def labels_identity(self) -> str:
        """Ids, labels, and the names that the labels count in."""
        return key_of_columns(self._set.image_ids, self._set.label_ids, self.classes.names)

    def batches(self, rows: int) -> Iterator[ImageBatch]:
        """Slice the features."""
        for start in range(0, self.image_count, rows):
            part = slice(start, start + rows)
            yield ImageBatch(self._set.image_ids[part], self._set.label_ids[part], "vector", self._set.features[part])


def identify_files(*columns: Sequence[str | None]) -> str:
    """sha256 of columns of equal length, row by row: ids, places, tokens, reasons."""
    digest = hashlib.sha256()
    for row in zip(*columns, strict=True):
        digest.update(json.dumps(row, separators=(",", ":")).encode("ascii"))
    return digest.hexdigest()


@register_source("flags")
def _open_flags(dataset: FlagsDataset, _settle_seconds: float) -> FlagsSource:
    return FlagsSource(dataset)


@register_source("folder")
def _open_folder(dataset: FolderDataset, settle_seconds: float) -> FilesSource:
    listing = list_folder(dataset, _listed_classes(dataset, settle_seconds))
    return FilesSource(listing, dataset.name or base_name(dataset.path))


@register_source("split")
def _open_split(dataset: SplitDataset, _settle_seconds: float) -> FilesSource:
    stem = PurePosixPath(base_name(dataset.split_file)).stem.removeprefix("split_zhou_")
    return FilesSource(list_split(dataset), dataset.name or f"{stem}-{dataset.split}")


@register_source("features")
def _open_features(dataset: FeaturesDataset, settle_seconds: float) -> FeaturesSource:
    return FeaturesSource(dataset, _listed_classes(dataset, settle_seconds))


@register_source("webdataset")
def _open_shards(dataset: TarDataset, settle_seconds: float) -> FilesSource:
    return _open_rows(list_shards(dataset), dataset, settle_seconds)


@register_source("parquet")
def _open_parquet(dataset: ParquetDataset, settle_seconds: float) -> FilesSource:
    return _open_rows(list_parquet(dataset), dataset, settle_seconds)


@register_source("image_folder")
def _open_table(dataset: TableDataset, settle_seconds: float) -> FilesSource:
    return _open_rows(list_table(dataset), dataset, settle_seconds)


@register_source("manifest")
def _open_manifest(dataset: ManifestDataset, settle_seconds: float) -> FilesSource:
    listing = list_manifest(dataset, _listed_classes(dataset, settle_seconds))
    stem = PurePosixPath(base_name(dataset.path)).stem
    return FilesSource(listing, dataset.name or (f"{stem}-{dataset.split}" if dataset.split else stem))


def _open_rows(found: LabelledRows, dataset: LabelledDataset, settle_seconds: float) -> FilesSource:
    listing = label_rows(found, dataset, _listed_classes(dataset, settle_seconds))
    return FilesSource(listing, dataset.name or base_name(dataset.path))


def _listed_classes(
    dataset: FolderDataset | FeaturesDataset | LabelledDataset, settle_seconds: float
) -> ClassList | None:
    return read_class_source(dataset.classes, settle_seconds=settle_seconds) if dataset.classes else None


def _name_of_features(dataset: FeaturesDataset) -> str:
    stem = PurePosixPath(base_name(dataset.path)).stem
    return stem if dataset.features == "features" else f"{stem}-{dataset.features}"


def base_name(location: str) -> str:
    """The last part of a path or URL, without what follows a `?` in a URL; a root has only itself."""
    path = redact(location).partition("?")[0] if "://" in location else location
    return path.rstrip("/").rpartition("/")[2] or location
