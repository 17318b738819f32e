"""A manifest: a table that names image files, their labels, and perhaps their split and their group.

Every fault is told with the line that it stands in: a file that is not there, a label that is no class, a path that
leaves the folder, an image under two labels, or in two splits, which would be training images in the test.
"""

import posixpath
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from coder_core.class_source.matching import match_labels
from coder_core.classes import ClassList, nearest_name, normalise_name
from coder_core.counted import counted
from coder_core.errors import DatasetError
from coder_core.images.labelled_rows import Label, LabelledRows, as_label, label_rows
from coder_core.images.listing import FolderListing
from coder_core.images.split_listing import find_named_files
from coder_core.locations import open_location
from coder_core.specs import ManifestDataset
from coder_core.storage.addresses import parse_address, redact
from coder_core.storage.ignored_files import IgnoredFiles
from coder_core.storage.input_files import InputFile, input_exists
from coder_core.storage.input_walk import list_input
from coder_core.storage.manifest_tables import ManifestRow, read_manifest_rows

__all__ = [
    "GROUP_COLUMN",
    "SPLIT_COLUMN",
    "ManifestLook",
    "list_manifest",
    "look_at_manifest",
    "manifest_groups",
    "manifest_root",
]

SPLIT_COLUMN, GROUP_COLUMN = "split", "group"
_UNLISTED = "no row of the manifest names it"


class ManifestLook(NamedTuple):
    """What a manifest says beside paths and labels.

    Args:
        splits: The words of its column `split`; empty without one.
        has_groups: Whether it has a column `group`.
        has_numbers: Whether all labels are whole numbers, which a list of names has to explain.
    """

    splits: frozenset[str]
    has_groups: bool
    has_numbers: bool


class _Row(NamedTuple):
    path: str
    label: Label
    split: str | None
    place: str


def list_manifest(dataset: ManifestDataset, listed: ClassList | None) -> FolderListing:
    """List the images that a manifest names; an image's id is its path below the folder that paths start from.

    Raises:
        InputError: There is no such file or folder.
        DatasetError: It is no such table; or a row names a file that is not there or leaves the folder, has a label
            that is no class, or says of an image what another row contradicts.
    """
    ignored = IgnoredFiles()
    rows = _distinct(_rows(dataset), ignored)
    named = frozenset(row.path for row in rows)
    files = find_named_files(_beside(named, dataset), named, ignored, unlisted=_UNLISTED)
    chosen = _chosen(rows, dataset)
    absent = [row for row in chosen if row.path not in files]
    if absent:
        more = f" ({len(absent)} such rows)" if len(absent) > 1 else ""
        problem = f"the file {absent[0].path!r:.200} is not there{more}."
        raise DatasetError(problem, absent[0].place, "Paths start from the manifest's folder, or from dataset.root.")
    _check_labels(chosen, dataset, listed)
    found = LabelledRows(
        [files[row.path]._replace(name=row.path) for row in chosen], [row.label for row in chosen], None, ignored
    )
    return label_rows(found, dataset, listed)


def look_at_manifest(path: str) -> ManifestLook:
    """Look which of the usual columns a manifest has.

    Raises:
        InputError: There is no such file.
        DatasetError: It is no such table.
    """
    splits: set[str] = set()
    has_groups, has_words, row = False, False, None
    for row in read_manifest_rows(path, ["path", "label"], [SPLIT_COLUMN, GROUP_COLUMN]):
        has_groups = has_groups or bool(row.values.get(GROUP_COLUMN))
        has_words = has_words or not isinstance(as_label(str(row.values["label"])), int)
        splits |= {str(row.values[SPLIT_COLUMN]).strip()} if row.values.get(SPLIT_COLUMN) else set()
    return ManifestLook(frozenset(splits), has_groups, has_numbers=row is not None and not has_words)


def manifest_root(dataset: ManifestDataset) -> str:
    """The folder that the paths of a manifest start from."""
    if dataset.root is not None:
        return dataset.root
    folder, slash, _ = dataset.path.rpartition("/")
    return folder or slash or "."


def manifest_groups(path: str, columns: Sequence[str], root: str) -> dict[str, str]:
    """The group of every image of a manifest, by its id.

    Args:
        path: The manifest.
        columns: The columns of groups and of paths.
        root: The folder that paths start from.

    Raises:
        DatasetError: A row has none.
    """
    group_column, image_column = columns
    prefix, found = _prefix(root), dict[str, str]()
    for row in read_manifest_rows(open_location(path), [group_column, image_column]):
        group = row.values[group_column]
        if group is None or group == "":
            raise DatasetError(f"there is no {group_column!r}.", row.place, "Give one group per image.")
        found[_path(row, image_column, prefix)] = str(group)
    return found


def _rows(dataset: ManifestDataset) -> list[_Row]:
    prefix, found = _prefix(manifest_root(dataset)), []
    for row in read_manifest_rows(open_location(dataset.path), [dataset.image, dataset.label], [SPLIT_COLUMN]):
        split = row.values.get(SPLIT_COLUMN)
        word = None if split is None or split == "" else str(split).strip()
        found.append(_Row(_path(row, dataset.image, prefix), _label(row, dataset.label), word, row.place))
    if not found:
        raise DatasetError("it has no row.", redact(dataset.path), "Write one row per image.")
    return found


def _beside(named: Iterable[str], dataset: ManifestDataset) -> Iterator[InputFile]:
    """What lies in the folders that paths begin with; all of the root only where an image lies in it directly."""
    root = manifest_root(dataset)
    tops = sorted({path.partition("/")[0] if "/" in path else "" for path in named})
    if "" in tops:
        yield from (file for file in list_input(root) if file.url != dataset.path)
        return
    for top in tops:
        place = f"{root.rstrip('/')}/{top}"
        if input_exists(place):
            yield from (file._replace(name=f"{top}/{file.name}") for file in list_input(place))


def _prefix(root: str) -> str:
    """What a path below a folder of this machine may begin with; empty for a URL."""
    address = parse_address(root)
    return address.path.rstrip("/") + "/" if address.is_local else ""


def _path(row: ManifestRow, column: str, prefix: str) -> str:
    """The path below the root; one that begins with the root is the same without it."""
    given = row.values[column]
    if not isinstance(given, str) or not given.strip():
        raise DatasetError(f"{column!r} is {given!r:.80} and no path.", row.place, "Name a file.")
    if "\\" in given or "\0" in given:
        problem = f"the path {given!r:.200} is written with backslashes."
        raise DatasetError(problem, row.place, "Write it with `/`.")
    path = posixpath.normpath(given.removeprefix(prefix))
    if PurePosixPath(path).is_absolute() or path.split("/")[0] == ".." or path == ".":
        problem = f"the path {given!r:.200} leaves the folder that paths start from."
        raise DatasetError(problem, row.place, "Name that folder in dataset.root.")
    return path


def _label(row: ManifestRow, column: str) -> Label:
    given: Any = row.values[column]
    if isinstance(given, bool) or not isinstance(given, int | str) or (isinstance(given, str) and not given.strip()):
        problem = f"{column!r} is {given!r:.80}, and neither a word nor a whole number."
        raise DatasetError(problem, row.place, "Give every image a label, or take the row out.")
    return as_label(given) if isinstance(given, str) else given


def _distinct(rows: Sequence[_Row], ignored: IgnoredFiles) -> list[_Row]:
    """The rows of all splits, each image once; what contradicts itself is refused."""
    first: dict[str, _Row] = {}
    for row in rows:
        known = first.setdefault(row.path, row)
        if known.label != row.label:
            problem = f"{row.path!r:.200} is {row.label!r:.80}, and {known.label!r:.80} in {_line(known)}."
            raise DatasetError(problem, row.place, "Give each image one label.")
        if known.split != row.split:
            problem = f"{row.path!r:.200} is in {row.split!r:.80}, and in {known.split!r:.80} in {_line(known)}."
            raise DatasetError(problem, row.place, "An image that is learnt from must not be tested.")
        if known is not row:
            ignored.add("repeated", row.place, f"the image {row.path!r} stands there more than once")
    return list(first.values())


def _line(row: _Row) -> str:
    return row.place.rpartition(", ")[2]


def _chosen(rows: Sequence[_Row], dataset: ManifestDataset) -> list[_Row]:
    """The rows of the split that is asked for."""
    counts = Counter(row.split for row in rows)
    there = ", ".join(f"{split} ({count})" for split, count in sorted(counts.items(), key=str) if split)
    if dataset.split is None:
        if len(counts) > 1:
            beside = f", and {counts[None]} in none" if None in counts else ""
            problem = f"its images are in several splits: {there}{beside}."
            raise DatasetError(problem, redact(dataset.path), "Say which in dataset.split.")
        return list(rows)
    chosen = [row for row in rows if row.split == dataset.split]
    if not chosen:
        problem = f"no row has the split {dataset.split!r}; there are: {there or 'none'}."
        raise DatasetError(problem, redact(dataset.path), f"Name splits in a column {SPLIT_COLUMN!r}.")
    return chosen


def _check_labels(rows: Sequence[_Row], dataset: ManifestDataset, listed: ClassList | None) -> None:
    """Tell of the first row whose label is no class, which `label_rows` would tell without its line."""
    names = dataset.class_names
    for row in rows:
        if isinstance(row.label, int) and not (names and row.label < len(names)):
            known = f"there are {len(names)} class_names" if names else "nothing says what numbers mean"
            problem = f"the label {row.label} has no name ({known})."
            raise DatasetError(problem, row.place, "Name the classes in label order: dataset.class_names.")
    place_of: dict[str, str] = {}
    for row in rows:
        if isinstance(row.label, str):
            place_of.setdefault(row.label, row.place)
    classes = listed or (ClassList(names) if names else None)
    if classes is None:
        _refuse_spellings(place_of)
        return
    known_labels = match_labels(sorted(place_of), classes, dataset.path)
    for label, place in place_of.items():
        if label not in known_labels:
            raise _no_class(label, classes, place)


def _no_class(label: str, classes: ClassList, place: str) -> DatasetError:
    nearest = nearest_name(label, classes.names)
    meant = f"; the nearest is {nearest!r}" if nearest else ""
    problem = f"the label {label!r:.80} is none of {counted(len(classes), 'class')}{meant}."
    return DatasetError(problem, place, "Mend it, or add it to dataset.classes or dataset.class_names.")


def _refuse_spellings(place_of: Mapping[str, str]) -> None:
    """Two labels that only differ in case, `_` or blanks are one class under two names."""
    first: dict[str, str] = {}
    for label, place in place_of.items():
        known = first.setdefault(normalise_name(label) or label, label)
        if known != label:
            problem = f"the labels {label!r:.80} and {known!r:.80} ({place_of[known]}) differ in spelling only."
            raise DatasetError(problem, place, "Write them alike, or name both in dataset.class_names.")
