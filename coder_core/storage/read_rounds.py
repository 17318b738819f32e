"""A read that fails for a reason that may pass is tried again: a connection that was reset, a disk that stuttered.

What will not pass by waiting is told at once: a file that is not there, missing rights, a port where nobody listens.
S3's own client has asked a few times before its error comes here. What is read from an open file in pieces is read in
rounds, too (`PatientFile`): from where the piece that failed began.
"""

import errno
import http.client
import io
import sys
import time
from collections.abc import Callable
from typing import Any, BinaryIO, TypeVar

__all__ = ["PAUSES", "PatientFile", "is_lasting", "may_pass", "read_in_rounds"]

PAUSES = (0.2, 1.0, 5.0)
"""Seconds before each further try: a store under load resets a connection now and then."""
LONGEST_SECONDS = 30.0
"""After so long nothing is tried again: who is silent for a minute will not speak at the fourth try either."""

_LASTING = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)
_PASSING = (ConnectionResetError, ConnectionAbortedError, BrokenPipeError, TimeoutError, http.client.IncompleteRead)
_PASSING_CODES = frozenset(
    {
        *(errno.EIO, errno.EAGAIN, errno.EINTR, errno.EBUSY, errno.ESTALE, errno.ETIMEDOUT, errno.ECONNRESET),
        *(errno.ECONNABORTED, errno.EPIPE, errno.ENETRESET, errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.EREMOTEIO),
    }
)
_LIBRARY_CLASSES = {
    "aiohttp": ("ClientPayloadError", "ServerDisconnectedError"),
    "botocore.exceptions": ("ConnectionClosedError", "IncompleteReadError", "ResponseStreamingError"),
    "urllib3.exceptions": ("ProtocolError",),
}
_TOO_MANY_REQUESTS, _SERVER_ERROR = 429, 500

Read = TypeVar("Read")


def may_pass(error: BaseException) -> bool:
    """Tell, by its class and number, whether what failed is worth another try."""
    if isinstance(error, (*_PASSING, *_library_classes())):
        return True
    status = getattr(error, "status", None)  # of an HTTP server
    if isinstance(status, int):
        return status == _TOO_MANY_REQUESTS or status >= _SERVER_ERROR
    return isinstance(error, OSError) and error.errno in _PASSING_CODES


def is_lasting(error: BaseException) -> bool:
    """Tell whether what failed will fail again: a file that is gone stays gone."""
    return isinstance(error, _LASTING) or isinstance(error.__cause__, _LASTING)


def read_in_rounds(read: Callable[[], Read], *, is_worth_it: Callable[[BaseException], bool] = may_pass) -> Read:
    """Call `read`, and again after each of `PAUSES`, as long as its errors may pass.

    Raises:
        Exception: Whatever the last round said.
    """
    started = time.monotonic()
    for pause in PAUSES:
        try:
            return read()
        except Exception as error:
            if not is_worth_it(error) or time.monotonic() - started > LONGEST_SECONDS:
                raise
        time.sleep(pause)
    return read()


class PatientFile(io.RawIOBase):
    """A file that is open for reading, whose pieces are read in rounds.

    Args:
        source: The file; it is closed with this one.
    """

    def __init__(self, source: BinaryIO) -> None:
        self._source = source

    def read(self, size: int | None = -1, /) -> bytes:
        """Read up to `size` bytes, all that is left for -1."""
        start = self._source.tell()

        def read_from_start() -> bytes:
            if self._source.tell() != start:
                self._source.seek(start)
            return self._source.read(-1 if size is None else size)

        return read_in_rounds(read_from_start)

    def readinto(self, buffer: Any, /) -> int:
        """Read into a buffer; returns how many bytes there were."""
        view = memoryview(buffer).cast("B")
        content = self.read(len(view))
        view[: len(content)] = content
        return len(content)

    def readall(self) -> bytes:
        """Read all that is left."""
        return self.read()

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a position; returns it."""
        return self._source.seek(offset, whence)

    def tell(self) -> int:
        """The position."""
        return self._source.tell()

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always: what is read here are files."""
        return True

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            self._source.close()
        super().close()


def _library_classes() -> tuple[type[BaseException], ...]:
    """Classes of libraries that are loaded: others cannot have raised."""
    loaded = ((sys.modules.get(module), names) for module, names in _LIBRARY_CLASSES.items())
    return tuple(getattr(module, name) for module, names in loaded if module for name in names if hasattr(module, name))
