"""All checks of a text bank at once; those that need an encoder run where it is given."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from coder_core.classes import ClassList
from coder_core.errors import TextBankError
from coder_core.review.counts import ClassCounts, count_phrases, find_empty_classes
from coder_core.review.issues import ISSUES, TextIssue
from coder_core.review.leaks import find_leaks
from coder_core.review.lengths import CountTokens, find_too_long
from coder_core.review.near_duplicates import NEAR_DUPLICATE_SIMILARITY, find_near_duplicates
from coder_core.review.repeats import find_duplicates, find_shared
from coder_core.texts.bank import TextBank
from coder_core.texts.sentences import TextTable

__all__ = ["EncoderView", "TextReview", "review_bank"]


class EncoderView(NamedTuple):
    """What an encoder has to say about the sentences.

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
            raise TextBankError(
                f"the {what} has {count} classes, the class list {len(classes)}.",
                "text review",
                "Make all three from one class list.",
            )
    issues = [
        *find_empty_classes(bank, classes),
        *find_leaks(bank, classes),
        *find_duplicates(bank, classes),
        *find_shared(bank, classes),
        *(_encoder_issues(encoder, classes) if encoder else ()),
    ]
    gravity = {kind: rank for rank, kind in enumerate(ISSUES)}
    return TextReview(count_phrases(bank, classes), tuple(sorted(issues, key=lambda row: gravity[row.issue])))


def _encoder_issues(encoder: EncoderView, classes: ClassList) -> list[TextIssue]:
    issues: list[TextIssue] = []
    if encoder.count_tokens is not None:
        issues += find_too_long(
            encoder.table, classes, count_tokens=encoder.count_tokens, context_length=encoder.context_length
        )
    if encoder.embeddings is not None:
        issues += find_near_duplicates(encoder.table, classes, encoder.embeddings, threshold=encoder.threshold)
    return issues
