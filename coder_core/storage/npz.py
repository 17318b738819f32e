"""Arrays of an `.npz` archive, checked before they are read.

An archive says itself how large its arrays are, and may lie: a header of a hundred bytes can ask for ten terabytes, a
megabyte of zeros unpacks to ten gigabytes. So each array's header is parsed here (numpy evaluates it as Python), its
declared size is held against that of its member and against limits, and only then is memory taken. Members that nobody
asked for are not read. Nothing is ever unpickled: an array of Python objects is refused, because loading it would run
code from the file. Format: numpy.lib.format, versions 1.0 to 3.0.
"""

import math
import re
import struct
import zipfile
from collections.abc import Sequence
from typing import IO, NamedTuple

import numpy as np

from coder_core.errors import FeatureFileError
from coder_core.limits import limit
from coder_core.storage.read_rounds import may_pass

MAX_ARRAY_BYTES = limit("CODER_MAX_ARRAY_BYTES", 8 * 2**30)
"""All arrays that are read from one file: 1.3 million vectors of 1,536 float32 are 7.9 GB."""

MAX_EXPANSION = limit("CODER_MAX_ARRAY_EXPANSION", 100)
"""How many times its packed size a large array may have: numbers that a model computed shrink to a half at best."""
SMALL_BYTES = 256 * 2**20
"""Below this an array may shrink as it likes, as sorted labels do."""

MAX_EMPTY_ROWS = 1_000_000
"""Rows that an array without any value may declare: they cost nothing in the file, and memory when they are counted."""

MAX_DIMENSIONS = 8
_MAX_HEADER_BYTES = 16_384
_MAGIC = b"\x93NUMPY"
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_CHUNK_BYTES = 16 * 2**20

_DTYPE = re.compile(r"""['"]descr['"]\s*:\s*['"]([<>|=]?[biufcSU]\d{1,9})['"]""")
_OBJECT = re.compile(r"""['"]descr['"]\s*:\s*['"][<>|=]?O""")
_ORDER = re.compile(r"""['"]fortran_order['"]\s*:\s*(True|False)""")
_SHAPE = re.compile(r"""['"]shape['"]\s*:\s*\(([\d\s,L]*)\)""")

REMEDY = "Write it with numpy.savez(path, name=array, ...)."
_ARRAY_REMEDY = "Write numbers or fixed-width strings (array.astype(str)); Python objects are never loaded."


class ArrayHeader(NamedTuple):
    """What an array says about itself.

    Args:
        dtype: Numbers, booleans, or texts of fixed width.
        is_fortran: Whether columns lie together.
        shape: Its dimensions.
        header_bytes: Length of the header in the file.
    """

    dtype: np.dtype
    is_fortran: bool
    shape: tuple[int, ...]
    header_bytes: int

    @property
    def data_bytes(self) -> int:
        """Bytes of its values."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_arrays(file: IO[bytes], names: Sequence[str], place: str) -> dict[str, np.ndarray]:
    """Read named arrays of an open `.npz` archive.

    Args:
        file: The archive, seekable; only its directory and the named members are read.
        names: Arrays, without `.npy`.
        place: Where the archive is, for messages.

    Raises:
        FeatureFileError: It is no such archive, is damaged, lacks an array or has it twice; an array holds Python
            objects or records, declares another size than it has, or is past a limit.
    """
    try:
        archive = zipfile.ZipFile(file)
    except Exception as error:  # zipfile's parser raises whatever damaged bytes lead it to
        if may_pass(error):  # the disk or the network speaks, and not the file
            raise
        raise FeatureFileError(_why_no_archive(file), place, REMEDY) from error
    with archive:
        members = [_member(archive, name, place) for name in names]
        if (total := sum(member.file_size for member in members)) > MAX_ARRAY_BYTES:
            raise FeatureFileError(
                f"The arrays have {total} bytes, more than {MAX_ARRAY_BYTES} (MAX_ARRAY_BYTES).",
                place,
                "Split the file.",
            )
        return {name: _read_member(archive, member, place) for name, member in zip(names, members, strict=True)}


def parse_header(head: bytes) -> ArrayHeader:
    """Parse the header of an array.

    Args:
        head: The first bytes of the array, at least the whole header.

    Raises:
        ValueError: It is no header, or one of an array that is not read; says why.
    """
    if head[:6] != _MAGIC or len(head) < 12:
        raise ValueError("it does not begin as an array does")
    wide = head[6] >= 2
    size = struct.unpack_from("<I" if wide else "<H", head, 8)[0]
    start = 12 if wide else 10
    if size > _MAX_HEADER_BYTES or start + size > len(head):
        raise ValueError(f"its header of {size} bytes is too long, or cut")
    text = head[start : start + size].decode("utf-8", "replace")
    found = [pattern.search(text) for pattern in (_DTYPE, _ORDER, _SHAPE)]
    if _OBJECT.search(text):
        raise ValueError("it holds Python objects")
    if None in found:
        raise ValueError(f"its header cannot be parsed: {' '.join(text.split())[:80]!r}")
    descr, order, dimensions = (match.group(1) for match in found if match)
    dtype, shape = np.dtype(descr), tuple(int(part.strip("L")) for part in dimensions.split(",") if part.strip(" \tL"))
    _check_shape(dtype, shape)
    return ArrayHeader(dtype, order == "True", shape, start + size)


def _check_shape(dtype: np.dtype, shape: tuple[int, ...]) -> None:
    if len(shape) > MAX_DIMENSIONS:
        raise ValueError(f"it has {len(shape)} dimensions, more than {MAX_DIMENSIONS}")
    if not dtype.itemsize or (0 in shape and max(shape) > MAX_EMPTY_ROWS):
        raise ValueError(f"it has shape {shape} of {dtype} and no value")


def _why_no_archive(file: IO[bytes]) -> str:
    file.seek(0)
    is_bare = file.read(len(_MAGIC)) == _MAGIC
    return "This is one bare array (.npy) and not an .npz archive." if is_bare else "This is not an .npz archive."


def _member(archive: zipfile.ZipFile, name: str, place: str) -> zipfile.ZipInfo:
    found = [info for info in archive.infolist() if info.filename == f"{name}.npy"]
    if len(found) > 1:
        raise FeatureFileError(f"The array {name!r} is there {len(found)} times.", place, "Write the file again.")
    if not found:
        held = [info.filename.removesuffix(".npy") for info in archive.infolist() if info.filename.endswith(".npy")]
        if not held and any(info.filename.endswith("/data.pkl") for info in archive.infolist()):
            raise FeatureFileError("This is a file of torch.save and not an .npz archive.", place, "Name it *.pt.")
        more = f" and {len(held) - 20} others" if len(held) > 20 else ""
        shown = ", ".join(f"{other:.80}" for other in held[:20])
        raise FeatureFileError(f"There is no array {name!r}.", place, f"It holds: {shown or 'no array'}{more}.")
    return found[0]


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, place: str) -> np.ndarray:
    name = member.filename.removesuffix(".npy")
    try:
        _check_member(member)
        with archive.open(member) as stream:
            head = stream.read(min(member.file_size, _MAX_HEADER_BYTES + 12))
        header = parse_header(head)
        if header.header_bytes + header.data_bytes != member.file_size:
            raise ValueError(
                f"it declares shape {header.shape} of {header.dtype}, {header.data_bytes} bytes, and has "
                f"{member.file_size - header.header_bytes}"
            )
        with archive.open(member) as stream:
            stream.read(header.header_bytes)
            return _read_values(stream, header)
    except Exception as error:  # as above; and zlib's, struct's and numpy's own
        reason = " ".join(str(error).split()) or type(error).__name__
        raise FeatureFileError(f"The array {name!r} cannot be read ({reason:.300}).", place, _ARRAY_REMEDY) from error


def _check_member(member: zipfile.ZipInfo) -> None:
    if member.compress_type not in _METHODS or member.flag_bits & 1:
        raise ValueError("it is packed or encrypted in a way that numpy.savez does not write")
    if member.file_size > max(SMALL_BYTES, MAX_EXPANSION * member.compress_size):
        raise ValueError(
            f"it expands from {member.compress_size} to {member.file_size} bytes, more than {MAX_EXPANSION}-fold "
            "(MAX_EXPANSION)"
        )


def _read_values(stream: IO[bytes], header: ArrayHeader) -> np.ndarray:
    array = np.empty(math.prod(header.shape), dtype=header.dtype)
    values = array.view(np.uint8)
    done = 0
    while done < header.data_bytes:
        chunk = stream.read(min(_CHUNK_BYTES, header.data_bytes - done))
        if not chunk:
            raise ValueError("its data end too early")
        values[done : done + len(chunk)] = np.frombuffer(chunk, dtype=np.uint8)
        done += len(chunk)
    if stream.read(1):  # also makes zipfile compare the checksum
        raise ValueError("there is more behind its data")
    return array.reshape(header.shape, order="F" if header.is_fortran else "C")
