"""Names in answers: whether two spellings mean one thing, and whose name a headline holds.

A model writes "Lemurs" for `lemur` and "a great gray owl" for `great grey owl`; taking these for other classes would
throw good answers away, taking "Norwich terrier" for `Norfolk terrier` would keep a wrong one. So the rules are tight:
articles, case, punctuation and the plural of the last word never count, a spelling variant counts as equal only when
the texts agree by nine tenths and in every digit.
"""

import difflib
import re
import unicodedata
from collections.abc import Iterable

__all__ = ["NameSet", "is_echo", "is_same_name", "name_words"]

SPELLING_RATIO = 0.9
"""difflib ratio above which two spellings are one name: "grey"/"gray" owl 0.93, Norfolk/Norwich terrier 0.73."""

_ARTICLES = frozenset({"a", "an", "the"})
_WORD = re.compile(r"\w+")
_PARENTHESES = re.compile(r"\([^()]*\)")
_SHORT_WORD = 3


def name_words(name: str) -> tuple[str, ...]:
    """Split a name into the words that count: no case, punctuation, underscores or leading article."""
    words = _words(name)
    return tuple(words[1:] if len(words) > 1 and words[0] in _ARTICLES else words)


def is_same_name(name: str, other: str) -> bool:
    """Tell whether two names are one up to case, underscores, punctuation, article and plural."""
    words, others = name_words(name), name_words(other)
    if not words or not others or words[:-1] != others[:-1]:
        return "".join(words) == "".join(others)
    return not _singulars(words[-1]).isdisjoint(_singulars(others[-1]))


def is_echo(asked: str, echo: str) -> bool:
    """Tell whether an answer's own words for its subject mean what was asked for.

    Parentheses may be missing on one side ("kite (bird of prey)", "kite"), and a spelling variant is forgiven.
    """
    bare, bare_echo = _PARENTHESES.sub(" ", asked), _PARENTHESES.sub(" ", echo)
    if any(is_same_name(name, other) for name in (asked, bare) for other in (echo, bare_echo)):
        return True
    words, echo_words = " ".join(name_words(asked)), " ".join(name_words(echo))
    if _digits(words) != _digits(echo_words):
        return False
    return difflib.SequenceMatcher(None, words, echo_words, autojunk=False).ratio() >= SPELLING_RATIO


class NameSet:
    """Names that can be found inside a line of text, by words; singular and plural are one.

    Args:
        names: Any number; a line of 30 words costs at most 30 x (words of the longest name) look-ups.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._keys = {self.key(name) for name in names} - {()}
        self._longest = max(map(len, self._keys), default=0)

    def __contains__(self, name: str) -> bool:
        return self.key(name) in self._keys

    @staticmethod
    def key(name: str) -> tuple[str, ...]:
        """How `found_in` writes a name."""
        return tuple(_without_s(word) for word in name_words(name))

    def found_in(self, line: str) -> list[tuple[str, ...]]:
        """List the names that stand in the line as whole words, in order; one inside a longer one does not count."""
        words = tuple(_without_s(word) for word in _words(line))
        found: list[tuple[str, ...]] = []
        position = 0
        while position < len(words):
            length = self._match_at(words, position)
            if length:
                found.append(words[position : position + length])
            position += length or 1
        return found

    def _match_at(self, words: tuple[str, ...], position: int) -> int:
        for length in range(min(self._longest, len(words) - position), 0, -1):
            if words[position : position + length] in self._keys:
                return length
        return 0


def _words(text: str) -> list[str]:
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold().replace("_", " ").replace("'", ""))


def _singulars(word: str) -> set[str]:
    """Every word that this one may be the plural of, and itself."""
    forms = {word}
    if len(word) > _SHORT_WORD and word.endswith("s") and not word.endswith("ss"):
        forms.add(word[:-1])
        if word.endswith("es"):
            forms.add(word[:-2])
        if word.endswith("ies"):
            forms.add(f"{word[:-3]}y")
        if word.endswith("ves"):
            forms |= {f"{word[:-3]}f", f"{word[:-3]}fe"}
    return forms


def _without_s(word: str) -> str:
    return word[:-1] if len(word) > _SHORT_WORD and word.endswith("s") and not word.endswith("ss") else word


def _digits(text: str) -> str:
    return "".join(character for character in text if character.isdigit())
