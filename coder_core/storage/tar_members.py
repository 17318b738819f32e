"""What is in a tar file, and where: members are ranges of bytes, and nothing is ever unpacked."""

import tarfile
from typing import NamedTuple

from coder_core.errors import InputError, UnfinishedInputError
from coder_core.loops import each
from coder_core.storage.addresses import redact
from coder_core.storage.input_files import open_input

_BLOCK = 512
_REMEDY = "Give plain tar files (.tar), as webdataset and img2dataset write them."


class TarMember(NamedTuple):
    """A file in a tar file: `size` bytes from `start`."""

    name: str
    start: int
    size: int


def list_members(url: str) -> list[TarMember]:
    """List the files of a tar file, in their order; links, folders and devices are left out.

    A tar file has no table of contents: all headers are read, one after the other.

    Raises:
        InputError: It is missing, no tar file, or a compressed one, of which nothing can be read by its place.
        UnfinishedInputError: It ends too early.
    """
    members: list[TarMember] = []
    with open_input(url) as source:
        try:
            # "r:" is plain tar: of a compressed one, places would be places in what it unpacks to.
            with tarfile.open(fileobj=source, mode="r:") as archive:
                members.extend(
                    TarMember(member.name, member.offset_data, member.size)
                    for member in each(archive, every=100)
                    if member.isreg() and not member.issparse()
                )
                end = archive.offset
        except tarfile.ReadError as error:
            if members:
                raise _unfinished(url, str(error)) from error
            raise InputError(f"this is no tar file ({error}).", redact(url), _REMEDY) from error
        except tarfile.TarError as error:
            raise InputError(f"this tar file is damaged ({error}).", redact(url), _REMEDY) from error
        source.seek(max(0, end - _BLOCK))
        if not source.read(2 * _BLOCK).endswith(bytes(_BLOCK)):
            raise _unfinished(url, "its end is missing")
    return members


def _unfinished(url: str, reason: str) -> UnfinishedInputError:
    return UnfinishedInputError(f"this tar file is cut off ({reason}).", redact(url), "Copy it again.")
