"""Inputs: what a user gave, read from any path or fsspec URL.

The same addresses as the store, another kind of error: the user can mend an input, and the message says how. Which
files there are is found out in `input_walk` and `input_search`.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from coder_core.errors import InputError
from coder_core.storage.addresses import Address, parse_address, redact
from coder_core.storage.read_rounds import PatientFile, read_in_rounds
from coder_core.storage.refusals import explained

_TOKEN_FIELDS = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "updated", "created")
"""What file systems call the thing that changes when a file changes, most exact first."""

_SPECIAL_FILES = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


class InputFile(NamedTuple):
    """A file that a user gave.

    Args:
        url: Where it is; `read_input` takes it.
        name: Its path below the folder that was listed, with `/` between the parts; the name of a folder ends in `/`.
        size: In bytes.
        token: A text that changes when the file does (`file_token`, or the object's ETag and size).
        problem: Why it cannot be read (a link to nowhere, no permission, a pipe); None where nothing speaks against it.
    """

    url: str
    name: str
    size: int
    token: str
    problem: str | None = None


def read_input(url: str, *, max_bytes: int | None = None) -> bytes:
    """Read a whole file; what may pass is tried again (`read_rounds`).

    Args:
        url: Where it is.
        max_bytes: A larger file, a pipe or a device is refused before anything of it is read; None takes everything.

    Raises:
        InputError: It is missing, cannot be read, or is larger than `max_bytes`.
    """
    address = parse_address(url)
    with explained(url, InputError):
        filesystem = address.open_filesystem()
        if max_bytes is not None:
            _refuse_large(address, filesystem, max_bytes, url)
        content = cast(bytes, read_in_rounds(lambda: filesystem.cat_file(address.path)))
    if max_bytes is not None and len(content) > max_bytes:
        raise _too_large(len(content), max_bytes, url)
    return content


def input_exists(url: str) -> bool:
    """Whether there is a file or folder.

    Raises:
        InputError: Whoever keeps it does not answer.
    """
    address = parse_address(url)
    with explained(url, InputError):
        return bool(address.open_filesystem().exists(address.path))


def read_head(url: str, size: int) -> bytes | None:
    """Read the first bytes of a file on this machine's disk; None where it lies elsewhere or cannot be read."""
    address = parse_address(url)
    if not address.is_local:
        return None
    try:
        with Path(address.path).open("rb") as file:
            return file.read(size)
    except OSError:
        return None


@contextmanager
def open_input(url: str) -> Iterator[BinaryIO]:
    """Open a file to read parts of it; what the disk or the network refuses meanwhile is an InputError, too."""
    address = parse_address(url)
    with explained(url, InputError):
        filesystem = address.open_filesystem()
        with PatientFile(read_in_rounds(lambda: filesystem.open(address.path, "rb"))) as file:
            yield cast(BinaryIO, file)


def read_input_state(url: str) -> str:
    """Tell what changes when a file is written to: `file_token`, or the object's ETag and size.

    Raises:
        InputError: When it is missing or cannot be looked at.
    """
    address = parse_address(url)
    with explained(url, InputError):
        if address.is_local:
            return file_token(read_in_rounds(Path(address.path).stat))
        filesystem = address.open_filesystem()
        return object_token(read_in_rounds(lambda: filesystem.info(address.path)))


def file_token(status: os.stat_result) -> str:
    """Write down what changes when a file on a disk does: its size, its inode, when it was written and changed (ns).

    Content that is replaced in place, renamed over or restored with its old time changes one of them at least. A copied
    or touched file counts as another one, too: it is read again, and its content found to be known. Only what is
    rewritten with the same size within one tick of the file system's clock (2 s on FAT, 1 s on some network disks)
    cannot be told.
    """
    return f"{status.st_size}-{status.st_ino}-{status.st_mtime_ns}-{status.st_ctime_ns}"


def object_token(info: dict[str, Any]) -> str:
    """Write down what changes when an object does: its ETag, or what else its file system tells, and its size."""
    known = next((str(info[field]) for field in _TOKEN_FIELDS if info.get(field)), "")
    return f"{known.strip(chr(34))}-{info.get('size')}"


def special_file(mode: int) -> str | None:
    """Name what is no regular file (`a named pipe`), by its mode; None for a file."""
    return None if stat.S_ISREG(mode) else _SPECIAL_FILES.get(stat.S_IFMT(mode), "no file")


def _refuse_large(address: Address, filesystem: Any, max_bytes: int, url: str) -> None:
    if address.is_local:
        status = read_in_rounds(Path(address.path).stat)
        if kind := special_file(status.st_mode):
            raise InputError(f"this is {kind} and not a file.", redact(url), "Name a file.")
        size: int | None = status.st_size
    else:
        size = read_in_rounds(lambda: filesystem.info(address.path)).get("size")
    if size is not None and size > max_bytes:
        raise _too_large(size, max_bytes, url)


def _too_large(size: int, max_bytes: int, url: str) -> InputError:
    return InputError(f"it has {size} bytes, more than {max_bytes}.", redact(url), "Name another file, or split it.")
