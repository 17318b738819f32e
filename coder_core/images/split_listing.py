"""The images of one list of a published split, found in a folder."""

import unicodedata
from collections.abc import Mapping, Sequence

from coder_core.errors import DatasetError
from coder_core.images.decoding import MAX_BYTES, too_many_bytes
from coder_core.images.image_files import shown_location
from coder_core.images.listing import FolderListing, make_listing
from coder_core.images.published_splits import MAX_SPLIT_BYTES, PublishedSplit, SplitItem, parse_published_split
from coder_core.locations import open_location
from coder_core.specs import SplitDataset
from coder_core.storage.ignored_files import IgnoredFiles
from coder_core.storage.input_files import InputFile, read_input
from coder_core.storage.input_names import why_nobodys_data
from coder_core.storage.input_walk import walk_input


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
    ignored = IgnoredFiles()
    named = frozenset(item.path for items in published.items.values() for item in items)
    files = _named_files(dataset.path, named, ignored)
    items = _distinct_items(published, dataset, ignored)
    absent = [item.path for item in items if item.path not in files]
    if absent or not items:
        problem = f"{len(absent)} images are absent, {absent[0]!r} for one" if absent else "the list is empty"
        raise DatasetError(f"{dataset.split}: {problem}.", dataset.path, "Name the folder that the paths start from.")
    found = [files[item.path]._replace(name=item.path) for item in items]
    return make_listing(published.classes, found, [item.label_id for item in items], ignored)


def _named_files(place: str, named: frozenset[str], ignored: IgnoredFiles) -> Mapping[str, InputFile]:
    """Find the files that a split names; a path that a Mac has decomposed is the same path."""
    composed = {unicodedata.normalize("NFC", path): path for path in named}
    found: dict[str, InputFile] = {}
    for file in walk_input(place):
        path = file.name if file.name in named else composed.get(unicodedata.normalize("NFC", file.name))
        if path is not None and (path == file.name or path not in found):
            problem = file.problem or (too_many_bytes(file.size) if file.size > MAX_BYTES else None)
            found[path] = file._replace(problem=problem)
        else:
            kind = "folder" if file.name.endswith("/") else "unlisted"
            listed_nowhere = file.problem if kind == "folder" else "the split file names it in none of its lists"
            reason = why_nobodys_data(file.name) or listed_nowhere or "a folder"
            ignored.add(kind, shown_location(file), reason)
    return found


def _distinct_items(published: PublishedSplit, dataset: SplitDataset, ignored: IgnoredFiles) -> Sequence[SplitItem]:
    """The items of the list by path, each once; a repeated one is told."""
    items: list[SplitItem] = []
    for item in sorted(published.items[dataset.split]):
        if items and items[-1] == item:
            place = f"{dataset.split_file}: {dataset.split}"
            ignored.add("repeated", place, f"the image {item.path!r} stands there more than once")
        else:
            items.append(item)
    return items
