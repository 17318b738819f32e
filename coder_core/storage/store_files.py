"""The store as a file system that DuckDB can read and nobody can write.

DuckDB sees one made-up protocol, `store://`, whatever the root is (S3 without its `httpfs` extension, which cannot be
downloaded on a closed network; memory; a disk). Reading is all that this class can do, so even SQL that slips past the
checks of `warehouse` (DuckDB types `WITH x AS (COPY ... TO ...) SELECT ...` as a SELECT) cannot change a file.
"""

from typing import Any, BinaryIO

from fsspec import AbstractFileSystem

from coder_core.storage.store import Store

PROTOCOL = "store"


class StoreFiles(AbstractFileSystem):  # type: ignore[misc]
    """Read-only view of a store; paths are relative to its root, as in `store://tables/...`."""

    protocol = PROTOCOL
    cachable = False

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.store = store

    def info(self, path: str, **_options: Any) -> dict[str, Any]:
        """Return name and size of a file."""
        name = self._strip_protocol(path)
        with self.store.open_input(name) as file:
            size = file.seek(0, 2)
        return {"name": name, "size": size, "type": "file"}

    def open(self, path: str, mode: str = "rb", **_options: Any) -> BinaryIO:
        """Open a file for reading."""
        if mode != "rb":
            raise PermissionError(f"{path}: results are read-only.")
        return self.store.open_input(self._strip_protocol(path))
