"""How many values the columns of a Parquet file declare, read from its footer without Arrow.

A page of a few bytes can stand for two thousand million equal values, so the number of values has to be known before
anything is read. Arrow knows it, but ends the whole process when it is asked for the metadata of a column in a damaged
footer (26.0: an uncaught C++ exception), so the few fields needed are parsed here. Format: Apache Parquet,
`FileMetaData` in Thrift's compact protocol.
"""

import struct
from collections.abc import Callable, Mapping
from typing import IO, Any, NamedTuple

MAX_FOOTER_BYTES = 64 * 2**20
MAX_DEPTH = 16
_MAGIC = b"PAR1"
_NUM_ROWS, _ROW_GROUPS = 3, 4
_COLUMNS, _META_DATA = 1, 3
_PATH, _NUM_VALUES, _UNCOMPRESSED_BYTES = 3, 5, 6


class ParquetFooter(NamedTuple):
    """What a file declares.

    Args:
        rows: Rows of all row groups.
        columns: One entry per column chunk: its path (the column's name first), its values, its bytes unpacked.
    """

    rows: int
    columns: tuple[tuple[tuple[str, ...], int, int], ...]


def read_footer(file: IO[bytes]) -> ParquetFooter:
    """Read the footer of an open file.

    Raises:
        ValueError: It is no Parquet file, or its footer is damaged.
    """
    size = file.seek(0, 2)
    if size < 12:
        raise ValueError(f"it has {size} bytes only")
    file.seek(size - 8)
    (length,), magic = struct.unpack("<I", file.read(4)), file.read(4)
    if magic != _MAGIC or length > min(size - 12, MAX_FOOTER_BYTES):
        raise ValueError(f"it ends in {magic!r}, and its footer has {length} of {size} bytes")
    file.seek(size - 8 - length)
    try:
        metadata = _CompactReader(file.read(length)).read_struct(0)
        chunks = [chunk for group in metadata[_ROW_GROUPS] for chunk in group[_COLUMNS]]
        return ParquetFooter(int(metadata[_NUM_ROWS]), tuple(_declared(chunk[_META_DATA]) for chunk in chunks))
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"its footer is damaged ({type(error).__name__})") from error


def _declared(metadata: Mapping[int, Any]) -> tuple[tuple[str, ...], int, int]:
    path = tuple(part.decode("utf-8", "replace") for part in metadata[_PATH])
    return path, int(metadata[_NUM_VALUES]), int(metadata[_UNCOMPRESSED_BYTES])


class _CompactReader:
    """Thrift's compact protocol: structs as mappings of field numbers, lists as lists, texts as bytes."""

    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, 0
        self._readers: Mapping[int, Callable[[int], Any]] = {
            1: lambda _depth: True,
            2: lambda _depth: False,
            3: lambda _depth: self._take(1)[0],
            4: lambda _depth: self._read_integer(),
            5: lambda _depth: self._read_integer(),
            6: lambda _depth: self._read_integer(),
            7: lambda _depth: struct.unpack("<d", self._take(8))[0],
            8: lambda _depth: self._take(self._read_varint()),
            9: self._read_list,
            10: self._read_list,
            11: self._read_map,
            12: self.read_struct,
        }

    def read_struct(self, depth: int) -> dict[int, Any]:
        fields: dict[int, Any] = {}
        number = 0
        while header := self._take(1)[0]:
            delta, kind = header >> 4, header & 15
            number = number + delta if delta else self._read_integer()
            fields[number] = self._read(kind, depth)
        return fields

    def _read_list(self, depth: int) -> list[Any]:
        header = self._take(1)[0]
        size, kind = header >> 4, header & 15
        size = self._read_varint() if size == 15 else size
        if kind in (1, 2):  # in a list a boolean takes a byte
            return list(self._take(size))
        if size > len(self._content) - self._at:
            raise IndexError(size)
        return [self._read(kind, depth) for _ in range(size)]

    def _read_map(self, depth: int) -> dict[Any, Any]:
        size = self._read_varint()
        kinds = self._take(1)[0] if size else 0
        if size > len(self._content) - self._at:
            raise IndexError(size)
        return {self._read(kinds >> 4, depth): self._read(kinds & 15, depth) for _ in range(size)}

    def _read(self, kind: int, depth: int) -> Any:
        if depth >= MAX_DEPTH:
            raise ValueError(f"its footer is nested deeper than {MAX_DEPTH} levels")
        return self._readers[kind](depth + 1)

    def _read_integer(self) -> int:
        value = self._read_varint()
        return (value >> 1) ^ -(value & 1)

    def _read_varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._take(1)[0]
            value |= (byte & 0x7F) << shift
            if not byte & 0x80:
                return value
            shift += 7
            if shift > 63:
                raise ValueError("its footer holds a number of more than 64 bits")

    def _take(self, size: int) -> bytes:
        taken = self._content[self._at : self._at + size]
        if len(taken) < size:
            raise IndexError(size)
        self._at += size
        return taken
