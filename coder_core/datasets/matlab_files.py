"""Lists in MATLAB files, as some publishers wrote them before 2013: numbers, words and records, and nothing else.

scipy's reader of such files ends the whole process on some damaged ones (a segmentation fault), so the little that
these lists need is read here: level 5 of the format, of which every length is held against the bytes that are there.
Source: MathWorks, "MAT-File Format", 2019.
"""

import math
import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from coder_core.datasets.tree import Tree
from coder_core.errors import DatasetError
from coder_core.storage.addresses import redact

__all__ = ["read_numbers", "read_records", "read_words"]

MAX_UNPACKED_BYTES = 2**27
MAX_DEPTH = 6
_HEADER, _ENDIAN = 128, slice(126, 128)
_MATRIX, _COMPRESSED = 14, 15
_CELL, _STRUCT, _CHAR = 1, 2, 4
_NUMERIC = range(6, 16)
_KINDS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_ENCODINGS = {2: "latin-1", 16: "utf-8", 4: "utf-16", 17: "utf-16", 18: "utf-32"}


def read_numbers(tree: Tree, name: str, variable: str) -> list[int]:
    """The whole numbers of a variable, in order.

    Raises:
        DatasetError: The file is nowhere, is none of MATLAB's, or lacks the variable, or it holds something else.
    """
    found = _read(tree, name, variable)
    if not isinstance(found, list) or not all(isinstance(each, int | float) and each % 1 == 0 for each in found):
        raise _damaged(f"{variable!r} holds no whole numbers", tree, name)
    return [int(each) for each in found]


def read_words(tree: Tree, name: str, variable: str) -> list[str]:
    """The texts of a variable, in order.

    Raises:
        DatasetError: As for `read_numbers`.
    """
    found = _read(tree, name, variable)
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise _damaged(f"{variable!r} holds no texts", tree, name)
    return [str(each) for each in found]


def read_records(tree: Tree, name: str, variable: str) -> list[Mapping[str, object]]:
    """The records of a variable, in order; a number in a field is a list of one.

    Raises:
        DatasetError: As for `read_numbers`.
    """
    found = _read(tree, name, variable)
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise _damaged(f"{variable!r} holds no records", tree, name)
    return [each for each in found if isinstance(each, dict)]


def _read(tree: Tree, name: str, variable: str) -> object:
    content = tree.read(name)
    try:
        for called, value in _variables(content):
            if called == variable:
                return value
    except (ValueError, struct.error, zlib.error, OverflowError) as error:
        reason = " ".join(str(error).split())[:100]
        raise _damaged(f"this MATLAB file is damaged ({reason})", tree, name) from error
    raise _damaged(f"it holds no {variable!r}", tree, name)


def _damaged(problem: str, tree: Tree, name: str) -> DatasetError:
    return DatasetError(f"{problem}.", f"{redact(tree.root)}/{name}", "Fetch it again.")


class _Element(NamedTuple):
    kind: int
    content: bytes


def _variables(content: bytes) -> Iterator[tuple[str, object]]:
    """Name and value of every variable."""
    order = {b"IM": "<", b"MI": ">"}.get(content[_ENDIAN])
    if order is None:
        raise ValueError("it does not begin as such files do")
    for element in _elements(content[_HEADER:], order):
        whole = element
        if element.kind == _COMPRESSED:
            unpacker = zlib.decompressobj()
            unpacked = unpacker.decompress(element.content, MAX_UNPACKED_BYTES)
            if not unpacker.eof:
                raise ValueError(f"it ends too early, or unpacks to more than {MAX_UNPACKED_BYTES} bytes")
            whole = next(_elements(unpacked, order), element)
        if whole.kind == _MATRIX:
            yield _matrix(whole.content, order, 0)


def _elements(content: bytes, order: str) -> Iterator[_Element]:
    """The elements that follow each other, each a kind and its bytes."""
    at = 0
    while at < len(content):
        word, size = struct.unpack_from(f"{order}II", content, at)
        if word >> 16:  # up to four bytes stand in the tag itself
            kind, size, start = word & 0xFFFF, word >> 16, at + 4
            at += 8
        else:
            kind, start = word, at + 8
            at = start + size + (-size % 8 if kind != _COMPRESSED else 0)
        if start + size > len(content):
            raise ValueError("it ends too early")
        yield _Element(kind, content[start : start + size])


def _matrix(content: bytes, order: str, depth: int) -> tuple[str, object]:
    """Name and value: numbers and cells as lists, text as text, structures as lists of mappings."""
    if depth > MAX_DEPTH:
        raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels")
    parts = list(_elements(content, order))
    if len(parts) < 3:
        return "", []
    kind = struct.unpack_from(f"{order}I", parts[0].content)[0] & 0xFF
    count = math.prod(int(size) for size in np.frombuffer(parts[1].content, f"{order}i4"))
    name, rest = parts[2].content.decode("latin-1"), parts[3:]
    if kind in _NUMERIC and rest:
        return name, _numbers(rest[0], order)
    if kind == _CHAR:
        return name, _text(rest[0], order) if rest else ""
    if kind == _CELL:
        return name, [_inner(part, order, depth) for part in rest]
    if kind == _STRUCT and len(rest) >= 2:
        return name, _records(rest, count, order, depth)
    raise ValueError(f"it holds an array of kind {kind}")


def _inner(part: _Element, order: str, depth: int) -> object:
    if part.kind != _MATRIX:
        raise ValueError("a cell is no array")
    return _matrix(part.content, order, depth + 1)[1]


def _numbers(part: _Element, order: str) -> list[int | float]:
    if part.kind not in _KINDS:
        raise ValueError(f"there are no numbers of kind {part.kind}")
    found: list[int | float] = np.frombuffer(part.content, np.dtype(f"{order}{_KINDS[part.kind]}")).tolist()
    return found


def _text(part: _Element, order: str) -> str:
    if part.kind not in _ENCODINGS:
        raise ValueError(f"there is no text of kind {part.kind}")
    wide = {"<": "-le", ">": "-be"}[order] if part.kind in (4, 17, 18) else ""
    return part.content.decode(f"{_ENCODINGS[part.kind]}{wide}")


def _records(rest: list[_Element], count: int, order: str, depth: int) -> list[dict[str, object]]:
    (length,) = struct.unpack_from(f"{order}i", rest[0].content)
    names = rest[1].content
    if not 0 < length <= 256 or len(names) % length:
        raise ValueError("its fields have no names")
    fields = [names[at : at + length].partition(b"\0")[0].decode("latin-1") for at in range(0, len(names), length)]
    values = rest[2:]
    if not fields or count * len(fields) != len(values):
        raise ValueError("its records are not whole")
    width = len(fields)
    return [
        {field: _inner(values[row * width + place], order, depth) for place, field in enumerate(fields)}
        for row in range(count)
    ]
