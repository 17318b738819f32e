"""Texts that leak another class's name: a description of the tench that mentions "shark" pulls shark images over.

Names are found as whole words (`words_of`), the longest first, and a word belongs to one finding only: in "like a great
white shark" the class *great white shark* is named, and not *shark*. A class's own names are never a leak: its name
(also when another class is called so), its synonyms, and, in one-to-one texts, its rival's name.
"""

from collections.abc import Collection, Iterator

from coder_core.classes import ClassList
from coder_core.review.issues import IssueKind, TextIssue
from coder_core.texts.bank import TextBank, phrases_by_slot
from coder_core.texts.mentions import Words, words_of

__all__ = ["find_leaks"]


def find_leaks(bank: TextBank, classes: ClassList) -> list[TextIssue]:
    """Find phrases that name another class.

    Args:
        bank: The phrases.
        classes: Their class list.

    Returns:
        One row per phrase and class named in it (its first id, where several classes have the name), in the order of
        the bank. The cost grows with the number of words, not with the number of classes.
    """
    owners: dict[Words, list[int]] = {}
    for class_id, name in enumerate(classes):
        owners.setdefault(words_of(name), []).append(class_id)
    owners.pop((), None)
    synonyms = [{words_of(synonym) for synonym in texts.synonyms} for texts in bank.classes]
    lengths = sorted({len(words) for words in (*owners, *(words for own in synonyms for words in own))}, reverse=True)
    issues = []
    for slot, phrases in phrases_by_slot(bank).items():
        own = synonyms[slot.class_id]
        for phrase in phrases:
            for words in _mentions(words_of(phrase), owners, own, lengths):
                named = owners[words]
                if slot.class_id not in named and slot.rival_id not in named:
                    issue = TextIssue(IssueKind.LEAK, *slot, text=str(phrase), other_class_id=named[0])
                    issues.append(issue._replace(other_text=" ".join(words)))
    return list(dict.fromkeys(issues))


def _mentions(
    words: Words, owners: Collection[Words], synonyms: Collection[Words], lengths: list[int]
) -> Iterator[Words]:
    """Names of classes in a text, the longest at every place; a synonym takes its words and is no finding."""
    start = 0
    while start < len(words):
        spans = (words[start : start + length] for length in lengths)
        found = next((span for span in spans if span in owners or span in synonyms), ())
        if found in owners and found not in synonyms:
            yield found
        start += len(found) or 1
