"""A file system on which a process dies: a real fsspec implementation in memory, registered as `killing://`.

Every operation that changes something is counted; at the chosen one the process is killed, before it is done or after.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any, ClassVar

import fsspec
from fsspec.implementations.memory import MemoryFileSystem

PROTOCOL = "killing"


class KilledError(BaseException):
    """What a kill is to the code: nothing that it catches."""


class Death:
    """When to die.

    Args:
        at: The so-manieth operation; 0 for never.
        is_after: Whether the operation is done before.
    """

    def __init__(self, at: int = 0, *, is_after: bool = False) -> None:
        self.at, self.is_after = at, is_after
        self.operations = 0
        self._lock = Lock()

    @contextmanager
    def watch(self) -> Iterator[None]:
        with self._lock:
            self.operations += 1
            is_dead = self.at and self.operations > self.at
            is_chosen = self.operations == self.at
        if is_dead or (is_chosen and not self.is_after):
            raise KilledError
        yield
        if is_chosen:
            raise KilledError


class KillingFileSystem(MemoryFileSystem):
    """Files in memory, and a death."""

    protocol = PROTOCOL
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    death: ClassVar[Death] = Death()

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **options: Any) -> None:
        with self.death.watch():
            super().pipe_file(path, value, mode=mode, **options)

    def rm_file(self, path: str) -> None:
        with self.death.watch():
            super().rm_file(path)


fsspec.register_implementation(PROTOCOL, KillingFileSystem, clobber=True)


@contextmanager
def dying(death: Death) -> Iterator[Death]:
    """Let the process die inside the block, which survives it."""
    KillingFileSystem.death = death
    try:
        yield death
    except KilledError:
        pass
    finally:
        KillingFileSystem.death = Death()


def snapshot() -> dict[str, bytes]:
    """All files."""
    return {path: file.getvalue() for path, file in KillingFileSystem.store.items()}


def restore(files: dict[str, bytes]) -> None:
    """Put all files back as they were."""
    KillingFileSystem.store.clear()
    for path, content in files.items():
        MemoryFileSystem.pipe_file(fsspec.filesystem(PROTOCOL), path, content)
