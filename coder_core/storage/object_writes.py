"""Write-once puts on object stores, where exactly one of several racing writers must win.

S3 settles the race itself with a conditional put (`If-None-Match: *`). It refuses the loser with 412, or asks to try
again with 409 while another upload of the same key is under way; s3fs passes both on, so they are told apart by their
error code. fsspec's memory file system checks and writes in two steps, so a lock stands around them.
"""

import threading
from pathlib import Path
from typing import Any

from coder_core.storage.addresses import Address

CONFLICT_ROUNDS = 5
"""How often a put is repeated while S3 reports a concurrent upload of the same key."""
_TAKEN_CODES = frozenset({"PreconditionFailed", "412"})
_CONFLICT_CODES = frozenset({"ConditionalRequestConflict", "409"})
_MEMORY_LOCK = threading.Lock()


def put_object(filesystem: Any, place: Address, content: bytes | Path) -> None:
    """Put an object, whatever was there; `content` may be a local file, which is sent without being held in memory."""
    if isinstance(content, bytes):
        filesystem.pipe_file(place.path, content)
    elif _takes_files(place):
        filesystem.put_file(str(content), place.path)
    else:
        filesystem.pipe_file(place.path, content.read_bytes())


def create_object(filesystem: Any, place: Address, content: bytes | Path) -> None:
    """Put an object whose key must not be taken yet.

    Raises:
        FileExistsError: When the key is taken; its content stays as it was.
    """
    if place.protocol == "memory":
        with _MEMORY_LOCK:
            _create(filesystem, place, content)
        return
    for last_round in [False] * (CONFLICT_ROUNDS - 1) + [True]:
        try:
            _create(filesystem, place, content)
        except OSError as error:
            if _error_code(error) in _TAKEN_CODES:
                raise FileExistsError(place.path) from error
            if last_round or _error_code(error) not in _CONFLICT_CODES:
                raise
        else:
            return


def _create(filesystem: Any, place: Address, content: bytes | Path) -> None:
    if isinstance(content, bytes):
        filesystem.pipe_file(place.path, content, mode="create")
    elif _takes_files(place):
        filesystem.put_file(str(content), place.path, mode="create")
    else:
        filesystem.pipe_file(place.path, content.read_bytes(), mode="create")


def _takes_files(place: Address) -> bool:
    """Whether the file system sends a local file as one object; fsspec's general way may leave a part of it."""
    return place.protocol == "s3"


def _error_code(error: OSError) -> str:
    response = getattr(error.__cause__, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))
