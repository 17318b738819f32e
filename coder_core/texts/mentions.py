"""Whether a text names a class: whole words count, and neither case, punctuation nor the plural of a word."""

import re
import unicodedata
from collections.abc import Iterable

__all__ = ["Words", "is_named", "words_of"]

Words = tuple[str, ...]

_WORD = re.compile(r"[^\W_]+")
_PLURALS = (("ies", "y"), ("sses", "ss"), ("shes", "sh"), ("ches", "ch"), ("xes", "x"), ("s", ""))
_NO_PLURAL = ("ss", "us", "is")
_SHORTEST_PLURAL = 4


def words_of(text: str) -> Words:
    """The words of a text as they are compared: composed (NFC), without case, in the singular."""
    composed = unicodedata.normalize("NFC", text).casefold()
    return tuple(_singular(word) for word in _WORD.findall(composed))


def is_named(names: Iterable[str], text: str) -> bool:
    """Whether a text holds one of some names; a name without a letter or digit must stand there as it is written."""
    words = words_of(text)
    for name in names:
        wanted = words_of(name)
        starts = range(len(words) - len(wanted) + 1)
        if any(words[start : start + len(wanted)] == wanted for start in starts) if wanted else name in text:
            return True
    return False


def _singular(word: str) -> str:
    """Cut an English plural off; wrong where a word only looks like one, but the same for both sides."""
    if len(word) < _SHORTEST_PLURAL or word.endswith(_NO_PLURAL):
        return word
    for plural, singular in _PLURALS:
        if word.endswith(plural):
            return word.removesuffix(plural) + singular
    return word
