"""Unpack an archive that somebody else made: nothing leaves the folder, and no more is written than may be.

Names that lead out, devices, and links are refused before anything of them is written (no archive of the catalogue
holds links); what the members declare is added up first, so that a small file cannot fill the disk.
"""

import errno
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import IO

from coder_core.errors import CoderError, InputError
from coder_core.interruption import check_interruption
from coder_core.limits import limit

__all__ = ["unpack"]

MAX_RATIO = limit("CODER_MAX_UNPACK_EXPANSION", 20)
"""Unpacked to packed: photographs hardly shrink, lists do by ten."""
ALWAYS_ALLOWED_BYTES = 2**28
MAX_MEMBERS = 5_000_000
COPY_BYTES = 2**20


def unpack(archive: Path, folder: Path, advance: Callable[[int], None] = lambda _: None) -> None:
    """Unpack a tar file, compressed or not, or a zip file, by its content and not by its name.

    Args:
        archive: The file.
        folder: Where to; must be there.
        advance: Told of unpacked bytes as they are written.

    Raises:
        InputError: It is no such archive, is damaged, or holds what must not be written.
    """
    try:
        if zipfile.is_zipfile(archive):
            _unpack_zip(archive, folder, advance)
        else:
            _unpack_tar(archive, folder, advance)
    except CoderError:
        raise
    except Exception as error:  # damaged bytes lead the readers of archives anywhere
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise  # the disk's, and no fault of the archive
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"this archive is damaged ({reason}).", str(archive), "Fetch it again.") from error


class _Allowance:
    """How much may still be written."""

    def __init__(self, archive: Path) -> None:
        self._archive = archive
        self._left = max(ALWAYS_ALLOWED_BYTES, MAX_RATIO * archive.stat().st_size)
        self._members = MAX_MEMBERS

    def take(self, size: int) -> None:
        """Take one member's share.

        Raises:
            InputError: It is too much.
        """
        check_interruption()
        self._left -= max(0, size)
        self._members -= 1
        if self._left < 0 or self._members < 0:
            problem = f"it holds more than {MAX_RATIO} times its size, or more than {MAX_MEMBERS:,} files."
            raise InputError(problem, str(self._archive), "Nothing of it was kept.")


def _unpack_tar(archive: Path, folder: Path, advance: Callable[[int], None]) -> None:
    allowance = _Allowance(archive)
    with tarfile.open(archive, "r:*") as held:
        for member in held:
            allowance.take(member.size)
            target = _target(member.name, folder, archive)
            if member.isdir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            if not member.isreg():
                raise _refused(member.name, "a link or a device", archive)
            source = held.extractfile(member)
            assert source is not None  # noqa: S101 - of a regular file
            with source:
                _write(source, target, archive)
            advance(member.size)


def _unpack_zip(archive: Path, folder: Path, advance: Callable[[int], None]) -> None:
    allowance = _Allowance(archive)
    with zipfile.ZipFile(archive) as held:
        members = held.infolist()
        for member in members:
            allowance.take(member.file_size)
            mode = member.external_attr >> 16
            if mode and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or not stat.S_IFMT(mode)):
                raise _refused(member.filename, "a link or a device", archive)
        for member in members:
            check_interruption()
            target = _target(member.filename, folder, archive)
            if member.is_dir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            with held.open(member) as source:
                _write(source, target, archive)
            advance(member.file_size)


def _target(name: str, folder: Path, archive: Path) -> Path:
    parts = PurePosixPath(name).parts
    is_inside = not PurePosixPath(name).is_absolute() and ".." not in parts
    if not is_inside or "\\" in name or "\0" in name or (parts and ":" in parts[0]):
        raise _refused(name, "a name that leads out of the folder", archive)
    return folder.joinpath(*parts)


def _write(source: IO[bytes], target: Path, archive: Path) -> None:
    """Write one file; one that is there already under this name would be another member's."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with target.open("xb") as file:
            shutil.copyfileobj(source, file, COPY_BYTES)
    except FileExistsError as error:
        raise _refused(target.name, "a file under a name that was there", archive) from error


def _refused(name: str, what: str, archive: Path) -> InputError:
    return InputError(f"it holds {what}: {name!r:.120}.", str(archive), "Nothing of it is used: fetch it elsewhere.")
