"""What happens when a file of an artifact is not what was written: it is moved aside, and the artifact is unfinished.

First the part goes, then the manifest: a manifest that names a missing part is damage that any reader notices, while a
damaged part without a manifest could be taken over by the next run. That run finds no manifest, takes over the parts
that are there and makes the one that is gone.
"""

from coder_core.errors import StoreError
from coder_core.fingerprint import content_hash
from coder_core.storage.damaged_files import AGAIN, damage_found, move_aside
from coder_core.storage.manifest import Manifest, PartRecord, load_manifest, manifest_path, part_path
from coder_core.storage.refusals import DamagedFileError, NotInStoreError, UnexpectedContentError
from coder_core.storage.store import Store


def checked_manifest(store: Store, kind: str, key: str) -> Manifest | None:
    """Read a manifest; a damaged one is moved aside.

    Raises:
        DamagedFileError: When it is damaged.
        StoreError: When another version wrote it.
    """
    try:
        return load_manifest(store, kind, key)
    except UnexpectedContentError as suspicion:
        try:
            return load_manifest(store, kind, key)  # read once more: the network may have garbled it
        except UnexpectedContentError:
            raise damage_found(store, manifest_path(kind, key), suspicion.problem) from suspicion


def checked_part(store: Store, kind: str, key: str, record: PartRecord) -> bytes:
    """Read a part and compare it with its record.

    Raises:
        DamagedFileError: When it is gone or is not what was written; it has been moved aside, and the manifest, too.
    """
    path = part_path(kind, key, record.name)
    try:
        content = store.read_bytes(path)
        if content_hash(content) != record.sha256:
            content = store.read_bytes(path)
    except NotInStoreError as error:
        problem = "The manifest names this part, and it is not there."
        raise _unfinished(store, kind, key, DamagedFileError(problem, store.url(path))) from error
    if content_hash(content) == record.sha256:
        return content
    raise part_damage(store, kind, key, record.name, describe_difference(record, content))


def part_damage(store: Store, kind: str, key: str, name: str, problem: str) -> DamagedFileError:
    """Move a damaged part aside, then the manifest where there is one; returns the error that says so."""
    return _unfinished(store, kind, key, damage_found(store, part_path(kind, key, name), problem))


def describe_difference(record: PartRecord, content: bytes) -> str:
    """Say how a part differs from its record."""
    if len(content) != record.bytes:
        return f"This part has {len(content)} bytes, the manifest says {record.bytes}."
    return "This part is not what was written (its sha256 differs from the manifest)."


def _unfinished(store: Store, kind: str, key: str, damage: DamagedFileError) -> DamagedFileError:
    try:
        move_aside(store, manifest_path(kind, key))
    except NotInStoreError:
        return damage
    except StoreError as error:
        remedy = f"Its manifest could not be moved aside ({error.problem.rstrip('.')}): mend that, then {AGAIN}."
        return DamagedFileError(damage.problem, damage.place, remedy)
    return damage if damage.remedy else DamagedFileError(damage.problem, damage.place, f"{AGAIN.capitalize()}.")
