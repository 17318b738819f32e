"""Files of a store with their size and the time of their last write, in the words of any file system.

Every file system has its own word for that time; a file without one is of unknown age, and nobody may take it for old.
"""

import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from coder_core.storage.addresses import Address
from coder_core.storage.local_files import list_files

_TIME_FIELDS = ("LastModified", "mtime", "last_modified", "updated", "created")
"""S3, local disks and many others, Azure, GCS, memory: what says when a file was written, most exact first."""


class StoredFile(NamedTuple):
    """A file of a store.

    Args:
        path: Relative to the root of the store.
        size: In bytes.
        modified_at: When it was last written, by the clock of the file system; None when that does not tell.
    """

    path: str
    size: int
    modified_at: datetime | None


def list_infos(filesystem: Any, place: Address, root: str) -> Iterator[StoredFile]:
    """List the files below a place, in any order; what disappears meanwhile is left out.

    Args:
        filesystem: Of the store.
        place: A folder; one that is not there holds no files.
        root: What is taken off the front of every path.
    """
    if place.is_local:
        yield from _list_local(place.path, root)
        return
    for name, info in _find(filesystem, place).items():
        if info.get("type") != "directory":
            yield StoredFile(name.removeprefix(root), int(info.get("size") or 0), read_time(info))


def read_time(info: Mapping[str, Any]) -> datetime | None:
    """Read the time of the last write from what a file system says about a file; None when it says nothing usable."""
    found = next((info[name] for name in _TIME_FIELDS if info.get(name) is not None), None)
    try:
        if isinstance(found, str):
            found = datetime.fromisoformat(found)
        elif isinstance(found, int | float):
            found = datetime.fromtimestamp(found, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    if not isinstance(found, datetime):
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _list_local(folder: str, root: str) -> Iterator[StoredFile]:
    for name in list_files(folder):
        try:
            status = os.stat(name)  # noqa: PTH116 (a Path per file would double the time of a large listing)
        except FileNotFoundError:
            continue
        yield StoredFile(name.removeprefix(root), status.st_size, read_time({"mtime": status.st_mtime}))


def _find(filesystem: Any, place: Address) -> dict[str, dict[str, Any]]:
    try:
        found: dict[str, dict[str, Any]] = filesystem.find(place.path, detail=True)
    except FileNotFoundError:
        if place.protocol == "s3":  # S3 has no folders: here it is the bucket that is missing
            raise
        return {}
    return found
