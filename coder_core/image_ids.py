"""Ids of images by the million: their characters in one block of memory, instead of an object for each.

Ten million ids of nine characters take 130 MB here and a gigabyte as a tuple of texts. What lists images sorts them, as
a rule, and then ids are compared and found block by block; in any other order they are looked up one by one.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Self, overload

import numpy as np
from jaxtyping import Int, Int64, UInt8
from numpy.typing import NDArray

from coder_core.loops import each

__all__ = ["ImageIds", "RowNumbers"]

BLOCK_ROWS = 65_536
"""Ids that are compared at a time."""
DIGITS = 9
"""Of a row's number."""
LONGEST = 1024
"""Bytes of an id up to which ids are compared in blocks: a block of longer ones would take too much memory."""


class ImageIds(Sequence[str]):
    """A sequence of texts that does not change. Equal to every sequence of the same texts.

    Args:
        characters: UTF-8, one text after the other.
        bounds: Where each begins, and at last where the last one ends; ascending.
    """

    def __init__(self, characters: UInt8[np.ndarray, " characters"], bounds: Int[np.ndarray, " bounds"]) -> None:
        self._characters, self._bounds = characters, bounds

    @classmethod
    def of(cls, texts: Iterable[str]) -> Self:
        """Take texts over."""
        encoded = [text.encode("utf-8") for text in texts]
        lengths = np.fromiter((len(text) for text in encoded), dtype=np.int64, count=len(encoded))
        return cls(np.frombuffer(b"".join(encoded), dtype=np.uint8), _bounds(lengths))

    @classmethod
    def join(cls, pieces: Sequence["ImageIds"]) -> Self:
        """Put sequences one after the other."""
        size = sum(len(piece._held) for piece in pieces)
        characters = np.empty(size, dtype=np.uint8)
        bounds = np.zeros(sum(map(len, pieces)) + 1, dtype=_bounds_type(size))
        row = end = 0
        for piece in pieces:  # one after the other: ten million lengths beside them would take as much memory again
            held = piece._held
            characters[end : end + len(held)] = held
            bounds[row + 1 : row + len(piece) + 1] = piece._bounds[1:] - piece._bounds[0] + bounds.dtype.type(end)
            row, end = row + len(piece), end + len(held)
        return cls(characters, bounds)

    def __len__(self) -> int:
        return len(self._bounds) - 1

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> "ImageIds": ...
    def __getitem__(self, place: int | slice) -> "str | ImageIds":
        if isinstance(place, slice):
            start, stop, step = place.indices(len(self))
            if step != 1:
                return ImageIds.of(self[row] for row in range(start, stop, step))
            return ImageIds(self._characters, self._bounds[start : max(start, stop) + 1])
        row = range(len(self))[place]
        return bytes(self._characters[self._bounds[row] : self._bounds[row + 1]]).decode("utf-8")

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), BLOCK_ROWS):
            bounds = self._bounds[start : start + BLOCK_ROWS + 1]
            content = self._characters[bounds[0] : bounds[-1]].tobytes()
            for begin, end in pairwise((bounds - bounds[0]).tolist()):
                yield content[begin:end].decode("utf-8")

    def __eq__(self, other: object) -> bool:
        if isinstance(other, ImageIds):
            return self is other or (
                len(self) == len(other)
                and np.array_equal(self._lengths, other._lengths)
                and np.array_equal(self._held, other._held)
            )
        if isinstance(other, Sequence) and not isinstance(other, str | bytes):
            return len(self) == len(other) and all(own == text for own, text in zip(self, other, strict=True))
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]  # as a list: it is compared, and never a key

    def __repr__(self) -> str:
        shown = ", ".join(repr(text) for text in self[:3])
        return f"ImageIds({shown}{', ...' if len(self) > 3 else ''}; {len(self)})"

    @cached_property
    def is_ascending(self) -> bool:
        """Whether each id is greater than the one before, so that none is there twice; False where nobody knows."""
        if int(self._lengths.max(initial=0)) > LONGEST or not self._held.all():  # a zero is what blocks are filled with
            return False
        for start in range(0, len(self), BLOCK_ROWS):
            block = self._block(max(0, start - 1), start + BLOCK_ROWS)  # with the last one of the block before
            if not (block[:-1] < block[1:]).all():
                return False
        return True

    @property
    def is_unique(self) -> bool:
        """Whether no id is there twice."""
        return self.is_ascending or len(frozenset(self)) == len(self)

    def find(self, wanted: Sequence[str]) -> Int64[np.ndarray, " wanted"]:
        """The row of each wanted id; -1 where it is not here."""
        asked = wanted if isinstance(wanted, ImageIds) else ImageIds.of(wanted)
        if self.is_ascending and asked.is_ascending:
            rows = self._find_ascending(asked)
            if (rows >= 0).all():
                return rows
        row_of = self._row_of
        return np.array([row_of.get(text, -1) for text in each(asked, every=4096)], dtype=np.int64)

    def _find_ascending(self, wanted: "ImageIds") -> Int64[np.ndarray, " wanted"]:
        """As `find`, walking through both."""
        rows = np.full(len(wanted), -1, dtype=np.int64)
        begin, start = 0, bisect_left(self, wanted[0]) if len(wanted) else len(self)
        while begin < len(wanted) and start < len(self):
            stop = min(start + BLOCK_ROWS, len(self))
            end = min(bisect_right(wanted, self[stop - 1], lo=begin), begin + BLOCK_ROWS)
            if end > begin:
                block, asked = self._block(start, stop), wanted._block(begin, end)
                places = np.minimum(np.searchsorted(block, asked), len(block) - 1)
                rows[begin:end] = np.where(block[places] == asked, start + places, -1)
            begin, start = end, (stop if end < begin + BLOCK_ROWS else start)
        return rows

    def _block(self, start: int, stop: int) -> NDArray[np.bytes_]:
        """Some ids as texts of one width, filled up with zeros."""
        bounds = self._bounds[start : stop + 1]
        lengths, characters = np.diff(bounds), self._characters[bounds[0] : bounds[-1]]
        width = max(1, int(lengths.max(initial=0)))
        if (lengths == width).all():
            table = np.ascontiguousarray(characters).reshape(-1, width)
        else:
            table = np.zeros((len(lengths), width), dtype=np.uint8)
            table[np.arange(width) < lengths[:, None]] = characters
        return table.view(f"S{width}").reshape(-1)

    @property
    def buffers(self) -> tuple[Int[np.ndarray, " bounds"], UInt8[np.ndarray, " characters"]]:
        """Where each text begins among the characters, and the last one ends; and the characters, from the first on."""
        return self._bounds, self._characters

    @property
    def _lengths(self) -> Int[np.ndarray, " ids"]:
        return np.diff(self._bounds)

    @property
    def _held(self) -> UInt8[np.ndarray, " characters"]:
        return self._characters[self._bounds[0] : self._bounds[-1]]

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {text: row for row, text in enumerate(self)}


class RowNumbers(Sequence[str]):
    """The ids of rows that have none: their numbers, in nine digits.

    Args:
        rows: Which rows.
    """

    def __init__(self, rows: range) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> "RowNumbers": ...
    def __getitem__(self, place: int | slice) -> "str | RowNumbers":
        if isinstance(place, slice):
            return RowNumbers(self._rows[place])
        return f"{self._rows[place]:09d}"

    def __iter__(self) -> Iterator[str]:
        return (f"{row:09d}" for row in self._rows)

    def written(self) -> ImageIds:
        """The same ids, written out in one block of memory."""
        if not self._has_one_length:
            return ImageIds.of(self)
        bounds = np.arange(0, DIGITS * len(self) + 1, DIGITS, dtype=_bounds_type(DIGITS * len(self)))
        return ImageIds(self._digits().reshape(-1), bounds)

    def quoted(self) -> str:
        """The ids as JSON has them, with commas between."""
        if not self._has_one_length:
            return ",".join(f'"{text}"' for text in self)
        table = np.empty((len(self), DIGITS + 3), dtype=np.uint8)
        table[:, 0] = table[:, DIGITS + 1] = ord('"')
        table[:, 1 : DIGITS + 1] = self._digits()
        table[:, DIGITS + 2] = ord(",")
        return table.tobytes()[:-1].decode("ascii")

    @property
    def _has_one_length(self) -> bool:
        return not self._rows or (self._rows[0] < 10**DIGITS and self._rows[-1] < 10**DIGITS)

    def _digits(self) -> UInt8[np.ndarray, "rows digits"]:
        """The digits of every number, as characters."""
        left = np.arange(self._rows.start, self._rows.stop, self._rows.step, dtype=np.uint32)
        table = np.empty((len(left), DIGITS), dtype=np.uint8)
        for place in reversed(range(DIGITS)):
            tens = left // np.uint32(10)
            table[:, place] = left - tens * np.uint32(10) + np.uint32(ord("0"))
            left = tens
        return table


def _bounds(lengths: Int[np.ndarray, " ids"]) -> Int[np.ndarray, " bounds"]:
    bounds = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=bounds[1:])
    return bounds.astype(_bounds_type(int(bounds[-1])))


def _bounds_type(size: int) -> "type[np.int32 | np.int64]":
    return np.int32 if size <= np.iinfo(np.int32).max else np.int64
