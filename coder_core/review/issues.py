"""What can be wrong with a text, one row per finding, and the findings that phrases alone show."""

from collections import Counter
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import NamedTuple

from coder_core.texts.bank import CLASS_FIELDS, PhraseKind, TextBank, TextSlot, phrase_key
from coder_core.texts.bank_checks import undescribed_classes
from coder_core.texts.kinds import TextKind

__all__ = ["ISSUES", "IssueKind", "TextIssue", "find_duplicates", "find_empty_classes", "find_shared"]


class IssueKind(StrEnum):
    """What is wrong."""

    EMPTY_CLASS = "empty_class"
    LEAK = "leak"
    TOO_LONG = "too_long"
    DUPLICATE = "duplicate"
    NEAR_DUPLICATE = "near_duplicate"
    SHARED = "shared"


ISSUES: Mapping[IssueKind, str] = {
    IssueKind.EMPTY_CLASS: "no attribute, no sentence and no analogous class: judged by its name alone",
    IssueKind.LEAK: "names another class of the list, and pulls its images over",
    IssueKind.TOO_LONG: "has more tokens than the encoder reads; the rest is cut off",
    IssueKind.DUPLICATE: "is there twice in one class, and counts twice",
    IssueKind.NEAR_DUPLICATE: "means the same as an earlier text, as the encoder sees it",
    IssueKind.SHARED: "describes several classes, and tells none of them from the others",
}
"""Every issue with its explanation, the gravest first: the order in which a summary lists them."""


class TextIssue(NamedTuple):
    """One finding.

    Args:
        issue: What is wrong.
        kind: The kind of the text; None for an empty class.
        class_id: The class whose text it is.
        rival_id: The class that the text tells it from (one-to-one only).
        text: The phrase, or for `too_long` and `near_duplicate` the whole sentence; None for an empty class.
        other_class_id: The class that is named, or that has the earlier or the same text; None where there is none.
        other_text: The earlier text (`near_duplicate`), or the words that name the class (`leak`).
        value: `too_long`: tokens. `near_duplicate`: cosine. `shared`: classes that have it. `duplicate`: times.
    """

    issue: IssueKind
    kind: PhraseKind | TextKind | None
    class_id: int
    rival_id: int | None = None
    text: str | None = None
    other_class_id: int | None = None
    other_text: str | None = None
    value: float | None = None


def find_empty_classes(bank: TextBank) -> list[TextIssue]:
    """Find classes without any descriptive phrase, in label order."""
    return [TextIssue(IssueKind.EMPTY_CLASS, None, class_id) for class_id in undescribed_classes(bank)]


def find_duplicates(bank: TextBank) -> list[TextIssue]:
    """Find phrases that one class has more than once, up to case and white space, whatever their kinds.

    One-to-one phrases are compared within their pair only: a class may differ from many rivals in the same way.

    Returns:
        One row per repeated phrase, at its first place; `value` tells how often it is there.
    """
    return [
        TextIssue(IssueKind.DUPLICATE, *slot, text=str(phrase), value=float(times))
        for group in _groups(bank)
        for slot, phrase, times in _repeated(group)
    ]


def find_shared(bank: TextBank) -> list[TextIssue]:
    """Find attributes that several classes have, up to case and white space.

    Returns:
        One row per class and such phrase; `value` tells how many classes have it, and the other class is the first of
        them (for that one the second).
    """
    owners: dict[str, dict[int, str]] = {}
    for class_id, texts in enumerate(bank.classes):
        for phrase in texts.attributes:
            owners.setdefault(phrase_key(phrase), {}).setdefault(class_id, str(phrase))
    rows = [
        TextIssue(
            IssueKind.SHARED,
            PhraseKind.ATTRIBUTE,
            class_id,
            text=phrase,
            other_class_id=next(other for other in phrases if other != class_id),
            value=float(len(phrases)),
        )
        for phrases in owners.values()
        if len(phrases) > 1
        for class_id, phrase in phrases.items()
    ]
    return sorted(rows, key=lambda row: row.class_id)


def _groups(bank: TextBank) -> Iterator[list[tuple[TextSlot, str]]]:
    """Phrases that must not repeat each other: those of a class, and those of a pair; with repetitions."""
    for class_id, texts in enumerate(bank.classes):
        yield [
            (TextSlot(kind, class_id), phrase) for kind, name in CLASS_FIELDS.items() for phrase in getattr(texts, name)
        ]
    for pair, phrases in bank.one_to_one.items():
        yield [(TextSlot(PhraseKind.ONE_TO_ONE, *pair), phrase) for phrase in phrases]


def _repeated(group: list[tuple[TextSlot, str]]) -> Iterator[tuple[TextSlot, str, int]]:
    times = Counter(phrase_key(phrase) for _, phrase in group)
    for slot, phrase in group:
        if (count := times.pop(phrase_key(phrase), 0)) > 1:
            yield slot, phrase, count
