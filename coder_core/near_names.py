"""Which of the names that there are was meant: for errors about one that there is not."""

import difflib
from collections.abc import Iterable


def suggest_name(name: str, known: Iterable[str]) -> str:
    """Ask whether the nearest known name was meant, with a space behind; nothing where none is near."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"Did you mean {close[0]!r}? " if close else ""
