"""The files of a question as a file system that DuckDB can read and nobody can write.

DuckDB sees one made-up protocol, `store://`, whatever the store is (S3 without its `httpfs` extension, which cannot be
downloaded on a closed network; memory; a disk). Reading the files it was given is all that this class can do, so even
SQL that slips past the guard (DuckDB types `WITH x AS (COPY ... TO ...) SELECT ...` as a SELECT) cannot change a file
nor see a run that is not published.
"""

import io
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, BinaryIO, cast

from fsspec import AbstractFileSystem

from coder_core.results.query_messages import GivenFile

PROTOCOL = "store"
ReadPiece = Callable[[str, int, int], bytes]
"""Reads `size` bytes of a file at a position: (path, position, size)."""


class GivenFiles(AbstractFileSystem):  # type: ignore[misc]
    """Read-only view of some files; paths are relative to the root of the store, as in `store://tables/...`.

    Args:
        files: The files that exist for the reader, by path; all others do not.
        read_piece: Reads what is not here of a large file.
    """

    protocol = PROTOCOL
    cachable = False

    def __init__(self, files: Mapping[str, GivenFile], read_piece: ReadPiece) -> None:
        super().__init__()
        self.files = files
        self.read_piece = read_piece

    def info(self, path: str, **_options: Any) -> dict[str, Any]:
        """Return name and size of a file."""
        file = self._file(path)
        return {"name": file.path, "size": file.size, "type": "file"}

    def glob(self, path: str, **_options: Any) -> list[str]:
        """Return the path itself when it may be read: there are no patterns here."""
        name = self._strip_protocol(path)
        return [name] if name in self.files else []

    def modified(self, path: str) -> datetime:  # noqa: ARG002 (fsspec's signature)
        """Return one constant time: what is published does not change, and DuckDB lives for one query."""
        return datetime.fromtimestamp(0, UTC)

    def open(self, path: str, mode: str = "rb", **_options: Any) -> BinaryIO:
        """Open a file for reading."""
        if mode != "rb":
            raise PermissionError(f"{path}: results are read-only.")
        file = self._file(path)
        source = io.BytesIO(file.content) if file.is_whole else PieceFile(file, self.read_piece)
        return cast(BinaryIO, SharedFile(source))

    def _file(self, path: str) -> GivenFile:
        name = self._strip_protocol(path)
        if name not in self.files:
            raise FileNotFoundError(path)
        return self.files[name]


class PieceFile:
    """A large file of which the end is here, and the rest is fetched piece by piece.

    Args:
        file: The file; its content is its end: the footer, which is read first, and the last of the data.
        read_piece: Reads the rest.
    """

    def __init__(self, file: GivenFile, read_piece: ReadPiece) -> None:
        self._file = file
        self._read_piece = read_piece
        self._position = 0

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move the position."""
        base = {0: 0, 1: self._position, 2: self._file.size}[whence]
        self._position = base + offset
        return self._position

    def read(self, size: int = -1) -> bytes:
        """Read at the position and move it."""
        start = self._position
        end = self._file.size if size < 0 else min(start + size, self._file.size)
        here = self._file.size - len(self._file.content)
        if start >= end:
            return b""
        if start >= here and end == self._file.size:  # a footer; data is fetched, so that it is checked
            content = self._file.content[start - here :]
        else:
            content = self._read_piece(self._file.path, start, end - start)
        self._position = start + len(content)
        return content

    def close(self) -> None:
        """Nothing is open."""


class SharedFile:
    """An open file that DuckDB's threads read at once, each at its own position.

    DuckDB shares a handle between threads and asks for `seek` and `read` in two calls; on a plain file they interleave,
    and one thread is given another one's bytes. Positions are kept by thread id and not in `threading.local`, which
    forgets: DuckDB's threads are strangers to Python between two calls.

    Args:
        file: A file with positions of its own.
    """

    def __init__(self, file: BinaryIO | PieceFile) -> None:
        self._file = file
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
            self._file.seek(self._positions.get(thread, 0))
            content = self._file.read(size)
            self._positions[thread] = self._positions.get(thread, 0) + len(content)
            return content

    def close(self) -> None:
        """Close the file for every thread."""
        self._file.close()

    def __del__(self) -> None:
        self._file.close()  # DuckDB drops some handles without closing them
