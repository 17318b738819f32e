"""How many phrases every class has, by kind, and which classes have nothing to be described by."""

from collections import Counter
from typing import NamedTuple

from coder_core.classes import ClassList
from coder_core.review.issues import IssueKind, TextIssue
from coder_core.texts.bank import TextBank
from coder_core.texts.edits import HUMAN_SOURCE
from coder_core.texts.phrases import source_of

__all__ = ["ClassCounts", "count_phrases", "find_empty_classes"]


class ClassCounts(NamedTuple):
    """Phrases of one class.

    Args:
        class_id: The class.
        class_name: Its name.
        attributes: Attribute phrases.
        analogous_classes: Analogues.
        synonyms: Synonyms; the class's own name is none.
        one_to_one: Phrases that tell it from rivals.
        rivals: Rivals that it is told from.
        human: Phrases among all these that a person wrote.
    """

    class_id: int
    class_name: str
    attributes: int
    analogous_classes: int
    synonyms: int
    one_to_one: int
    rivals: int
    human: int


def count_phrases(bank: TextBank, classes: ClassList) -> tuple[ClassCounts, ...]:
    """Count the phrases of every class, in label order."""
    phrases_of_pairs, rivals, human = Counter[int](), Counter[int](), Counter[int]()
    for (class_id, _), phrases in bank.one_to_one.items():
        phrases_of_pairs[class_id] += len(phrases)
        rivals[class_id] += bool(phrases)
        human[class_id] += _count_human(phrases)
    return tuple(
        ClassCounts(
            class_id=class_id,
            class_name=classes.names[class_id],
            attributes=len(texts.attributes),
            analogous_classes=len(texts.analogous_classes),
            synonyms=len(texts.synonyms),
            one_to_one=phrases_of_pairs[class_id],
            rivals=rivals[class_id],
            human=human[class_id] + sum(_count_human(phrases) for phrases in vars(texts).values()),
        )
        for class_id, texts in enumerate(bank.classes)
    )


def find_empty_classes(bank: TextBank, classes: ClassList) -> list[TextIssue]:
    """Find classes without any descriptive phrase, in label order."""
    return [
        TextIssue(IssueKind.EMPTY_CLASS, class_id, classes.names[class_id])
        for class_id, texts in enumerate(bank.classes)
        if not texts.attributes and not texts.analogous_classes
    ]


def _count_human(phrases: tuple[str, ...]) -> int:
    return sum(source_of(phrase) == HUMAN_SOURCE for phrase in phrases)
