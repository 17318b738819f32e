"""The images of one list of a published split, found in a folder."""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from coder_core.counted import counted
from coder_core.errors import DatasetError
from coder_core.images.decoding import MAX_BYTES, too_many_bytes
from coder_core.images.image_files import shown_location
from coder_core.images.listing import FolderListing, make_listing
from coder_core.images.published_splits import MAX_SPLIT_BYTES, PublishedSplit, SplitItem, parse_published_split
from coder_core.locations import open_location
from coder_core.specs import SplitDataset
from coder_core.storage.addresses import redact
from coder_core.storage.ignored_files import IgnoredFiles
from coder_core.storage.input_files import InputFile, read_input
from coder_core.storage.input_names import printable, why_nobodys_data
from coder_core.storage.input_walk import list_input


def list_split(dataset: SplitDataset) -> FolderListing:
    """List the images of one list of a published split, sorted by id.

    What the file names is an image, whatever its suffix; what lies in the folder and stands in none of its lists is
    ignored, and named.

    Raises:
        InputError: The folder or the file cannot be read.
        DatasetError: The file is no split, its list is empty, or it names an image that is not in the folder.
    """
    content = read_input(open_location(dataset.split_file), max_bytes=MAX_SPLIT_BYTES)
    published = parse_published_split(content, place=dataset.split_file)
    return list_parts(published, (dataset.split,), dataset.path, place=dataset.split_file)


def list_parts(
    published: PublishedSplit, parts: Sequence[str], folder: str, *, place: str, is_partial: bool = False
) -> FolderListing:
    """List the images of some lists, sorted by id.

    Args:
        published: All lists.
        parts: Names of those that are meant.
        folder: The folder that their paths start from.
        place: Where the lists stand, for what is told of them.
        is_partial: Leave out, and name, what is not there; else that is an error.

    Raises:
        InputError: The folder cannot be read.
        DatasetError: The lists are empty, or name an image that is not in the folder.
    """
    ignored = IgnoredFiles()
    named = frozenset(item.path for items in published.items.values() for item in items)
    files = find_named_files(list_input(folder), named, ignored)
    items = _distinct_items(published, parts, place, ignored)
    absent = [item.path for item in items if item.path not in files]
    if not items or (absent and not (is_partial and len(absent) < len(items))):
        problem = (
            f"{counted(len(absent), 'image is', 'images are')} absent, {absent[0]!r} for one"
            if absent
            else "the list is empty"
        )
        what = "+".join(parts)
        raise DatasetError(f"{what}: {problem}.", folder, "Name the folder that the paths start from.")
    for path in absent:
        ignored.add("absent", f"{shown_folder(folder)}/{path}", "a list names it, and it is not there")
    items = [item for item in items if item.path in files]
    found = [files[item.path]._replace(name=item.path) for item in items]
    return make_listing(published.classes, found, [item.label_id for item in items], ignored)


def shown_folder(folder: str) -> str:
    """A folder as it may be shown and stored."""
    return printable(redact(folder)).rstrip("/")


def find_named_files(
    walked: Iterable[InputFile],
    named: frozenset[str],
    ignored: IgnoredFiles,
    *,
    unlisted: str = "the split file names it in none of its lists",
) -> Mapping[str, InputFile]:
    """Find the files that a list names; a path that a Mac has decomposed is the same path.

    Args:
        walked: What lies there, under its path below the folder that paths start from.
        named: The paths.
        ignored: Takes what else lies there.
        unlisted: Why a file is ignored that is not named.
    """
    composed = {unicodedata.normalize("NFC", path): path for path in named}
    found: dict[str, InputFile] = {}
    for file in walked:
        path = file.name if file.name in named else composed.get(unicodedata.normalize("NFC", file.name))
        if path is not None and (path == file.name or path not in found):
            problem = file.problem or (too_many_bytes(file.size) if file.size > MAX_BYTES else None)
            found[path] = file._replace(problem=problem)
        else:
            kind = "folder" if file.name.endswith("/") else "unlisted"
            listed_nowhere = file.problem if kind == "folder" else unlisted
            reason = why_nobodys_data(file.name) or listed_nowhere or "a folder"
            ignored.add(kind, shown_location(file), reason)
    return found


def _distinct_items(
    published: PublishedSplit, parts: Sequence[str], place: str, ignored: IgnoredFiles
) -> Sequence[SplitItem]:
    """The items of some lists by path, each once; a repeated one is told."""
    items: list[SplitItem] = []
    for item in sorted(item for part in parts for item in published.items[part]):
        if items and items[-1] == item:
            ignored.add(
                "repeated", f"{place}: {'+'.join(parts)}", f"the image {item.path!r} stands there more than once"
            )
        else:
            items.append(item)
    return items
