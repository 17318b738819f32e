"""Damaged files are moved to `damaged/` and never deleted, so that what they held is made again by the next run.

A file that cannot be read is only a suspect: the network may have garbled it. It is damaged when its bytes, read again,
do not have the hash that was recorded when it was written. The copy is complete before the original goes. What is made
here is safe to repeat, and a second process that finds the file gone lets it be.
"""

from coder_core.errors import StoreError
from coder_core.fingerprint import content_hash
from coder_core.storage.refusals import DamagedFileError, NotInStoreError, UnexpectedContentError
from coder_core.storage.store import Store

FOLDER = "damaged"
AGAIN = "run again: it is made anew"
_HASH_CHARACTERS = 12
"""Of the damaged content, in the path of the copy: the same file can be damaged twice."""


def move_aside(store: Store, path: str, content: bytes | None = None) -> str:
    """Move a file to `damaged/`; returns where it is now.

    Args:
        store: Where it is.
        path: The file.
        content: What was found in it. When the file holds other bytes by now, somebody has replaced it: it stays.

    Raises:
        NotInStoreError: When another process has moved it already.
        StoreError: When the store refuses; the file is where it was.
    """
    found = store.read_bytes(path)
    target = keep_copy(store, path, found if content is None else content)
    if content is None or found == content:
        store.delete(path)
    return target


def keep_copy(store: Store, path: str, content: bytes) -> str:
    """Write what was found in a file to `damaged/`; returns where it is."""
    target = f"{FOLDER}/{content_hash(content)[:_HASH_CHARACTERS]}/{path}"
    store.create_bytes(target, content)
    return target


def damage_found(store: Store, path: str, problem: str, *, content: bytes | None = None) -> DamagedFileError:
    """Move a damaged file aside and return the error that says so."""
    try:
        target = move_aside(store, path, content)
    except NotInStoreError:
        return DamagedFileError(problem, store.url(path), f"Another process moved it aside: {AGAIN}.")
    except StoreError as error:
        remedy = f"It could not be moved aside ({error.problem.rstrip('.')}): mend that, then {AGAIN}."
        return DamagedFileError(problem, store.url(path), remedy)
    return DamagedFileError(problem, store.url(path), f"It was moved to {target}: {AGAIN}.")


def confirm_damage(store: Store, path: str, sha256: str, suspicion: UnexpectedContentError) -> UnexpectedContentError:
    """Read a suspect once more: the suspicion itself when its hash is right, else the error that it was moved aside.

    Raises:
        NotInStoreError: When another process has moved it already.
    """
    content = store.read_bytes(path)
    if content_hash(content) == sha256:
        return suspicion
    return damage_found(store, path, suspicion.problem, content=content)
