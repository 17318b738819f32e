"""Writes on a local disk that either happen wholly or not at all.

Both ways build the content in a hidden temporary file in the same folder (a rename across file systems would be a
copy), flush it to the disk, and then publish it with one system call: a rename to overwrite, `os.link` to create, which
fails when the name is taken. The temporary file is gone afterwards, whatever happened.
"""

import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

COPY_BYTES = 2**20
TEMPORARY_SUFFIX = ".writing"
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})


def replace_file(path: str, content: bytes | Path) -> None:
    """Write a file, replacing what was there, in one step; `content` may be a file to copy."""
    with _temporary_file(path, content) as temporary:
        temporary.replace(path)


def create_file(path: str, content: bytes | Path) -> None:
    """Write a file that must not be there yet, in one step; `content` may be a file to copy.

    Raises:
        FileExistsError: When it is there already; its content stays as it was.
    """
    with _temporary_file(path, content) as temporary:
        move_unless_there(temporary, Path(path))


def move_unless_there(temporary: Path, target: Path) -> None:
    """Give a finished file of the same disk its name, in one step; the old name may stay beside it.

    Raises:
        FileExistsError: The name is taken.
    """
    try:
        os.link(temporary, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _rename_unless_there(temporary, target)


def _rename_unless_there(temporary: Path, target: Path) -> None:
    """Create on a disk without hard links (FAT, some mounted buckets): two steps, so a race can be lost unnoticed."""
    if target.exists():
        raise FileExistsError(str(target))
    temporary.replace(target)


def list_files(folder: str) -> list[str]:
    """List the files below a folder by their full path; a folder that is not there holds none.

    fsspec's own listing leaves out what it cannot read without a word, so an unreadable ledger would look empty.

    Raises:
        OSError: When a folder is there and cannot be read.
    """
    return [f"{parent}/{name}" for parent, _, names in os.walk(folder, onerror=_refuse) for name in names]


def list_beginning(folder: str, beginning: str) -> list[str]:
    """Name the files directly in a folder that begin with some characters; a folder that is not there holds none."""
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if entry.name.startswith(beginning) and entry.is_file()]
    except FileNotFoundError:
        return []


def _refuse(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def is_temporary(path: str) -> bool:
    """Tell whether a file is one that a killed writer left behind."""
    name = path.rpartition("/")[2]
    return name.startswith(".") and name.endswith(TEMPORARY_SUFFIX)


@contextmanager
def _temporary_file(path: str, content: bytes | Path) -> Iterator[Path]:
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{uuid.uuid4().hex}{TEMPORARY_SUFFIX}")
    try:
        with temporary.open("xb") as file:
            if isinstance(content, bytes):
                file.write(content)
            else:
                with content.open("rb") as source:
                    shutil.copyfileobj(source, file, COPY_BYTES)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
