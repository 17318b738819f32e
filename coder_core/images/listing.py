"""What images a data set has: ids, where their bytes are, and, kept apart from them, their labels.

Embedding and prediction only ever see ids and locations; labels go into a table of their own that only the evaluation
reads.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from coder_core.class_source.matching import match_labels
from coder_core.classes import ClassList
from coder_core.errors import DatasetError
from coder_core.images.decoding import IMAGE_SUFFIXES
from coder_core.images.published_splits import parse_published_split
from coder_core.locations import open_location
from coder_core.specs import FolderDataset, SplitDataset
from coder_core.storage.inputs import InputFile, list_input, read_input


class FolderListing(NamedTuple):
    """Images of files, sorted by id."""

    classes: ClassList
    image_ids: tuple[str, ...]
    locations: tuple[str, ...]
    tokens: tuple[str, ...]
    label_ids: Int[np.ndarray, " images"]


def list_folder(dataset: FolderDataset, listed: ClassList | None = None) -> FolderListing:
    """List the image files of class folders.

    The class of an image is the first folder of its path below the root; its id is that path.

    Args:
        dataset: Where the folders are.
        listed: The class list, where it is kept outside the data set: folders that it does not know are left out, and
            a class without a folder is a class without images.

    Raises:
        InputError: There is no such folder, or it cannot be read.
        DatasetError: No image, or none of a listed class; an image outside any class folder; a folder that
            `class_names` does not know, or a named class without a folder.
    """
    found = list_input(dataset.path, IMAGE_SUFFIXES)
    if not found:
        raise DatasetError(
            f"there is no image ({', '.join(IMAGE_SUFFIXES)}).", dataset.path, "Give a folder of class folders."
        )
    folders = [_class_folder(file, dataset.path) for file in found]
    if listed is None:
        classes = _class_list(dataset, sorted(set(folders)))
        label_of: Mapping[str, int] = {name: label for label, name in enumerate(classes)}
    else:
        classes, label_of = listed, match_labels(folders, listed, dataset.path)
        found, folders = _of_listed_classes(found, folders, label_of, dataset.path)
    return FolderListing(
        classes=classes,
        image_ids=tuple(file.name for file in found),
        locations=tuple(file.url for file in found),
        tokens=tuple(file.token for file in found),
        label_ids=np.array([label_of[folder] for folder in folders], dtype=np.int64),
    )


def list_split(dataset: SplitDataset) -> FolderListing:
    """List the images of one list of a published split, sorted by id.

    Raises:
        InputError: The folder or the file cannot be read.
        DatasetError: The file is no split, its list is empty, or it names an image that is not in the folder.
    """
    content = read_input(open_location(dataset.split_file)).decode("utf-8", "replace")
    published = parse_published_split(content, place=dataset.split_file)
    files = {file.name: file for file in list_input(dataset.path, IMAGE_SUFFIXES)}
    items = sorted(dict.fromkeys(published.items[dataset.split]))
    absent = [item.path for item in items if item.path not in files]
    if absent or not items:
        problem = f"{len(absent)} images are absent, {absent[0]!r} for one" if absent else "the list is empty"
        raise DatasetError(f"{dataset.split}: {problem}.", dataset.path, "Name the folder that the paths start from.")
    found = [files[item.path] for item in items]
    return FolderListing(
        classes=published.classes,
        image_ids=tuple(file.name for file in found),
        locations=tuple(file.url for file in found),
        tokens=tuple(file.token for file in found),
        label_ids=np.array([item.label_id for item in items], dtype=np.int64),
    )


def _class_folder(file: InputFile, root: str) -> str:
    folder, separator, _ = file.name.partition("/")
    if not separator:
        raise DatasetError(f"the image {file.name!r} lies in no class folder.", root, "Move it into one.")
    return folder


def _of_listed_classes(
    found: list[InputFile], folders: list[str], label_of: Mapping[str, int], root: str
) -> tuple[list[InputFile], list[str]]:
    chosen = [number for number, folder in enumerate(folders) if folder in label_of]
    if not chosen:
        raise DatasetError(
            f"no folder is a listed class; the first folder is {folders[0]!r}.",
            root,
            "Name folders in dataset.classes, by name or by id.",
        )
    return [found[number] for number in chosen], [folders[number] for number in chosen]


def _class_list(dataset: FolderDataset, folders: list[str]) -> ClassList:
    if dataset.class_names is None:
        return ClassList(tuple(folders))
    if len(set(dataset.class_names)) != len(dataset.class_names):
        raise DatasetError("dataset.class_names names a folder twice.", dataset.path, "Name each folder once.")
    unknown = sorted(set(folders) - set(dataset.class_names))
    absent = [name for name in dataset.class_names if name not in folders]
    if unknown:
        raise DatasetError(f"the folder {unknown[0]!r} is not in dataset.class_names.", dataset.path, "Add or move it.")
    if absent:
        raise DatasetError(f"the class {absent[0]!r} has no image.", dataset.path, "Add images or drop the class.")
    return ClassList(dataset.class_names)
