"""Text as a terminal may be given it: names, answers and errors are data, and no terminal may obey them."""

import unicodedata
from typing import Any, TextIO

_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Control and formatting characters (escape sequences, marks of direction), surrogates, lines that are none."""


def printable(text: str, *, keep: str = "") -> str:
    """Show every control and formatting character as its escape.

    Args:
        text: Anything.
        keep: Characters that stay, such as a line feed.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        _escaped(char) if unicodedata.category(char) in _UNPRINTABLE and char not in keep else char for char in text
    )


class GuardedStream:
    """A terminal that is given printable text only, in lines.

    Args:
        stream: The terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write; what is no printable character is shown as its escape."""
        self._stream.write(printable(text, keep="\n\t"))
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        """Write several."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
