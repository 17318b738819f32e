"""Everything below a folder that a user gave: one entry each, also for what cannot be read.

Nothing is dropped here. A link to nowhere, a pipe, a folder without permission, a file that vanishes meanwhile are
entries with a `problem`; who lists a data set decides what they mean. A disk is read with one `scandir` per folder and
one `stat` per file, a bucket with one paged listing and no request per object.
"""

import errno
import os
import stat
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from coder_core.errors import InputError
from coder_core.loops import each
from coder_core.progress import track
from coder_core.storage.addresses import Address, format_url, parse_address, redact
from coder_core.storage.input_files import InputFile, file_token, object_token, special_file
from coder_core.storage.read_rounds import read_in_rounds
from coder_core.storage.refusals import explained

EMPTY_FOLDER = "an empty folder"
TOLD_AT_ONCE = 1_000
"""Files between two looks at the clock of the progress."""
FOLDER_MARKER = "the marker of a folder, and no file"

_READABLE_BY_ALL = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH
"""Nobody needs to be asked about such a file; of all others the system is."""


def walk_input(url: str) -> Iterator[InputFile]:
    """Yield every file below a folder, and every folder that is empty or cannot be read (its name ends in `/`).

    A folder that several links lead to is walked once, below its own name where that is under the root; further links
    to it, and links that lead back up, are entries with a problem.

    Args:
        url: A folder; or one file, which is then the only entry.

    Raises:
        InputError: There is no such folder, it cannot be read, or there is nothing in it.
    """
    address = parse_address(url)
    with explained(url, InputError):
        entries = _walk_disk(address.path) if address.is_local else _walk_objects(address)
        first = next(entries, None)
        if first is None:
            raise InputError("There is no such folder, or it is empty.", redact(url), "Check the path.")
        yield first
        yield from each(entries, every=100)


def list_input(url: str) -> Iterator[InputFile]:
    """`walk_input` for whoever wants all of it: how many files were found so far is told where that takes long.

    Raises:
        InputError: As `walk_input`.
    """
    with track("listing files", total=None, unit="files") as shown:
        for number, file in enumerate(walk_input(url), start=1):
            if number % TOLD_AT_ONCE == 0:
                shown.advance(TOLD_AT_ONCE)
            yield file


def list_subfolders(url: str) -> list[str]:
    """Name the folders directly in a folder, sorted; hidden ones do not count. Nothing deeper is looked at.

    Raises:
        InputError: There is no such folder, or it cannot be read.
    """
    address = parse_address(url)
    with explained(url, InputError):
        found = address.open_filesystem().ls(address.path, detail=True)
    names = [str(entry["name"]).rstrip("/").rpartition("/")[2] for entry in found if _is_listed_folder(entry)]
    return sorted(name for name in names if not name.startswith("."))


def _is_listed_folder(entry: dict[str, Any]) -> bool:
    if entry.get("islink"):  # fsspec says of a link what it is itself
        return Path(str(entry["name"])).is_dir()
    return entry.get("type") == "directory"


def _walk_disk(root: str) -> Iterator[InputFile]:
    status = os.stat(root)  # noqa: PTH116 (names are texts here: a Path per file would double the time)
    if not stat.S_ISDIR(status.st_mode):
        yield _status_file(root, root.rpartition("/")[2], status)
        return
    walk = _DiskWalk(root)
    while walk.pending:
        yield from walk.open_next()


class _DiskWalk:
    """Real folders first, in the order of their names; then those that links lead to."""

    def __init__(self, root: str) -> None:
        self._root = root.rstrip("/")
        self._folders = [""]
        self._links: deque[str] = deque()
        self._name_of: dict[tuple[int, int], str] = {}

    @property
    def pending(self) -> bool:
        return bool(self._folders or self._links)

    def open_next(self) -> Iterable[InputFile]:
        name = self._folders.pop() if self._folders else self._links.popleft()
        path = f"{self._root}/{name}"
        try:
            status = read_in_rounds(lambda: os.stat(path))  # noqa: PTH116
            known = self._name_of.setdefault((status.st_dev, status.st_ino), name)
            if known != name:
                return [_folder(path, name, f"a link to the folder that is listed as {known or '/'!r}")]
            entries = read_in_rounds(lambda: _entries(path))
        except OSError as error:
            if not name:
                raise
            return [_folder(path, name, f"the folder cannot be read ({error.strerror})")]
        if not entries:
            return [_folder(path, name, EMPTY_FOLDER)] if name else []
        return self._files(entries, name)

    def _files(self, entries: list["os.DirEntry[str]"], folder: str) -> Iterator[InputFile]:
        inner = []
        for entry in entries:
            if not _is_folder(entry):
                yield _disk_file(entry, folder)
            elif entry.is_symlink():
                self._links.append(f"{folder}{entry.name}/")
            else:
                inner.append(f"{folder}{entry.name}/")
        self._folders.extend(reversed(inner))


def _entries(path: str) -> list["os.DirEntry[str]"]:
    with os.scandir(path) as found:
        return sorted(found, key=lambda entry: entry.name)


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads in a circle
        return False


def _folder(path: str, name: str, problem: str) -> InputFile:
    return InputFile(path, name, 0, "", problem)


def _disk_file(entry: "os.DirEntry[str]", folder: str) -> InputFile:
    name = f"{folder}{entry.name}"
    try:
        status = read_in_rounds(entry.stat)
    except OSError as error:
        return InputFile(entry.path, name, 0, "", _explain_link(entry, error))
    return _status_file(entry.path, name, status)


def _status_file(path: str, name: str, status: os.stat_result) -> InputFile:
    kind = special_file(status.st_mode)
    problem = f"{kind}, and no file" if kind else None
    if kind is None and not _is_readable(path, status):
        problem = f"it cannot be read ({os.strerror(errno.EACCES)})"
    return InputFile(path, name, status.st_size, file_token(status), problem)


def _is_readable(path: str, status: os.stat_result) -> bool:
    if status.st_mode & _READABLE_BY_ALL == _READABLE_BY_ALL:
        return True
    return os.access(path, os.R_OK, effective_ids=os.access in os.supports_effective_ids)


def _explain_link(entry: "os.DirEntry[str]", error: OSError) -> str:
    if entry.is_symlink() and error.errno in (errno.ENOENT, errno.ENOTDIR):
        return "a link to a file that is not there"
    return f"it cannot be read ({error.strerror})"


def _walk_objects(address: Address) -> Iterator[InputFile]:
    filesystem = address.open_filesystem()
    root = filesystem._strip_protocol(address.path).rstrip("/")
    found = read_in_rounds(lambda: filesystem.find(address.path, detail=True))
    for path, info in found.items():
        if info.get("type") == "directory":
            continue
        name = path.rpartition("/")[2] if path == root else path.removeprefix(f"{root}/")
        problem = FOLDER_MARKER if not name or name.endswith("/") else None
        yield InputFile(object_url(address, path), name, int(info.get("size") or 0), object_token(info), problem)


def object_url(address: Address, path: str) -> str:
    """The URL of an object from the path that its file system lists it by."""
    return format_url(address._replace(path=path.lstrip("/") if address.protocol == "memory" else path))
