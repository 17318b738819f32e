"""Text for a terminal. Every cell is hostile: names and phrases come from files and from language models.

A terminal must not obey an escape sequence inside one, and a reviewer must see what is hidden in it; so control and
formatting characters are shown as their escapes, and a cell is cut to its width.
"""

import unicodedata
from collections.abc import Iterable, Sequence

__all__ = ["CELL_WIDTH", "align", "visible"]

CELL_WIDTH = 88
"""Columns of a terminal that one cell may take."""


def visible(text: object, width: int = CELL_WIDTH) -> str:
    """Show a text on one line: unprintable characters as escapes, cut to a width in terminal columns.

    A character may carry accents that take no column, but no more than one each on average.
    """
    shown = "".join(char if char.isprintable() else _escaped(char) for char in str(text))
    return shown if _columns(shown) <= width and len(shown) <= 2 * width else _cut(shown, width)


def align(rows: Iterable[Sequence[object]], *, indent: str = "  ") -> list[str]:
    """Lay rows of equal length out in columns; numbers stand right, the last column is not padded."""
    cells = [[visible(cell) for cell in row] for row in rows]
    if not cells:
        return []
    widths = [max(map(_columns, column)) for column in zip(*cells, strict=True)]
    return [indent + "  ".join(map(_padded, row, widths)).rstrip() for row in cells]


def _padded(cell: str, width: int) -> str:
    space = " " * (width - _columns(cell))
    return space + cell if cell.replace(".", "", 1).isdecimal() else cell + space


def _cut(text: str, width: int) -> str:
    kept = text[: 2 * width - 1]
    while _columns(kept) > width - 1:
        kept = kept[: min(len(kept) - 1, width)]
    return kept + "…"


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def _columns(text: str) -> int:
    return sum(
        2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text if not unicodedata.combining(char)
    )
