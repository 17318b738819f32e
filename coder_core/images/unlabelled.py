"""Images that nobody has labelled: files, folders and patterns that somebody wants a prediction for."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import chain

from coder_core.class_source.read_class_source import read_class_source
from coder_core.classes import ClassList
from coder_core.errors import InputError
from coder_core.images.image_files import ImageFiles, no_image, select_images
from coder_core.images.sources import IgnoredFile, ImageBatch, base_name, identify_files, register_source
from coder_core.redaction import redact, redact_all, unmarked
from coder_core.specs import UnlabelledDataset
from coder_core.storage.ignored_files import IgnoredFiles
from coder_core.storage.input_files import InputFile
from coder_core.storage.input_names import is_printable, printable
from coder_core.storage.input_search import find_inputs

__all__ = ["UnlabelledImages", "open_images"]


class UnlabelledImages:
    """Image files, each once, in the order in which they were named; an image's id is where it is."""

    def __init__(self, files: Sequence[InputFile], ignored: Sequence[IgnoredFiles]) -> None:
        self.files = files
        self.image_count = len(files)
        self.ignored: tuple[IgnoredFile, ...] = tuple(chain.from_iterable(found.entries for found in ignored))
        self.ignored_count = sum(found.count for found in ignored)
        self.image_ids = tuple(_distinct([unmarked(url) for url in redact_all(file.url for file in files)]))

    @cached_property
    def identity(self) -> str:
        """Ids, places, sizes and times (or ETags) of all files, in order."""
        columns = zip(*((file.url, file.token, file.problem) for file in self.files), strict=True)
        return identify_files(self.image_ids, *columns)

    def batches(self, rows: int) -> Iterator[ImageBatch]:
        """All images, `rows` at a time, without labels; no file is opened."""
        for start in range(0, self.image_count, rows):
            part = self.files[start : start + rows]
            reasons = [file.problem for file in part]
            yield ImageBatch(
                self.image_ids[start : start + rows],
                None,
                "location",
                [file.url for file in part],
                [file.token for file in part],
                reasons if any(reasons) else None,
            )


def open_images(locations: Sequence[str]) -> UnlabelledImages:
    """Find image files.

    Args:
        locations: Files (whatever their suffix), folders and patterns, as paths or fsspec URLs.

    Returns:
        Each file once; what lies beside images in folders and patterns is ignored, and named.

    Raises:
        InputError: Nothing is named; there is no such file or folder, or no image in one of them.
    """
    if not locations:
        raise InputError("no image is named.", "images", "Name files, folders or patterns.")
    selections = [_select(location) for location in locations]
    files = {file.url: file for selection in selections for file in selection.files}
    return UnlabelledImages(list(files.values()), [selection.ignored for selection in selections])


class UnlabelledSource(UnlabelledImages):
    """Images without labels as a data set: with a list of classes, and a name."""

    def __init__(self, images: UnlabelledImages, classes: ClassList, name: str) -> None:
        super().__init__(images.files, ())
        self.ignored, self.ignored_count = images.ignored, images.ignored_count
        self.classes, self.name = classes, name

    @property
    def labels_identity(self) -> str:
        """There are none: the images alone."""
        return self.identity


@register_source("unlabelled")
def _open_unlabelled(dataset: UnlabelledDataset, settle_seconds: float) -> UnlabelledSource:
    classes = read_class_source(dataset.classes, settle_seconds=settle_seconds)
    name = dataset.name or base_name(dataset.path)
    return UnlabelledSource(open_images([dataset.path]), classes, name)


def _select(location: str) -> ImageFiles:
    if not is_printable(location):
        raise InputError("the name is not UTF-8: no table could hold it.", printable(location), "Rename it.")
    search = find_inputs(location)
    if search.is_file:
        return ImageFiles(list(search.files), IgnoredFiles())
    selection = select_images(search.files, shows_hidden=search.shows_hidden)
    if not selection.files:
        raise InputError(no_image(selection), redact(location), "Check the path, or name the file.")
    return selection


def _distinct(ids: list[str]) -> list[str]:
    """Ids that differ in nothing but a secret get a number."""
    count_of: dict[str, int] = {}
    for number, image_id in enumerate(ids):
        count_of[image_id] = count_of.get(image_id, 0) + 1
        if count_of[image_id] > 1:
            ids[number] = f"{image_id} ({count_of[image_id]})"
    return ids
