"""Refusals: whatever a disk, a bucket or a network says becomes one error with a place, a reason and a remedy.

Exception classes decide, never their message. Libraries that are not loaded (botocore, aiohttp) cannot have raised, so
their classes are looked up only where they are already in memory. A text that held a secret is redacted, and then its
original is not chained either, because a traceback would print it.
"""

import errno
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from coder_core.errors import CoderError, StoreError
from coder_core.storage.addresses import COPY, OWN_PROTOCOLS, UnusableProtocolError, parse_address, redact

REASON_CHARACTERS = 300
REPAIR = "Run: coder-eval store verify --repair"
"""Moves what is damaged aside, so that the next run makes it again (docs/store.md)."""
EXTRAS = {"s3": "s3", "s3a": "s3"}
"""Protocol -> the extra of this package that installs its file system."""
ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
_LIBRARY_ERRORS = {
    "botocore.exceptions": ("BotoCoreError", "ClientError"),
    "aiohttp": ("ClientError",),
}
_OWN_ERRORS: tuple[type[Exception], ...] = (OSError, ImportError, ValueError, EOFError)
_OS_REMEDIES = {
    errno.ENOSPC: "Free some space there, or choose another store root.",
    errno.EROFS: "The file system is read-only: choose another store root.",
    errno.ENOTDIR: "A part of this path is a file and not a folder: choose another store root.",
    errno.EISDIR: "This path is a folder and not a file.",
}


class NotInStoreError(StoreError):
    """The store answers, and does not hold this file."""


class UnexpectedContentError(StoreError):
    """A file cannot be read as what it should be: it is damaged, or it is not the file that was expected."""


class DamagedFileError(UnexpectedContentError):
    """A file is not what was written, by its hash; it has been moved aside, or the message says why not."""


@contextmanager
def explained(url: str, error_class: type[CoderError] = StoreError) -> Iterator[None]:
    """Turn every refusal inside the block into `error_class`; a missing file of a store becomes `NotInStoreError`.

    Args:
        url: What was being read or written.
        error_class: StoreError for the store, InputError for what a user gave.
    """
    try:
        yield
    except UnusableProtocolError as error:
        raise error_class(f"{error.problem}.", redact(url), error.remedy) from error
    except (*_OWN_ERRORS, *_library_errors()) as error:
        is_missing = isinstance(error, FileNotFoundError) and error_class is StoreError
        chosen = NotInStoreError if is_missing else error_class
        reason = str(error)
        cause = error if redact(reason) == reason else None
        raise chosen(_reason(error), redact(url), _remedy(error, url)) from cause
    except Exception as error:
        if isinstance(error, CoderError) or _protocol(url) in OWN_PROTOCOLS:
            raise
        raise error_class(_reason(error), redact(url), COPY) from (error if redact(str(error)) == str(error) else None)


def _protocol(url: str) -> str:
    protocol, separator, _ = url.partition("://")
    return protocol if separator else "file"


def _library_errors() -> tuple[type[Exception], ...]:
    loaded = ((sys.modules.get(module), names) for module, names in _LIBRARY_ERRORS.items())
    return tuple(getattr(module, name) for module, names in loaded if module for name in names)


_PLAIN: Mapping[type[BaseException], str] = {
    FileNotFoundError: "there is no such file.",
    FileExistsError: "a file is in the way.",
}
"""What some errors say only by a number, or by the path that the message has anyway."""


def _reason(error: BaseException) -> str:
    text = " ".join(redact(str(error)).split())[:REASON_CHARACTERS]
    is_sentence = " " in text and getattr(error, "errno", None) is None  # as s3fs has one: which bucket, and why
    if type(error) in _PLAIN and not is_sentence:
        return _PLAIN[type(error)]
    return f"{type(error).__name__}: {text.rstrip('.')}." if text else f"{type(error).__name__}."


def _remedy(error: BaseException, url: str) -> str:
    if isinstance(error, ImportError | ValueError):
        return _library_remedy(error, url)
    if isinstance(error, FileNotFoundError):
        return f"{_missing_folder(url)}Check the path (for a bucket: its name, and that it exists)."
    if isinstance(error, PermissionError):
        return "Check the permissions of this place and the credentials in the environment."
    if isinstance(error, TimeoutError | ConnectionError) or not isinstance(error, OSError):
        return "Check the endpoint (AWS_ENDPOINT_URL), the network and the credentials in the environment."
    return _OS_REMEDIES.get(error.errno or 0, "Check that this place exists and can be written.")


def _missing_folder(url: str) -> str:
    """Name the outermost folder of a local path that is not there, which tells more than the file in it."""
    address = parse_address(url)
    parents = list(reversed(Path(address.path).parents)) if address.is_local else []
    missing = next((folder for folder in parents if not folder.exists()), None)
    return f"There is no folder {missing}. " if missing else ""


def _library_remedy(error: BaseException, url: str) -> str:
    protocol = url.partition("://")[0]
    bare = next((name for name in ENDPOINTS if os.environ.get(name) and "://" not in os.environ[name]), None)
    if not isinstance(error, ImportError) and protocol in EXTRAS and bare is not None:
        return f"Write {bare} with its scheme, such as http://{os.environ[bare]}."
    if not isinstance(error, ImportError):
        return "Use a path or a URL such as ./store, s3://bucket/prefix, gs://bucket/prefix or memory://name."
    if protocol in EXTRAS:
        return f"Run: pip install 'coder-eval[{EXTRAS[protocol]}]'"
    return f"Install the fsspec file system for {protocol}://."
