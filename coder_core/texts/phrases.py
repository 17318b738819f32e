"""One phrase: a plain string that may also know where it came from.

`Phrase` IS a string, so that a bank can be written with ordinary strings and every consumer reads strings; who wants
the provenance asks `source_of`. Provenance is not identity: two phrases are equal when their characters are.
"""

from collections.abc import Iterable

__all__ = ["DEFAULT_SOURCE", "Phrase", "clean_phrase", "source_of", "unique_phrases"]

DEFAULT_SOURCE = "file"


class Phrase(str):
    """A string with a source: `"file"`, `"human"`, `"wordnet"`, `"llm:<model>"`."""

    source: str

    def __new__(cls, text: str, source: str = DEFAULT_SOURCE) -> "Phrase":
        """Make the string and attach its source."""
        phrase = super().__new__(cls, text)
        phrase.source = source
        return phrase


def source_of(phrase: str) -> str:
    """Tell where a phrase came from; a plain string came from a file."""
    return phrase.source if isinstance(phrase, Phrase) else DEFAULT_SOURCE


def clean_phrase(phrase: str) -> str:
    """Strip the ends and make every inner run of white space one blank; the source is kept."""
    return Phrase(" ".join(phrase.split()), source_of(phrase))


def unique_phrases(phrases: Iterable[str]) -> tuple[str, ...]:
    """Clean phrases and keep the first of those that differ in case only, in order."""
    first_of: dict[str, str] = {}
    for phrase in phrases:
        cleaned = clean_phrase(phrase)
        first_of.setdefault(cleaned.casefold(), cleaned)
    return tuple(first_of.values())
