"""The store as a file system that DuckDB can read and nobody can write.

DuckDB sees one made-up protocol, `store://`, whatever the root is (S3 without its `httpfs` extension, which cannot be
downloaded on a closed network; memory; a disk). Reading the files it was given is all that this class can do, so even
SQL that slips past the guard (DuckDB types `WITH x AS (COPY ... TO ...) SELECT ...` as a SELECT) cannot change a file
nor see a run that is not published.
"""

from datetime import UTC, datetime
from typing import Any, BinaryIO

from fsspec import AbstractFileSystem

from coder_core.storage.store import Store

PROTOCOL = "store"


class StoreFiles(AbstractFileSystem):  # type: ignore[misc]
    """Read-only view of some files of a store; paths are relative to its root, as in `store://tables/...`.

    Args:
        store: Where the files are.
        readable: The paths that exist for the reader; all others do not.
    """

    protocol = PROTOCOL
    cachable = False

    def __init__(self, store: Store, readable: frozenset[str]) -> None:
        super().__init__()
        self.store = store
        self.readable = readable

    def info(self, path: str, **_options: Any) -> dict[str, Any]:
        """Return name and size of a file."""
        with self.open(path) as file:
            return {"name": self._strip_protocol(path), "size": file.seek(0, 2), "type": "file"}

    def glob(self, path: str, **_options: Any) -> list[str]:
        """Return the path itself when it may be read: there are no patterns here."""
        name = self._strip_protocol(path)
        return [name] if name in self.readable else []

    def modified(self, path: str) -> datetime:  # noqa: ARG002 (fsspec's signature)
        """Return one constant time: what is published does not change, and DuckDB lives for one query."""
        return datetime.fromtimestamp(0, UTC)

    def open(self, path: str, mode: str = "rb", **_options: Any) -> BinaryIO:
        """Open a file for reading."""
        if mode != "rb":
            raise PermissionError(f"{path}: results are read-only.")
        name = self._strip_protocol(path)
        if name not in self.readable:
            raise FileNotFoundError(path)
        return self.store.open_input(name)
