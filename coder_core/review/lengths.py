"""Sentences that are longer than the encoder reads."""

from collections.abc import Callable, Sequence

from coder_core.classes import ClassList
from coder_core.review.issues import IssueKind, TextIssue, issue_of
from coder_core.texts.sentences import TextTable
from coder_core.texts.slots import TextSlot

__all__ = ["CountTokens", "find_too_long"]

CountTokens = Callable[[Sequence[str]], Sequence[int]]
"""Texts -> how many tokens each would have if nothing were cut off, start and end tokens included."""


def find_too_long(
    table: TextTable, classes: ClassList, *, count_tokens: CountTokens, context_length: int
) -> list[TextIssue]:
    """Find sentences that do not fit into the encoder's context.

    Args:
        table: The sentences.
        classes: Their class list.
        count_tokens: Of the encoder's tokenizer, uncut; called once, with every distinct sentence.
        context_length: Tokens that the encoder reads, 77 for CLIP.

    Returns:
        One row per such sentence and class, in the order of the table; `value` says how many tokens it has.
    """
    texts = table.unique_texts()
    tokens_of = dict(zip(texts, count_tokens(texts), strict=True)) if texts else {}
    return [
        issue_of(
            IssueKind.TOO_LONG,
            TextSlot(row.kind, row.class_id, row.rival_id),
            classes.names,
            text=row.text,
            value=float(tokens_of[row.text]),
        )
        for row in table
        if tokens_of[row.text] > context_length
    ]
