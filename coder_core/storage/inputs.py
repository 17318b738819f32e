"""Inputs: what a user gave, read from any path or fsspec URL.

The same addresses as the store, another kind of error: the user can mend an input, and the message says how. Files that
are hidden (`.DS_Store`, `._photo.jpg`) are nobody's data and are not listed.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

from coder_core.errors import InputError
from coder_core.storage.addresses import Address, format_url, parse_address, redact
from coder_core.storage.refusals import explained

_TOKEN_FIELDS = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "updated", "created")
"""What file systems call the thing that changes when a file changes, most exact first."""


_PATTERN_CHARACTERS = frozenset("*?[")


class InputFile(NamedTuple):
    """A file that a user gave.

    Args:
        url: Where it is; `read_input` takes it.
        name: Its path below the listed folder, with `/` between the parts.
        size: In bytes.
        token: A text that changes when the file does (modification time in ns, or the object's ETag).
    """

    url: str
    name: str
    size: int
    token: str


def read_input(url: str) -> bytes:
    """Read a whole file.

    Raises:
        InputError: When it is missing or cannot be read.
    """
    address = parse_address(url)
    with explained(url, InputError):
        return cast(bytes, address.open_filesystem().cat_file(address.path))


def read_input_state(url: str) -> str:
    """Tell what changes when a file is written to: its size and its modification time or ETag.

    Raises:
        InputError: When it is missing or cannot be looked at.
    """
    address = parse_address(url)
    with explained(url, InputError):
        if address.is_local:
            status = Path(address.path).stat()
            return f"{status.st_mtime_ns}-{status.st_size}"
        return _token(address.open_filesystem().info(address.path))


def list_input(url: str, suffixes: Sequence[str]) -> list[InputFile]:
    """List the files below a folder that end in one of the suffixes (in any case), sorted by name.

    Args:
        url: A folder; or one file, which is then listed alone.
        suffixes: E.g. `(".jpg", ".png")`; an empty suffix matches every file.

    Raises:
        InputError: When there is no such folder or it cannot be read.
    """
    address = parse_address(url)
    with explained(url, InputError):
        files = list(_walk_disk(Path(address.path)) if address.is_local else _walk_objects(address))
    if not files:
        raise InputError("There is no such folder, or it is empty.", redact(url), "Check the path.")
    endings = tuple(suffix.lower() for suffix in suffixes)
    chosen = [file for file in files if file.name.lower().endswith(endings) and not _is_hidden(file.name)]
    return sorted(chosen, key=lambda file: file.name)


def find_inputs(url: str, suffixes: Sequence[str]) -> list[InputFile]:
    """Find files by a path or URL: one file whatever its suffix, the files of a folder, or those of a pattern.

    Args:
        url: A file, a folder, or a pattern with `*`, `?` or `[...]` where there is no file of that very name.
        suffixes: What files of folders and patterns must end in.

    Returns:
        Sorted by URL, each with its URL as name.

    Raises:
        InputError: There is no such file or folder, or none with such a suffix.
    """
    address = parse_address(url)
    with explained(url, InputError):
        filesystem = address.open_filesystem()
        if filesystem.isfile(address.path):
            found = [_found_file(address, address.path, filesystem.info(address.path))]
        elif _PATTERN_CHARACTERS & set(address.path) and not filesystem.exists(address.path):
            matches = filesystem.glob(address.path, detail=True).items()
            found = [_found_file(address, path, info) for path, info in matches if info["type"] == "file"]
            found = [
                file for file in found if file.name.lower().endswith(tuple(suffixes)) and not _is_hidden(file.name)
            ]
        else:
            found = [file._replace(name=file.url) for file in list_input(url, suffixes)]
    if not found:
        raise InputError(f"there is no file ending in {', '.join(suffixes)}.", redact(url), "Check the path.")
    return sorted(found)


def _found_file(address: Address, path: str, info: dict[str, Any]) -> InputFile:
    url = format_url(address._replace(path=path.lstrip("/") if address.protocol == "memory" else path))
    return InputFile(url, url, int(info.get("size") or 0), _token(info))


def _walk_disk(root: Path) -> Iterator[InputFile]:
    if root.is_file():
        yield _disk_file(root, root.parent)
        return
    seen: set[tuple[int, int]] = set()
    for folder, folders, names in os.walk(root, followlinks=True, onerror=_raise):
        status = Path(folder).stat()  # data sets are full of linked folders, and a link may lead back up
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders.sort()
        yield from (_disk_file(Path(folder, name), root) for name in names if Path(folder, name).is_file())


def _raise(error: OSError) -> None:
    raise error


def _disk_file(path: Path, root: Path) -> InputFile:
    status = path.stat()
    return InputFile(str(path), path.relative_to(root).as_posix(), status.st_size, str(status.st_mtime_ns))


def _walk_objects(address: Address) -> Iterator[InputFile]:
    filesystem = address.open_filesystem()
    root = filesystem._strip_protocol(address.path).rstrip("/")
    for path, info in filesystem.find(address.path, detail=True).items():
        name = path.rpartition("/")[2] if path == root else path.removeprefix(f"{root}/")
        url = format_url(address._replace(path=path.lstrip("/") if address.protocol == "memory" else path))
        yield InputFile(url, name, int(info.get("size") or 0), _token(info))


def _token(info: dict[str, Any]) -> str:
    known = next((str(info[field]) for field in _TOKEN_FIELDS if info.get(field)), "")
    return f"{known.strip(chr(34))}-{info.get('size')}"


def _is_hidden(name: str) -> bool:
    return any(segment.startswith(".") for segment in name.split("/"))
