"""Texts that leak another class's name: a description of the tench that says "shark" pulls shark images over.

Names are found as whole words, the longest first, and a word belongs to one finding only: in "like a great white shark"
the class *great white shark* is named, and not *shark*. Case, punctuation and the plural of a word do not count. A
class's own names are never a leak: its name (also when another class is called so), its synonyms, and, in one-to-one
texts, its rival's name.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping

from coder_core.classes import ClassList
from coder_core.review.issues import IssueKind, TextIssue, issue_of
from coder_core.texts.bank import TextBank
from coder_core.texts.slots import TextSlot, phrases_by_slot

__all__ = ["find_leaks"]

Words = tuple[str, ...]

_WORD = re.compile(r"[^\W_]+")
_PLURALS = (("ies", "y"), ("sses", "ss"), ("shes", "sh"), ("ches", "ch"), ("xes", "x"), ("s", ""))
_NO_PLURAL = ("ss", "us", "is")
_SHORTEST_PLURAL = 4


def find_leaks(bank: TextBank, classes: ClassList) -> list[TextIssue]:
    """Find phrases that name another class.

    Args:
        bank: The phrases.
        classes: Their class list.

    Returns:
        One row per phrase and class named in it (its first id, where several classes have the name), in the order of
        the bank. The cost grows with the number of words, not with the number of classes.
    """
    owners = _owners_of_names(classes)
    synonyms = [{_words(synonym) for synonym in texts.synonyms} for texts in bank.classes]
    longest = max((len(words) for words in (*owners, *(words for own in synonyms for words in own))), default=0)
    issues = []
    for slot, phrases in phrases_by_slot(bank).items():
        for phrase in phrases:
            for words in _mentions(_words(phrase), owners, synonyms[slot.class_id], longest):
                if not _is_own(owners[words], slot):
                    other = owners[words][0]
                    row = issue_of(IssueKind.LEAK, slot, classes.names, text=phrase, other_class_id=other)
                    issues.append(row._replace(other_text=" ".join(words)))
    return list(dict.fromkeys(issues))


def _owners_of_names(classes: ClassList) -> dict[Words, tuple[int, ...]]:
    owners: dict[Words, tuple[int, ...]] = {}
    for class_id, name in enumerate(classes):
        if words := _words(name):
            owners[words] = (*owners.get(words, ()), class_id)
    return owners


def _is_own(owners: tuple[int, ...], slot: TextSlot) -> bool:
    return slot.class_id in owners or slot.rival_id in owners


def _mentions(
    words: Words, owners: Mapping[Words, tuple[int, ...]], synonyms: set[Words], longest: int
) -> Iterator[Words]:
    """Names of classes in a text, the longest at every place; a synonym takes its words and is no finding."""
    start = 0
    while start < len(words):
        spans = (words[start : start + length] for length in range(min(longest, len(words) - start), 0, -1))
        found = next((span for span in spans if span in owners or span in synonyms), ())
        if found in owners and found not in synonyms:
            yield found
        start += len(found) or 1


def _words(text: str) -> Words:
    composed = unicodedata.normalize("NFC", text).casefold()
    return tuple(_singular(word) for word in _WORD.findall(composed))


def _singular(word: str) -> str:
    """Cut an English plural off; wrong where a word only looks like one, but the same for both sides."""
    if len(word) < _SHORTEST_PLURAL or word.endswith(_NO_PLURAL):
        return word
    for plural, singular in _PLURALS:
        if word.endswith(plural):
            return word.removesuffix(plural) + singular
    return word
