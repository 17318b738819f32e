"""Store: named bytes below one root, on any fsspec URL, and never half a file.

An exception inside `fs.open(..., "wb")` still publishes a truncated object, on disk and on S3. So every write here has
its bytes complete in memory first and publishes them in one step: a rename on a disk, one put on an object store. A
write-once create settles races between workers: a hard link on a disk, a conditional put on S3. A `Store` holds nothing
but its root, so it is cheap to make and travels to any worker.
"""

import hashlib
import os
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path
from typing import Any, BinaryIO, cast

from coder_core.errors import StoreError
from coder_core.storage import local_files
from coder_core.storage.addresses import Address, format_url, full_url, parse_address, redact
from coder_core.storage.file_infos import StoredFile, list_infos, read_time
from coder_core.storage.object_writes import create_object, put_object
from coder_core.storage.read_rounds import PatientFile, read_in_rounds
from coder_core.storage.refusals import explained
from coder_core.storage.write_rounds import write_in_rounds

_PATTERN_CHARACTERS = frozenset("*?[]")
PROBE_PREFIX = "writable-"
READERS = 16
"""Files read at once where each costs a round trip."""
HASH_BLOCK_BYTES = 8 * 2**20
"""Read at once while hashing: one request of an object store, and all that is in memory."""


@dataclass(frozen=True)
class Store:
    """Bytes by relative path below a root.

    Args:
        root: A path or any fsspec URL; credentials and endpoints come from the environment (AWS_ENDPOINT_URL, ...).
    """

    root: str

    def __reduce__(self) -> tuple[type["Store"], tuple[str]]:
        """Travel as the root alone; a local root travels as an absolute path."""
        return Store, (full_url(self.address),)

    @cached_property
    def address(self) -> Address:
        """Protocol and path of the root."""
        return parse_address(self.root)

    @property
    def filesystem(self) -> Any:
        """The fsspec file system of the root, opened once per process."""
        with explained(self.root):
            return self.address.open_filesystem()

    def url(self, path: str = "") -> str:
        """Return the full path or URL of a file in the store."""
        return format_url(self._place(path) if path else self.address)

    def read_bytes(self, path: str) -> bytes:
        """Read a whole file.

        Raises:
            NotInStoreError: When there is no such file.
            StoreError: When the store refuses.
        """
        place = self._place(path)
        with explained(self.url(path)):
            if place.is_local:
                return read_in_rounds(Path(place.path).read_bytes)
            return cast(bytes, read_in_rounds(lambda: self.filesystem.cat_file(place.path)))

    def read_many(self, paths: Sequence[str]) -> tuple[bytes, ...]:
        """Read whole files, in the given order; those of an object store several at a time.

        Raises:
            NotInStoreError: When one is not there.
            StoreError: When the store refuses.
        """
        if self.address.is_local or len(paths) < 2:
            return tuple(self.read_bytes(path) for path in paths)
        with ThreadPoolExecutor(READERS) as readers:
            return tuple(readers.map(self.read_bytes, paths))

    def write_bytes(self, path: str, content: bytes) -> None:
        """Write a whole file, or nothing: readers see the old content or the new one, never a part."""
        self._write(path, content)

    def write_file(self, path: str, source: Path) -> None:
        """Write a whole file from one on this disk, as `write_bytes` does; it is not held in memory."""
        self._write(path, source)

    def create_bytes(self, path: str, content: bytes) -> bool:
        """Write a whole file unless it is there already; of several racing writers exactly one gets True."""
        return self._create(path, content)

    def create_file(self, path: str, source: Path) -> bool:
        """Write a whole file from one on this disk, as `create_bytes` does; it is not held in memory."""
        return self._create(path, source)

    def _write(self, path: str, content: bytes | Path) -> None:
        place = self._place(path)
        with explained(self.url(path)):
            if place.is_local:
                write_in_rounds(place, partial(local_files.replace_file, place.path, content))
            else:
                write_in_rounds(place, partial(put_object, self.filesystem, place, content))

    def _create(self, path: str, content: bytes | Path) -> bool:
        place = self._place(path)
        with explained(self.url(path)):
            try:
                if place.is_local:
                    write_in_rounds(place, partial(local_files.create_file, place.path, content))
                else:
                    write_in_rounds(place, partial(create_object, self.filesystem, place, content))
            except FileExistsError as found:
                is_first_round = found.args == (1,)
                return not is_first_round and self._holds(path, content)
        return True

    def _holds(self, path: str, content: bytes | Path) -> bool:
        if isinstance(content, bytes):
            return self.read_bytes(path) == content
        with content.open("rb") as source:
            return self.hash_file(path) == hashlib.file_digest(source, "sha256").hexdigest()

    def exists(self, path: str) -> bool:
        """Tell whether a file is there."""
        place = self._place(path)
        with explained(self.url(path)):
            try:
                return bool(read_in_rounds(lambda: self.filesystem.info(place.path))["type"] == "file")
            except (FileNotFoundError, NotADirectoryError):
                return False

    def list(self, prefix: str = "") -> list[str]:
        """List every file below a folder, as sorted paths relative to the root; a folder that is not there is empty."""
        place = self._place(prefix) if prefix else self.address
        with explained(self.url(prefix)):
            found = read_in_rounds(lambda: _find_files(self.filesystem, place))
        root = self.filesystem._strip_protocol(self.address.path).rstrip("/") + "/"
        return sorted(name.removeprefix(root) for name in found if not local_files.is_temporary(name))

    def top_names(self) -> tuple[str, ...]:
        """Name what lies directly below the root, sorted, folders too; nothing where there is no such place.

        Raises:
            StoreError: When the store refuses.
        """
        with explained(self.root):
            try:
                found = read_in_rounds(lambda: self.filesystem.ls(self.address.path, detail=False))
            except (FileNotFoundError, NotADirectoryError):
                return ()
        return tuple(sorted({str(path).rstrip("/").rpartition("/")[2] for path in found}))

    def list_beginning(self, folder: str, beginning: str) -> tuple[str, ...]:
        """List the files directly in a folder whose names begin with some characters, sorted, relative to the root."""
        place = self._place(folder)
        with explained(self.url(folder)):
            found = read_in_rounds(lambda: _find_beginning(self.filesystem, place, beginning))
        return tuple(sorted(f"{folder}/{name}" for name in found if not local_files.is_temporary(name)))

    def list_files(self, prefix: str = "") -> tuple[StoredFile, ...]:
        """List every file below a folder with size and time, sorted; what killed writers left behind is listed, too."""
        place = self._place(prefix) if prefix else self.address
        with explained(self.url(prefix)):
            root = self.filesystem._strip_protocol(self.address.path).rstrip("/") + "/"
            found = read_in_rounds(lambda: list(list_infos(self.filesystem, place, root)))
            return tuple(sorted(found, key=lambda file: file.path))

    def hash_file(self, path: str) -> str:
        """Return the sha256 of a file, read in blocks."""
        digest = hashlib.sha256()
        with explained(self.url(path)), self.open_input(path) as file:
            while block := file.read(HASH_BLOCK_BYTES):
                digest.update(block)
        return digest.hexdigest()

    def delete(self, path: str) -> None:
        """Delete a file; one that is not there is deleted already. Of hidden files, only what a writer left behind."""
        folder, _, name = path.rpartition("/")
        if local_files.is_temporary(name):
            place = (self._place(folder) if folder else self.address).join(name)
        else:
            place = self._place(path)
        with explained(self.url(path)):
            try:
                self.filesystem.rm_file(place.path)
            except FileNotFoundError:
                return

    def open_input(self, path: str) -> BinaryIO:
        """Open a file for reading at any position, so that a reader of columns fetches only what it needs."""
        place = self._place(path)
        with explained(self.url(path)):
            options = {} if place.is_local else {"cache_type": "none"}
            opened = read_in_rounds(lambda: self.filesystem.open(place.path, "rb", **options))
            return cast(BinaryIO, PatientFile(opened))

    def check_writable(self) -> datetime | None:
        """Write and delete a small file, so that a store that refuses does so before the work and not after it.

        Returns:
            What time it is by the clock that dates the files of the store; None when it does not tell.

        Raises:
            StoreError: With the reason and the remedy.
        """
        probe = f"{PROBE_PREFIX}{uuid.uuid4().hex}"
        root = Path(self.url())
        if os.path.islink(root) and not os.path.exists(root):  # noqa: PTH110, PTH114 (a name may be too long for Path)
            remedy = "Make that folder (is its disk mounted?), or choose another store root."
            raise StoreError(f"it is a link to {root.readlink()}, which is not there.", str(root), remedy)
        try:
            self.write_bytes(probe, b"")
            with explained(self.url(probe)):
                written_at = read_time(self.filesystem.info(self._place(probe).path))
            self.delete(probe)
            return written_at
        except StoreError as error:
            problem = f"The store cannot be written. {error.problem}"
            raise StoreError(problem, redact(self.url()), error.remedy) from error

    def _place(self, path: str) -> Address:
        segments = path.removesuffix("/").split("/")
        is_hidden = any(segment in {"", ".", ".."} or segment.startswith(".") for segment in segments)
        if is_hidden or "\\" in path or not path.isprintable() or _PATTERN_CHARACTERS & set(path):
            raise StoreError(
                f"{path!r} is not a path inside a store.",
                format_url(self.address),
                "Use a relative path of visible names, without '..' and without patterns.",
            )
        return self.address.join(*segments)


def _find_files(filesystem: Any, place: Address) -> list[str]:
    if place.is_local:
        return local_files.list_files(place.path)
    try:
        return cast(list[str], _listed(filesystem, place.path))
    except FileNotFoundError:
        if place.protocol == "s3":  # S3 has no folders: here it is the bucket that is missing
            raise
        return []


def _listed(filesystem: Any, path: str, **options: Any) -> Any:
    """Find files; the file system in memory gives up where another thread writes meanwhile, and is asked again."""
    while True:
        try:
            return filesystem.find(path, **options)
        except RuntimeError as error:
            if "changed size during iteration" not in str(error):
                raise


def _find_beginning(filesystem: Any, place: Address, beginning: str) -> list[str]:
    """Name the files of a folder; S3 looks them up by their beginning, whatever else lies there."""
    if place.is_local:
        return local_files.list_beginning(place.path, beginning)
    options = {"prefix": beginning} if place.protocol == "s3" else {}
    try:
        found = _listed(filesystem, place.path, maxdepth=None if options else 1, **options)
    except FileNotFoundError:
        return []
    folder = filesystem._strip_protocol(place.path).rstrip("/") + "/"
    names = (name.removeprefix(folder) for name in found)
    return [name for name in names if name.startswith(beginning) and "/" not in name]
