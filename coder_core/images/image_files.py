"""Which of the files that a user gave are images: a row, a row known to be unreadable, or ignored with a reason.

Nothing vanishes. A file whose name says that it is an image is a row: where it cannot be read (a link to nowhere, no
permission, a pipe, too many bytes) its row carries the reason, and it becomes a line of the table `quarantine` like an
image that cannot be decoded. Everything else is counted and named: other suffixes (with what the file holds, where it
lies on a disk), hidden files, folders that a disk or a system keeps for itself, empty folders, markers of a bucket.
"""

from collections.abc import Iterable
from typing import NamedTuple

from coder_core.images.decoding import MAX_BYTES, too_many_bytes
from coder_core.images.formats import SNIFFED_BYTES, has_image_suffix, name_content
from coder_core.storage.addresses import redact
from coder_core.storage.ignored_files import IgnoredFiles
from coder_core.storage.input_files import InputFile, read_head
from coder_core.storage.input_names import is_printable, printable, why_nobodys_data

__all__ = ["ImageFiles", "no_image", "select_images", "shown_location"]


class ImageFiles(NamedTuple):
    """Image files, and what lies beside them.

    Args:
        files: Sorted by name; `problem` says why one cannot be read.
        ignored: Everything else.
    """

    files: list[InputFile]
    ignored: IgnoredFiles


def select_images(found: Iterable[InputFile], *, shows_hidden: bool = False) -> ImageFiles:
    """Tell images from what lies beside them.

    Args:
        found: Everything below a folder, as `walk_input` yields it.
        shows_hidden: Whether hidden files were asked for by name.
    """
    ignored = IgnoredFiles()
    files = [
        file if file.size <= MAX_BYTES or file.problem else file._replace(problem=too_many_bytes(file.size))
        for file in found
        if _is_image(file, ignored, shows_hidden=shows_hidden)
    ]
    files.sort(key=lambda file: file.name)
    return ImageFiles(files, ignored)


def shown_location(file: InputFile) -> str:
    """Where a file is, as it may be shown and stored: without secrets, in UTF-8, a folder with `/` at its end."""
    slash = "/" if file.name.endswith("/") and not file.url.endswith("/") else ""
    return printable(redact(file.url)) + slash


def no_image(found: ImageFiles) -> str:
    """Say that there is no image, and what there is instead."""
    entries, count = found.ignored.entries, found.ignored.count
    beside = f"; ignored: {count}, {entries[0].location!r} for one ({entries[0].reason})" if entries else ""
    return f"there is no image{beside}."


def _is_image(file: InputFile, ignored: IgnoredFiles, *, shows_hidden: bool) -> bool:
    if (reason := why_nobodys_data(file.name)) and not (shows_hidden and is_printable(file.name)):
        ignored.add(reason, shown_location(file), reason)
    elif not file.name or file.name.endswith("/"):
        ignored.add("folder", shown_location(file), file.problem or "a folder, and no file")
    elif not has_image_suffix(file.name):
        ignored.add("suffix", shown_location(file), lambda: _why_no_image(file))
    else:
        return True
    return False


def _why_no_image(file: InputFile) -> str:
    suffix = file.name.rpartition("/")[2].rpartition(".")[1:]
    problem = f"the suffix {''.join(suffix)!r} is not one of an image" if suffix[0] else "it has no suffix of an image"
    if file.problem:
        return f"{problem} ({file.problem})"
    head = read_head(file.url, SNIFFED_BYTES)
    kind, is_taken = name_content(head) or ("", False) if head else ("", False)
    return f"{problem}, but it holds {kind}: rename it" if is_taken else problem
