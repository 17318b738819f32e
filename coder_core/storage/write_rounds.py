"""A write that fails for no lasting reason is tried again: on a flaky disk or network share most writes get through.

A full disk, a read-only one and missing rights do not pass by waiting and are told at once. S3 is left to its own
client, which knows its error codes. The answer of a failed write may have been lost after the write: whoever creates a
file and finds it there in a later round has perhaps made it himself.
"""

import errno
import time
from collections.abc import Callable

from coder_core.storage.addresses import Address

ROUNDS = 3
PAUSE_SECONDS = 0.2
"""Before the second round; doubled before the third."""
_LASTING_CLASSES = (FileExistsError, FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)
_LASTING_CODES = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.ENAMETOOLONG, errno.ELOOP})


def write_in_rounds(place: Address, write: Callable[[], object]) -> None:
    """Call `write` until it succeeds.

    Raises:
        FileExistsError: The file is there; `args` tell in which round that was found, from 1.
        OSError: Whatever the last round said.
    """
    rounds = 1 if place.protocol == "s3" else ROUNDS
    for number in range(1, rounds + 1):
        try:
            write()
        except FileExistsError as error:
            raise FileExistsError(number) from error
        except OSError as error:
            is_lasting = isinstance(error, _LASTING_CLASSES) or error.errno in _LASTING_CODES
            if is_lasting or number == rounds:
                raise
            time.sleep(PAUSE_SECONDS * 2 ** (number - 1))
        else:
            return
