"""What images a data set has: ids, where their bytes are, and, kept apart from them, their labels.

Embedding and prediction only ever see ids and locations; labels go into a table of their own that only the evaluation
reads.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from coder_core.classes import ClassList
from coder_core.errors import DatasetError
from coder_core.images.class_folders import label_by_folder
from coder_core.images.image_files import no_image, select_images
from coder_core.specs import FolderDataset
from coder_core.storage.ignored_files import IgnoredFiles
from coder_core.storage.input_files import InputFile
from coder_core.storage.input_walk import list_input

__all__ = ["FolderListing", "list_folder", "make_listing"]


class FolderListing(NamedTuple):
    """Images of files, sorted by id.

    Args:
        classes: The classes that labels count in.
        image_ids: Unique.
        locations: Paths or URLs.
        tokens: Texts that change when the files do.
        label_ids: One per image.
        reasons: Row -> why its file cannot be read, where that is known already.
        ignored: What lies beside the images.
        note: What to know before the labels are trusted; None where there is nothing.
    """

    classes: ClassList
    image_ids: tuple[str, ...]
    locations: tuple[str, ...]
    tokens: tuple[str, ...]
    label_ids: Int[np.ndarray, " images"]
    reasons: Mapping[int, str]
    ignored: IgnoredFiles
    note: str | None = None


def list_folder(dataset: FolderDataset, listed: ClassList | None = None) -> FolderListing:
    """List the image files of class folders.

    The class of an image is the first folder of its path below the root; its id is that path. Folders are found by the
    name of their class or its id, in any spelling that `normalise_name` and `loose_name` make equal.

    Args:
        dataset: Where the folders are.
        listed: The class list, where it is kept outside the data set: a class without a folder is a class without
            images.

    Raises:
        InputError: There is no such folder, or it cannot be read.
        DatasetError: No image, or none of a listed class; an image outside any class folder; a folder that is no
            class, two that are one, or a class of `class_names` without a folder.
    """
    found = select_images(list_input(dataset.path))
    if not found.files:
        remedy = "Give a folder of class folders with files like .jpg, .png, .webp, .heic."
        raise DatasetError(no_image(found), dataset.path, remedy)
    labelled = label_by_folder(found, dataset, listed)
    listing = make_listing(labelled.classes, labelled.files, labelled.label_ids, found.ignored)
    return listing._replace(note=labelled.note)


def make_listing(
    classes: ClassList, files: Sequence[InputFile], label_ids: Sequence[int], ignored: IgnoredFiles
) -> FolderListing:
    """Put files and their labels into columns."""
    return FolderListing(
        classes=classes,
        image_ids=tuple(file.name for file in files),
        locations=tuple(file.url for file in files),
        tokens=tuple(file.token for file in files),
        label_ids=np.array(label_ids, dtype=np.int64),
        reasons={row: file.problem for row, file in enumerate(files) if file.problem},
        ignored=ignored,
    )
