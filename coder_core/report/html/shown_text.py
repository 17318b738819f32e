"""Names, texts and paths as a page may show them: they come from files and language models, and may be hostile.

A browser's parser is kept off by escaping (`page`). Here is what escaping leaves: marks that turn the direction of the
text around them, control characters, lone surrogates, and names of 10,000 characters.
"""

import unicodedata

SHOWN_CHARACTERS = 80
"""Of a name where it stands; the whole of it is in its tooltip."""
WHOLE_CHARACTERS = 1000
"""Of a name in its tooltip."""
ELLIPSIS = "…"
_UNSHOWN = frozenset({"Cc", "Cs", "Cn", "Co", "Zl", "Zp"})
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")
"""Marks of direction. Letters of scripts that run from right to left stay: pages isolate each name with `<bdi>`."""


def clean(text: str) -> str:
    """Show control characters and marks of direction as their escapes; everything else stays, emoji in one piece."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        f"\\u{ord(char):04x}" if char in _TURNING or unicodedata.category(char) in _UNSHOWN else char for char in text
    )


def shorten(text: str, characters: int = SHOWN_CHARACTERS) -> str:
    """Clean a text and cut it to a number of characters, the last of which says that it was cut."""
    shown = clean(text[: characters + 1])
    return shown if len(text) <= characters and len(shown) <= characters else f"{shown[: characters - 1]}{ELLIPSIS}"


def name_pair(text: str) -> list[str]:
    """A name for the page's list of names: as shown, and whole where that says more."""
    shown, whole = shorten(text), shorten(text, WHOLE_CHARACTERS)
    return [shown] if shown == whole else [shown, whole]
