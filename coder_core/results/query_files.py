"""The store as a file system that DuckDB can read and nobody can write.

DuckDB sees one made-up protocol, `store://`, whatever the root is (S3 without its `httpfs` extension, which cannot be
downloaded on a closed network; memory; a disk). Reading the files it was given is all that this class can do, so even
SQL that slips past the guard (DuckDB types `WITH x AS (COPY ... TO ...) SELECT ...` as a SELECT) cannot change a file
nor see a run that is not published.
"""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, BinaryIO, cast

from fsspec import AbstractFileSystem

from coder_core.storage.published_files import PublishedFiles

PROTOCOL = "store"


class StoreFiles(AbstractFileSystem):  # type: ignore[misc]
    """Read-only view of some files of a store; paths are relative to its root, as in `store://tables/...`.

    Args:
        files: Opens them, and compares them with what was published.
        readable: The paths that exist for the reader; all others do not.
    """

    protocol = PROTOCOL
    cachable = False

    def __init__(self, files: PublishedFiles, readable: frozenset[str]) -> None:
        super().__init__()
        self.files = files
        self.readable = readable

    def info(self, path: str, **_options: Any) -> dict[str, Any]:
        """Return name and size of a file."""
        file = self.open(path)
        try:
            return {"name": self._strip_protocol(path), "size": file.seek(0, 2), "type": "file"}
        finally:
            file.close()

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
        return cast(BinaryIO, SharedFile(self.files.open(name), partial(self.files.check, name)))


class SharedFile:
    """An open file that DuckDB's threads read at once, each at its own position.

    DuckDB shares a handle between threads and asks for `seek` and `read` in two calls; on a plain file they interleave,
    and one thread is given another one's bytes. Positions are kept by thread id and not in `threading.local`, which
    forgets: DuckDB's threads are strangers to Python between two calls.

    Args:
        file: A Parquet file.
        check: Called before data is read for the first time; None when nothing is to be checked. A read to the end of
            the file is one of the footer, which stands there: DuckDB takes 32 KiB, to spare itself a second request.
    """

    def __init__(self, file: BinaryIO, check: Callable[[], None] | None = None) -> None:
        self._file = file
        self._check = check
        self._size = file.seek(0, 2)
        self._positions: dict[int, int] = {}
        self._lock = threading.Lock()

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move this thread's position."""
        thread = threading.get_ident()
        with self._lock:
            base = self._file.seek(0, 2) if whence == 2 else self._positions.get(thread, 0) if whence == 1 else 0
            self._positions[thread] = base + offset
            return base + offset

    def tell(self) -> int:
        """Return this thread's position."""
        return self._positions.get(threading.get_ident(), 0)

    def read(self, size: int = -1) -> bytes:
        """Read at this thread's position and move it."""
        thread = threading.get_ident()
        with self._lock:
            if self._check and self._positions.get(thread, 0) + size < self._size:
                self._check()
                self._check = None
            self._file.seek(self._positions.get(thread, 0))
            content = self._file.read(size)
            self._positions[thread] = self._positions.get(thread, 0) + len(content)
            return content

    def close(self) -> None:
        """Close the file for every thread."""
        self._file.close()

    def __del__(self) -> None:
        self._file.close()  # DuckDB drops some handles without closing them
