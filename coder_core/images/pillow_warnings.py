"""Keep what Pillow says to the screen away while images are decoded: what matters of it becomes a reason.

Pillow warns of a damaged tag, an odd palette, a large image. `warnings.catch_warnings` swaps the filters of the whole
process and puts back what it found, so two threads that decode at once would undo each other's. Here one filter is
shared by all threads and goes with the last of them. Pillow's log says nothing that an exception does not say. The TIFF
library below Pillow writes to the process's standard error by itself; its own switch is turned off, where the library
is found.
"""

import contextlib
import ctypes
import logging
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

_FILTER = ("ignore", None, Warning, re.compile(r"(PIL|pillow_heif)\."), 0)
_lock = threading.Lock()
_holders = 0


@contextmanager
def without_pillow_warnings() -> Iterator[None]:
    """Ignore warnings of Pillow's modules inside the block, in any number of threads at once."""
    global _holders
    _silence_logs()
    with _lock:
        _holders += 1
        if _FILTER not in warnings.filters:
            warnings.filters.insert(0, _FILTER)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        with _lock:
            _holders -= 1
            if not _holders and _FILTER in warnings.filters:
                warnings.filters.remove(_FILTER)  # type: ignore[attr-defined]


@cache
def _silence_logs() -> None:
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    _silence_libtiff()


def _silence_libtiff() -> None:
    """Unset libtiff's handlers of errors and warnings (TIFFSetErrorHandler(3)): Pillow hands errors on by itself."""
    maps = Path("/proc/self/maps")
    mapped = maps.read_text("utf-8", "replace").splitlines() if maps.is_file() else []
    for path in {line.split(maxsplit=5)[-1] for line in mapped if "/libtiff" in line}:
        with contextlib.suppress(OSError, AttributeError):
            library = ctypes.CDLL(path)
            for set_handler in (library.TIFFSetErrorHandler, library.TIFFSetWarningHandler):
                set_handler.restype, set_handler.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
                set_handler(None)
