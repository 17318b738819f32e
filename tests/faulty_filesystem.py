"""A file system that fails on purpose: a real fsspec implementation, registered as `faulty://`, whose writes and reads
go wrong.

Like an object store it takes a file whole or not at all; unlike one, it may lose the answer after it has taken it.
"""

import errno
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import fsspec
from fsspec.implementations.memory import MemoryFileSystem

from coder_core.storage import read_rounds, write_rounds

PROTOCOL = "faulty"


class Faults:
    """What goes wrong, and what has been asked for.

    Args:
        every: Each so-manieth write fails, in turn before and after it is done; 0 for none.
        is_read_only: Every write is refused.
        space_bytes: How much there is room for; None for no end.
        failing_reads: Share of reads and look-ups whose connection is reset, at random.
    """

    def __init__(
        self,
        *,
        every: int = 0,
        is_read_only: bool = False,
        space_bytes: int | None = None,
        failing_reads: float = 0.0,
    ) -> None:
        self.every, self.is_read_only, self.space_bytes = every, is_read_only, space_bytes
        self.failing_reads, self._chance = failing_reads, random.Random(0)
        self.writes = self.failures = self.reads = 0

    def before_read(self) -> None:
        self.reads += 1
        if self.failing_reads and self._chance.random() < self.failing_reads:
            self.failures += 1
            raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")

    def before(self, size: int) -> None:
        self.writes += 1
        if self.is_read_only:
            raise OSError(errno.EROFS, "Read-only file system")
        if self.space_bytes is not None and size > self.space_bytes:
            raise OSError(errno.ENOSPC, "No space left on device")
        if self._is_chosen and self.writes // self.every % 2:
            self.failures += 1
            raise OSError(errno.EIO, "Input/output error")

    def after(self, size: int) -> None:
        if self.space_bytes is not None:
            self.space_bytes -= size
        if self._is_chosen and not self.writes // self.every % 2:
            self.failures += 1
            raise OSError(errno.EIO, "Input/output error, after the write")

    @property
    def _is_chosen(self) -> bool:
        return bool(self.every) and self.writes % self.every == 0


class FaultyFileSystem(MemoryFileSystem):
    """Files in memory, with faults."""

    protocol = PROTOCOL
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    faults: ClassVar[Faults] = Faults()

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **options: Any) -> None:
        self.faults.before(len(value))
        super().pipe_file(path, value, mode=mode, **options)
        self.faults.after(len(value))

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **options: Any) -> Any:
        self.faults.before_read()
        return super().cat_file(path, start=start, end=end, **options)

    def info(self, path: str, **options: Any) -> Any:
        self.faults.before_read()
        return super().info(path, **options)

    def find(self, path: str, *places: Any, **options: Any) -> Any:
        self.faults.before_read()
        return super().find(path, *places, **options)

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        self.faults.before_read()
        return super()._open(path, mode=mode, **options)


fsspec.register_implementation(PROTOCOL, FaultyFileSystem, clobber=True)


@contextmanager
def disturbed(faults: Faults) -> Iterator[Faults]:
    """Let writes and reads go wrong inside the block, and do not wait between rounds."""
    pause, pauses = write_rounds.PAUSE_SECONDS, read_rounds.PAUSES
    FaultyFileSystem.faults, write_rounds.PAUSE_SECONDS = faults, 0.0
    read_rounds.PAUSES = (0.0, 0.0, 0.0)
    try:
        yield faults
    finally:
        FaultyFileSystem.faults, write_rounds.PAUSE_SECONDS = Faults(), pause
        read_rounds.PAUSES = pauses
