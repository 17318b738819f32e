"""From the items of an answer to phrases that fit a sentence: cleaned, bounded, each once. Pure.

"which has It is a seabird" is what users of such texts complain about; so lead-ins that the sentence says itself are
cut. Everything else a model writes is kept as it is: an instruction inside an item ("ignore all previous ...") is a
phrase like any other and reaches nothing but an encoder.
"""

import re
import unicodedata
from collections.abc import Iterable

from coder_core.atg.answer_formats import bare_text
from coder_core.atg.names import is_same_name
from coder_core.atg.thought_words import is_soliloquy
from coder_core.texts.bank import unique_phrases
from coder_core.texts.kinds import TextKind

__all__ = ["MAX_ITEMS", "MAX_NAME_WORDS", "MAX_PHRASE_CHARACTERS", "NAME_KINDS", "fit_phrases", "visible_text"]

NAME_KINDS = frozenset({TextKind.ANALOGOUS_CLASS, TextKind.SYNONYM})
"""Kinds whose items are names of things and not descriptions."""
MAX_ITEMS = 30
"""Longest list that is kept; the published banks hold at most 21 phrases of a class and kind."""
MAX_PHRASE_CHARACTERS = 200
"""CLIP reads 77 tokens, about 300 characters with the sentence around the phrase."""
MAX_NAME_WORDS = 8
"""A longer "name" is an explanation; the longest class name of ImageNet has six words."""

_NOTHING = frozenset({"none", "n/a", "na", "nothing", "no synonyms", "no other names", "null", "empty", "unknown"})
_LEAD_IN = re.compile(
    r"^(?:(?:it|they|this|these|he|she)\s+(?:usually |often |typically |also )?"
    r"(?:has|have|features?|is|are|exhibits?|displays?)|has|have|having|with|features|featuring|which has|that has)\s+",
    re.IGNORECASE,
)
_EXPLANATION = re.compile(r"\s*(?::|[\u2013\u2014]|\s-)\s.*$")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
"""The full-width forms of the ASCII signs, which number and punctuate East Asian lists."""
_MARK_RESIDUE = re.compile(r"<[|/a-z]|[|/a-z]>", re.IGNORECASE)
"""What is left of a mark that the model tore: no words of a text, "legs < 3 cm" is some."""
_PARTS = re.compile(r"[\r\n\x0b\x0c\x1c-\x1e\x85\u2028\u2029]+")


def visible_text(text: str) -> str:
    """Drop what a text must not carry into a table: lone surrogates, control signs, and signs that turn the direction.

    Line ends are kept, and the joiners that scripts need; composed and decomposed spellings become one (NFC), and
    full-width punctuation and digits become ASCII.
    """
    if text.isascii() and not _CONTROL.search(text):
        return text
    whole = text.encode("utf-8", "replace").decode("utf-8").translate(_FULL_WIDTH)
    return "".join(sign for sign in unicodedata.normalize("NFC", whole) if _is_visible(sign))


def fit_phrases(items: Iterable[str], kind: TextKind, *, names: tuple[str, ...]) -> tuple[str, ...]:
    """Clean the items of one list; what is blank, over-long or says "none" is left out, and a phrase stands once.

    Args:
        items: As found in the answer.
        kind: What they are.
        names: The class and what else must not be its own analogue or synonym.
    """
    fitted = (_fit_name(item) if kind in NAME_KINDS else _fit_description(item) for item in items)
    kept = (phrase for phrase in fitted if 0 < len(phrase) <= MAX_PHRASE_CHARACTERS and _says_something(phrase))
    phrases = unique_phrases(kept)
    if kind in NAME_KINDS:
        phrases = tuple(phrase for phrase in phrases if not any(is_same_name(phrase, name) for name in names))
    return phrases[:MAX_ITEMS]


def _fit_description(item: str) -> str:
    phrase = bare_text(_one_line(item))
    return "" if phrase.endswith("?") or is_soliloquy(phrase) else _LEAD_IN.sub("", phrase).strip()


def _fit_name(item: str) -> str:
    name = bare_text(_EXPLANATION.sub("", bare_text(_one_line(item))))
    is_name = len(name.split()) <= MAX_NAME_WORDS and not name.endswith("?") and not is_soliloquy(name)
    return name if is_name else ""


def _one_line(item: str) -> str:
    return _PARTS.sub(" ", visible_text(item))


def _says_something(phrase: str) -> bool:
    is_word = phrase.casefold() not in _NOTHING and any(sign.isalnum() for sign in phrase)
    return is_word and not _MARK_RESIDUE.search(phrase)


def _is_visible(sign: str) -> bool:
    if sign in "\n\t\u200c\u200d":
        return True
    return unicodedata.category(sign) not in {"Cc", "Cf", "Cs", "Co", "Cn"}
