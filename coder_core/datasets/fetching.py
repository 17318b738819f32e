"""Fetch one published file: streamed, resumed where it broke off, within limits, verified before it counts.

What has come lies in `NAME.part` until its checksum is right; a broken connection, a Ctrl-C or a kill lose nothing of
it. The server's tag of the file is kept beside it: a file that changed meanwhile is begun anew.
"""

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

import httpx2

from coder_core.datasets.published_files import PublishedFile
from coder_core.errors import InputError
from coder_core.interruption import check_interruption
from coder_core.redaction import redact

__all__ = ["FetchLimits", "fetch"]

CHUNK_BYTES = 2**20
GIB = 2**30
SPARE_BYTES = 2**28
"""Of the disk that are left alone."""
_OK, _PARTIAL, _NOT_SATISFIABLE = 200, 206, 416
_PART, _TAG = ".part", ".tag"
_REMEDY = "What came is kept: the same command goes on from there."


class FetchLimits(NamedTuple):
    """What a file may take.

    Args:
        max_bytes: Where nobody says how large it is; else a tenth more than is said.
        max_seconds: In all.
        silent_seconds: Without a byte; then it is asked for again.
        attempts: In a row that bring nothing; a server that has never answered is asked once.
        pause_seconds: After the first of them; more after each further one.
    """

    max_bytes: int = 64 * GIB
    max_seconds: float = 24 * 3600.0
    silent_seconds: float = 30.0
    attempts: int = 4
    pause_seconds: float = 2.0


def fetch(
    file: PublishedFile,
    folder: Path,
    *,
    limits: FetchLimits | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> Path:
    """Fetch a file into a folder; one that is there, and whole, is not fetched again.

    Args:
        file: Where it is, and how to know it.
        folder: Where to; must be there.
        limits: What it may take.
        advance: Told of bytes as they come; of those that were there, once.

    Returns:
        Where it is.

    Raises:
        InputError: There is no network, the server refuses, a limit is met, the disk is full, or what came is not what
            was published; in the last case nothing of it is kept.
    """
    target = folder / file.name
    if target.is_file() and _digest(target, file.digest) == file.digest:
        advance(target.stat().st_size)
        return target
    part = target.with_name(f"{file.name}{_PART}")
    with _alone(part) as held:
        _Fetch(file, part, limits or FetchLimits(), advance).complete(held)
        _verify(file, part)
        part.replace(target)
    _tag_file(part).unlink(missing_ok=True)
    return target


class _Fetch:
    """The attempts at one file."""

    def __init__(self, file: PublishedFile, part: Path, limits: FetchLimits, advance: Callable[[int], None]) -> None:
        self._file, self._part, self._limits, self._advance = file, part, limits, advance
        self._url = redact(file.url)
        self._most = int(1.1 * file.size) + CHUNK_BYTES if file.size else limits.max_bytes
        self._end = time.monotonic() + limits.max_seconds
        self._is_reached = False
        """Whether the server has ever answered: without a network nobody should wait."""

    def complete(self, held: BinaryIO) -> None:
        """Ask until all is there; an attempt that brings something has the others forgiven."""
        self._advance(held.seek(0, 2))
        failures = 0
        while True:
            before = held.tell()
            try:
                self._attempt(held)
                return
            except httpx2.TransportError as error:
                failures = 1 if held.tell() > before else failures + 1
                if failures >= self._limits.attempts or not self._is_reached:
                    raise InputError(
                        _explain(error, held.tell()), self._url, _advice(error, self._part.parent)
                    ) from error
            except (httpx2.RequestError, httpx2.InvalidURL) as error:
                problem = f"the server leads nowhere ({type(error).__name__})."
                raise InputError(problem, self._url, "Look at the data set's page: the file may have moved.") from error
            time.sleep(min(self._limits.pause_seconds * failures, max(0.0, self._end - time.monotonic())))

    def _attempt(self, held: BinaryIO) -> None:
        """One request; returns where the file is complete."""
        start = held.tell()
        limits = httpx2.Timeout(self._limits.silent_seconds)
        with httpx2.stream(
            "GET", self._file.url, headers=self._headers(start), timeout=limits, follow_redirects=True
        ) as reply:
            self._is_reached = True
            if reply.status_code == _NOT_SATISFIABLE and start:  # all of it is here, or it is another file
                if _total_of(reply) == start:
                    return
                self._begin_anew(held)
                raise httpx2.RemoteProtocolError("what is there is longer than the file")
            if reply.status_code not in (_OK, _PARTIAL):
                problem = f"the server answers HTTP {reply.status_code}."
                raise InputError(problem, self._url, "Look at the data set's page: the file may have moved.")
            if start and not _continues(reply, start):
                self._begin_anew(held)
            self._keep_tag(reply)
            self._receive(reply, held)

    def _headers(self, start: int) -> dict[str, str]:
        plain = {"Accept-Encoding": "identity"}  # the checksum is that of the file as it lies there
        tag = _tag_file(self._part)
        known = {"If-Range": tag.read_text("ascii", "ignore")} if start and tag.is_file() else {}
        return {**plain, "Range": f"bytes={start}-", **known} if start else plain

    def _begin_anew(self, held: BinaryIO) -> None:
        self._advance(-held.tell())
        held.seek(0)
        held.truncate()

    def _keep_tag(self, reply: httpx2.Response) -> None:
        tag = reply.headers.get("etag", "")
        if tag.isascii() and tag.startswith('"'):  # a weak tag promises nothing about bytes
            _tag_file(self._part).write_text(tag, "ascii")

    def _receive(self, reply: httpx2.Response, held: BinaryIO) -> None:
        left = int(reply.headers.get("content-length") or 0)
        self._check_size(held.tell() + left)
        free = shutil.disk_usage(self._part.parent).free
        if left > free - SPARE_BYTES:
            problem = f"there are {free / GIB:.1f} GiB left on the disk, and {left / GIB:.1f} GiB to come."
            raise InputError(problem, str(self._part.parent), "Name another folder: --root.")
        for chunk in reply.iter_raw():  # as it comes: what a larger chunk waits for is lost when the connection is
            check_interruption()
            self._check_size(held.tell() + len(chunk))
            if time.monotonic() > self._end:
                problem = f"the time is up after {self._limits.max_seconds:.0f} s and {held.tell():,} bytes."
                raise InputError(problem, self._url, _REMEDY)
            held.write(chunk)
            self._advance(len(chunk))
        held.flush()

    def _check_size(self, size: int) -> None:
        if size > self._most:
            problem = f"it has {size:,} bytes or more, and {self._most:,} are expected at most."
            raise InputError(problem, self._url, "Look at the data set's page: this may be another file.")


@contextmanager
def _alone(part: Path) -> Iterator[BinaryIO]:
    """Open what has come, and let no other process write to it."""
    with part.open("ab") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError("another process is fetching this file.", str(part), "Wait for it.") from error
        try:
            yield held
        finally:
            if not os.fstat(held.fileno()).st_size:  # nothing came
                part.unlink(missing_ok=True)


def _continues(reply: httpx2.Response, start: int) -> bool:
    """Whether a reply goes on where we are."""
    return reply.status_code == _PARTIAL and reply.headers.get("content-range", "").startswith(f"bytes {start}-")


def _total_of(reply: httpx2.Response) -> int | None:
    total = reply.headers.get("content-range", "").rpartition("/")[2]
    return int(total) if total.isascii() and total.isdecimal() else None


def _tag_file(part: Path) -> Path:
    return part.with_name(f"{part.name}{_TAG}")


def _verify(file: PublishedFile, part: Path) -> None:
    found = _digest(part, file.digest)
    if found == file.digest:
        return
    size = part.stat().st_size
    part.unlink()
    _tag_file(part).unlink(missing_ok=True)
    problem = f"what came ({size:,} bytes, {found}) is not what was published ({file.digest}); it was removed."
    raise InputError(problem, redact(file.url), "Try again; or look at the data set's page, whether it was changed.")


def _digest(path: Path, like: str) -> str:
    """The checksum of a file by the algorithm of another, as `md5:...`."""
    algorithm = like.partition(":")[0]
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            check_interruption()
            digest.update(chunk)
    return f"{algorithm}:{digest.hexdigest()}"


def _explain(error: httpx2.TransportError, come: int) -> str:
    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.ProxyError):
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        return f"there is no way to this server ({reason})."
    return f"the connection broke off ({type(error).__name__}) after {come:,} bytes."


def _advice(error: httpx2.TransportError, folder: Path) -> str:
    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.ProxyError):
        return f"Check the network, and HTTPS_PROXY; or fetch the file elsewhere and put it into {folder}."
    return _REMEDY
