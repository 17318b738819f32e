"""All checks of a text bank at once, and how many phrases every class has."""

from collections import Counter
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from coder_core.classes import ClassList
from coder_core.counted import counted
from coder_core.errors import TextBankError
from coder_core.review.encoder_issues import (
    NEAR_DUPLICATE_SIMILARITY,
    CountTokens,
    find_near_duplicates,
    find_too_long,
)
from coder_core.review.issues import ISSUES, TextIssue, find_duplicates, find_empty_classes, find_shared
from coder_core.review.leaks import find_leaks
from coder_core.texts.bank import CLASS_FIELDS, HUMAN_SOURCE, TextBank, source_of
from coder_core.texts.sentences import TextTable

__all__ = ["ClassCounts", "EncoderView", "TextReview", "count_phrases", "review_bank"]


class EncoderView(NamedTuple):
    """What an encoder makes of the sentences.

    Args:
        table: The sentences.
        count_tokens: Its tokenizer's uncut counts; None where it is unknown.
        context_length: Tokens that it reads.
        embeddings: One L2-normalised row per `table.unique_texts()`; None where there are none.
        threshold: Smallest cosine of near-duplicates.
    """

    table: TextTable
    count_tokens: CountTokens | None = None
    context_length: int = 77
    embeddings: Float[np.ndarray, "texts dim"] | None = None
    threshold: float = NEAR_DUPLICATE_SIMILARITY


class ClassCounts(NamedTuple):
    """Phrases of one class.

    Args:
        class_id: The class.
        attributes: Attribute phrases.
        sentences: Whole sentences.
        analogous_classes: Analogues.
        synonyms: Synonyms; the class's own name is none.
        one_to_one: Phrases that tell it from rivals.
        rivals: Rivals that it is told from.
        human: Phrases among all these that a person wrote.
    """

    class_id: int
    attributes: int
    sentences: int
    analogous_classes: int
    synonyms: int
    one_to_one: int
    rivals: int
    human: int


class TextReview(NamedTuple):
    """What a review found.

    Args:
        counts: Phrases per class, in label order.
        issues: Findings, the gravest kind first.
    """

    counts: tuple[ClassCounts, ...]
    issues: tuple[TextIssue, ...]

    def of_class(self, class_id: int) -> tuple[TextIssue, ...]:
        """The findings about one class."""
        return tuple(issue for issue in self.issues if issue.class_id == class_id)


def review_bank(bank: TextBank, classes: ClassList, *, encoder: EncoderView | None = None) -> TextReview:
    """Review a text bank.

    Args:
        bank: The phrases.
        classes: Their class list.
        encoder: For lengths and near-duplicates; without it these two are not looked for.

    Raises:
        TextBankError: Bank, table or embeddings do not fit the class list or each other.
    """
    counts = {"bank": len(bank.classes), "table": encoder.table.class_count if encoder else len(classes)}
    for what, count in counts.items():
        if count != len(classes):
            problem = f"the {what} has {counted(count, 'class')}, the class list {len(classes)}."
            raise TextBankError(problem, "text review", "Make all three from one class list.")
    issues = [
        *find_empty_classes(bank),
        *find_leaks(bank, classes),
        *find_duplicates(bank),
        *find_shared(bank),
        *(_encoder_issues(encoder) if encoder else ()),
    ]
    gravity = {kind: rank for rank, kind in enumerate(ISSUES)}
    return TextReview(count_phrases(bank), tuple(sorted(issues, key=lambda row: gravity[row.issue])))


def count_phrases(bank: TextBank) -> tuple[ClassCounts, ...]:
    """Count the phrases of every class, in label order."""
    of_pairs, rivals, human = Counter[int](), Counter[int](), Counter[int]()
    for (class_id, _), phrases in bank.one_to_one.items():
        of_pairs[class_id] += len(phrases)
        rivals[class_id] += bool(phrases)
        human[class_id] += _count_human(phrases)
    return tuple(
        ClassCounts(
            class_id=class_id,
            **{name: len(getattr(texts, name)) for name in CLASS_FIELDS.values()},
            one_to_one=of_pairs[class_id],
            rivals=rivals[class_id],
            human=human[class_id] + sum(map(_count_human, vars(texts).values())),
        )
        for class_id, texts in enumerate(bank.classes)
    )


def _count_human(phrases: tuple[str, ...]) -> int:
    return sum(source_of(phrase) == HUMAN_SOURCE for phrase in phrases)


def _encoder_issues(encoder: EncoderView) -> list[TextIssue]:
    issues: list[TextIssue] = []
    if encoder.count_tokens is not None:
        issues += find_too_long(encoder.table, count_tokens=encoder.count_tokens, context_length=encoder.context_length)
    if encoder.embeddings is not None:
        issues += find_near_duplicates(encoder.table, encoder.embeddings, threshold=encoder.threshold)
    return issues
