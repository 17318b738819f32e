"""Phrases that are there twice: in one class, or in several."""

from collections import Counter
from collections.abc import Iterator

from coder_core.classes import ClassList
from coder_core.review.issues import IssueKind, TextIssue, issue_of
from coder_core.texts.bank import TextBank
from coder_core.texts.edits import phrase_key
from coder_core.texts.kinds import TextKind
from coder_core.texts.slots import CLASS_SLOT_KINDS, TextSlot

__all__ = ["find_duplicates", "find_shared"]


def find_duplicates(bank: TextBank, classes: ClassList) -> list[TextIssue]:
    """Find phrases that one class has more than once, up to case and white space, whatever their kinds.

    One-to-one phrases are compared within their pair only: a class may differ from many rivals in the same way.

    Returns:
        One row per repeated phrase, at its first place; `value` says how often it is there.
    """
    return [
        issue_of(IssueKind.DUPLICATE, slot, classes.names, text=phrase, value=float(times))
        for group in _groups(bank)
        for slot, phrase, times in _repeated(group)
    ]


def find_shared(bank: TextBank, classes: ClassList) -> list[TextIssue]:
    """Find attributes that several classes have, up to case and white space.

    Returns:
        One row per class and such phrase; `value` says how many classes have it, and the other class is the first of
        them (for that one the second).
    """
    owners: dict[str, dict[int, str]] = {}
    for class_id, texts in enumerate(bank.classes):
        for phrase in texts.attributes:
            owners.setdefault(phrase_key(phrase), {}).setdefault(class_id, phrase)
    shared = [phrases for phrases in owners.values() if len(phrases) > 1]
    rows = [
        issue_of(
            IssueKind.SHARED,
            TextSlot(TextKind.ATTRIBUTE, class_id),
            classes.names,
            text=phrase,
            other_class_id=next(other for other in phrases if other != class_id),
            value=float(len(phrases)),
        )
        for phrases in shared
        for class_id, phrase in phrases.items()
    ]
    return sorted(rows, key=lambda row: row.class_id)


def _groups(bank: TextBank) -> Iterator[list[tuple[TextSlot, str]]]:
    """Phrases that must not repeat each other: those of a class, and those of a pair; with repetitions."""
    for class_id, texts in enumerate(bank.classes):
        yield [
            (TextSlot(kind, class_id), phrase)
            for kind, field in CLASS_SLOT_KINDS.items()
            for phrase in getattr(texts, field)
        ]
    for pair, phrases in bank.one_to_one.items():
        yield [(TextSlot(TextKind.ONE_TO_ONE, *pair), phrase) for phrase in phrases]


def _repeated(group: list[tuple[TextSlot, str]]) -> Iterator[tuple[TextSlot, str, int]]:
    times = Counter(phrase_key(phrase) for _, phrase in group)
    if len(times) == len(group):
        return
    for slot, phrase in group:
        if (count := times.pop(phrase_key(phrase), 0)) > 1:
            yield slot, phrase, count
