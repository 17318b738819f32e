"""Which class the folders of a data set stand for, and what becomes of folders that stand for none."""

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from coder_core.class_source.matching import match_labels, no_such_class, tell_apart
from coder_core.classes import ClassList, normalise_name
from coder_core.errors import DatasetError
from coder_core.images.image_files import ImageFiles, shown_location
from coder_core.images.nested_folders import describe_nested, find_nested, refuse_wrong_level
from coder_core.specs import FolderDataset
from coder_core.storage.input_files import InputFile


class LabelledFiles(NamedTuple):
    """Files with the label id of each, the classes that these count in, and what to know before they are trusted."""

    classes: ClassList
    files: list[InputFile]
    label_ids: list[int]
    note: str | None


def label_by_folder(found: ImageFiles, dataset: FolderDataset, listed: ClassList | None) -> LabelledFiles:
    """Give every image the class of the first folder of its path.

    Args:
        found: The images of the data set, at least one; what belongs to no class is added to what is ignored.
        dataset: Its settings.
        listed: The class list, where it is kept outside the data set.

    Raises:
        DatasetError: An image lies in no class folder, or in one that no class is called like (and
            `ignore_other_folders` is not set); two folders are one class, or one folder could be two; no image is
            left; or the folders are those around class folders.
    """
    files = _inside_folders(found, dataset)
    counts = Counter(_folder(file) for file in files)
    is_told = listed is not None or dataset.class_names is not None
    if not is_told:
        refuse_wrong_level(files, find_nested(files), dataset.path)
    named = None if dataset.class_names is None else _named_classes(dataset)
    classes = listed or named or _own_classes(sorted(counts), dataset.path)
    label_of = match_labels(sorted(counts), classes, dataset.path)
    others = {folder: count for folder, count in sorted(counts.items()) if folder not in label_of}
    setting = "dataset.classes" if listed else "dataset.class_names"
    if others and not dataset.ignore_other_folders:
        raise no_such_class(others, classes, what="folder", setting=setting, place=dataset.path)
    for file in files if others else ():
        if (folder := _folder(file)) in others:
            found.ignored.add("folder", shown_location(file), f"its folder {folder!r} is not in {setting}")
    if not label_of:
        raise _nothing_left(others, setting, dataset.path)
    if named is not None:
        _refuse_absent(named, label_of, dataset.path)
    files = [file for file in files if _folder(file) in label_of]
    note = describe_nested(find_nested(files), dataset.path, is_told=is_told)
    return LabelledFiles(classes, files, [label_of[_folder(file)] for file in files], note)


def _folder(file: InputFile) -> str:
    return file.name.partition("/")[0]


def _inside_folders(found: ImageFiles, dataset: FolderDataset) -> list[InputFile]:
    outside = [file for file in found.files if "/" not in file.name]
    if outside and not dataset.ignore_other_folders:
        raise DatasetError(
            f"the image {outside[0].name!r} lies in no class folder ({len(outside)} in all).",
            dataset.path,
            "Move it into one, or set dataset.ignore_other_folders: true.",
        )
    for file in outside:
        found.ignored.add("outside", shown_location(file), "an image that lies in no class folder")
    return [file for file in found.files if "/" in file.name] if outside else found.files


def _named_classes(dataset: FolderDataset) -> ClassList:
    names = dataset.class_names or ()
    if len(set(names)) != len(names):
        raise DatasetError("dataset.class_names names a folder twice.", dataset.path, "Name each folder once.")
    return ClassList(names)


def _own_classes(folders: Sequence[str], place: str) -> ClassList:
    """Folders as classes; a name is composed (a Mac writes decomposed ones) and has no white space around it."""
    if not folders:
        raise DatasetError("no image lies in a class folder.", place, "Give a folder of class folders.")
    known: dict[str, str] = {}
    for folder in folders:
        if (first := known.setdefault(normalise_name(folder) or folder, folder)) != folder:
            one, other = tell_apart(first, folder)
            raise DatasetError(
                f"the folders {one} and {other} differ in spelling only.",
                place,
                "Merge them, or name both in dataset.class_names.",
            )
    return ClassList(tuple(unicodedata.normalize("NFC", folder).strip() for folder in folders))


def _nothing_left(others: Mapping[str, int], setting: str, place: str) -> DatasetError:
    first = f"; the first folder is {next(iter(others))!r}" if others else ""
    return DatasetError(f"no folder is a listed class{first}.", place, f"Name folders in {setting}, by name or by id.")


def _refuse_absent(classes: ClassList, label_of: Mapping[str, int], place: str) -> None:
    labels = set(label_of.values())
    absent = [name for label, name in enumerate(classes) if label not in labels]
    if absent:
        raise DatasetError(f"the class {absent[0]!r} has no image.", place, "Add images or drop the class.")
