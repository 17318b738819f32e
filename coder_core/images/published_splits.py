"""The published few-shot splits (`split_zhou_<DataSet>.json`, made for CoOp): which image is train, val and test.

Such a file is `{"train": [[path, label, class name], ...], "val": [...], "test": [...]}`, its paths below the folder
of images. It is read as data: a path that leaves that folder, a label with two names, an image with two labels or in
two splits is refused. Source: Zhou et al., IJCV 2022, and github.com/KaiyangZhou/CoOp.
"""

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from coder_core.classes import ClassList, display_name
from coder_core.errors import DatasetError
from coder_core.storage.bounded_json import MAX_JSON_BYTES, read_json

__all__ = ["MAX_SPLIT_BYTES", "SPLITS", "PublishedSplit", "SplitItem", "parse_published_split"]

SPLITS = ("train", "val", "test")
MAX_SPLIT_BYTES = MAX_JSON_BYTES


class SplitItem(NamedTuple):
    """One image: its path below the image folder, without `.` and doubled `/`, and its label id."""

    path: str
    label_id: int


class PublishedSplit(NamedTuple):
    """A whole file.

    Args:
        classes: Class names in label order, as the file spells them.
        items: The images of `train`, `val` and `test`, in the file's order.
    """

    classes: ClassList
    items: Mapping[str, tuple[SplitItem, ...]]


def parse_published_split(content: bytes, *, place: str) -> PublishedSplit:
    """Read a split file.

    Args:
        content: The file: UTF-8, with or without a byte-order mark.
        place: Its name, for errors.

    Raises:
        DatasetError: It is no such file; names the split, the entry, what was found and what to do.
    """
    document = _document(content, place)
    names: dict[int, str] = {}
    split_of: dict[str, str] = {}
    label_of: dict[str, int] = {}
    items: dict[str, tuple[SplitItem, ...]] = {}
    for split in SPLITS:
        found = []
        for number, entry in enumerate(document[split]):
            where = f"{place}: {split}[{number}]"
            item, name = _item(entry, where)
            if names.setdefault(item.label_id, name) != name:
                raise _error(f"label {item.label_id} is {names[item.label_id]!r} and {name!r}", where)
            if split_of.setdefault(item.path, split) != split:
                raise _error(f"{item.path!r} stands in {split_of[item.path]} as well", where)
            if (label := label_of.setdefault(item.path, item.label_id)) != item.label_id:
                raise _error(f"{item.path!r} has the labels {label} and {item.label_id}", where)
            found.append(item)
        items[split] = tuple(found)
    if sorted(names) != list(range(len(names))):
        missing = next(label for label in range(len(names)) if label not in names)
        raise _error(f"no image has the label {missing}, but {max(names)} is one", place)
    return PublishedSplit(ClassList(tuple(names[label] for label in sorted(names))), items)


def _document(content: bytes, place: str) -> Mapping[str, Sequence[object]]:
    document = read_json(content, place, error_class=DatasetError)
    is_split = isinstance(document, dict) and all(isinstance(document.get(split), list) for split in SPLITS)
    if not is_split or not any(document[split] for split in SPLITS):
        raise _error("this holds no lists `train`, `val` and `test` of images", place)
    return dict(document)


def _item(entry: object, where: str) -> tuple[SplitItem, str]:
    match entry:
        case [str(path), int(label_id), str(name)] if label_id >= 0 and not isinstance(label_id, bool):
            parts = PurePosixPath(path).parts
            if not parts or PurePosixPath(path).is_absolute() or ".." in parts or "\0" in path:
                raise _error(f"the path {path!r:.200} leaves the image folder", where)
            if "\\" in path:
                raise _error(f"the path {path!r:.200} is written with backslashes", where)
            if not display_name(name):
                raise _error(f"the class name {name!r:.80} is blank", where)
            return SplitItem("/".join(parts), label_id), name
        case _:
            raise _error(f"expected [path, label, class name], found {_shortened(entry)}", where)


def _shortened(entry: object) -> str:
    """The beginning of an entry; of a long one only its length, for nobody knows what its text would take."""
    if isinstance(entry, list | dict) and len(entry) > 10:
        return f"a {'list' if isinstance(entry, list) else 'mapping'} of {len(entry)}"
    return f"{entry!r:.80}"


def _error(problem: str, place: str) -> DatasetError:
    return DatasetError(f"{problem}.", place, "Use a file as published with CoOp (split_zhou_<DataSet>.json).")
