"""Folders in class folders: what is surely a mistake is refused, what may be meant is told. The first is the class."""

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from coder_core.counted import counted
from coder_core.errors import DatasetError
from coder_core.storage.addresses import redact
from coder_core.storage.input_files import InputFile

TESTED = ("test", "testing", "val", "valid", "validation")
LEARNT = ("train", "training")
PARTS = (*TESTED, *LEARNT)
"""What the folders around class folders are called, what is measured on first."""
_AROUND = re.compile(r"[\W_\d]+|(?:set|images|data|split)$")
NAMES_SHOWN = 3
_MEANT = "or say in dataset.class_names that these are classes."


class NestedFolders(NamedTuple):
    """Images that lie deeper than in a class folder.

    Args:
        images: How many.
        example: The first of them.
        inner: Class folder -> folders in it that hold them.
    """

    images: int
    example: str
    inner: dict[str, set[str]]


def is_part(folder: str) -> bool:
    """Whether a folder is called like a part of a data set: `train`, `Test`, `val2017`, `test_images`, `trainset`."""
    bare = folder.lower()
    return bare in PARTS or _AROUND.sub("", _AROUND.sub("", bare)) in PARTS


def find_nested(files: Iterable[InputFile]) -> NestedFolders | None:
    """Find images that lie in a folder inside a class folder; None where there is none."""
    inner: defaultdict[str, set[str]] = defaultdict(set)
    count, example = 0, ""
    for file in files:
        if file.name.count("/") > 1:
            outer, folder, _ = file.name.split("/", 2)
            inner[outer].add(folder)
            count, example = count + 1, example or file.name
    return NestedFolders(count, example, dict(inner)) if count else None


def refuse_wrong_level(files: Sequence[InputFile], nested: NestedFolders | None, place: str) -> None:
    """Refuse folders that cannot be meant as classes: parts of a data set, or the only folder around class folders.

    Args:
        files: In folders of which nobody has said that they are the classes.
        nested: What lies deeper.
        place: The data set.

    Raises:
        DatasetError: They are; names the folder that is meant.
    """
    folders = {file.name.partition("/")[0] for file in files}
    parts = {folder for folder in folders if is_part(folder)}
    nested_parts = parts & nested.inner.keys() if nested else set()
    if len(nested_parts) > 1 or (parts and parts == folders and (len(parts) > 1 or nested_parts)):
        problem = f"its folders ({', '.join(sorted(parts))}) are parts of a data set and no classes."
        meant = min(nested_parts or parts, key=_rank)
        raise DatasetError(problem, place, f"Name one of them: {place.rstrip('/')}/{meant}; {_MEANT}")
    around = _around_class_folders(files) if nested and len(folders) == 1 else None
    if around:
        problem = f"its only folder would be the only class, and {around!r} holds several folders."
        raise DatasetError(problem, place, f"Name the folder of class folders: {place.rstrip('/')}/{around}; {_MEANT}")


def describe_nested(nested: NestedFolders | None, place: str, *, is_told: bool) -> str | None:
    """Say that images lie deeper than in class folders, which class they have, and what to do if that is wrong.

    Args:
        nested: What lies deeper.
        place: The data set.
        is_told: Whether somebody has said that the first folders are the classes: then only parts are worth a word.
    """
    if nested is None:
        return None
    names = sorted(set().union(*nested.inner.values()), key=lambda name: (name.lower(), name))
    shown = ", ".join(map(repr, names[:NAMES_SHOWN]))
    rest = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    outer = nested.example.partition("/")[0]
    are_parts = all(map(is_part, names))
    if is_told and not are_parts:
        return None
    what = "parts of a data set, taken together" if are_parts else "no classes"
    images = counted(nested.images, "image lies", "images lie")
    return (
        f"{redact(place)}: {images} in folders inside class folders ({nested.example!r} for one, "
        f"which is taken for {outer!r}): the first folder is the class, and {shown}{rest} are {what}. Where that is "
        f"wrong, move these folders up, or name class and part of each image in a manifest (docs/datasets.md)."
    )


def _rank(folder: str) -> tuple[int, str]:
    """What is measured on stands first."""
    bare = _AROUND.sub("", _AROUND.sub("", folder.lower()))
    return (PARTS.index(bare) if bare in PARTS else len(PARTS)), folder


def _around_class_folders(files: Sequence[InputFile]) -> str | None:
    """The deepest folder that holds all images, where it holds several folders of them."""
    folders = {file.name.rpartition("/")[0] for file in files}
    common = posixpath.commonpath(folders)
    inner = {folder[len(common) + 1 :].partition("/")[0] for folder in folders - {common}}
    return common if len(inner) > 1 else None
