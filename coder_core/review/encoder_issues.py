"""What an encoder shows of texts: those it cannot read to the end, and those that mean the same to it.

For every text the nearest earlier one is looked for, block by block. One answer per text keeps the result as small as
the texts are, even where thousands are alike; blocks of cosines keep memory small, however many texts there are.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from coder_core.errors import TextBankError
from coder_core.review.issues import IssueKind, TextIssue
from coder_core.texts.kinds import TextKind
from coder_core.texts.sentences import Text, TextTable

__all__ = [
    "NEAR_DUPLICATE_SIMILARITY",
    "CountTokens",
    "NearDuplicate",
    "find_near_duplicates",
    "find_too_long",
    "nearest_earlier_texts",
]

CountTokens = Callable[[Sequence[str]], Sequence[int]]
"""Texts -> how many tokens each would have if nothing were cut off, start and end tokens included."""

NEAR_DUPLICATE_SIMILARITY = 0.97
"""Cosine from which two texts count as one. Measured on CLIP ViT-B/32 text features of class-name prompts: of the 1,000
ImageNet names only "crane"/"crane", "maillot"/"maillot", "Cardigan"/"cardigan" and "sunglass"/"sunglasses" reach it; of
1,203 LVIS names no two ("armchair"/"chair", "alcohol"/"liquor" stay below)."""

ROWS, COLUMNS = 1_024, 4_096
"""Size of a block of cosines: 16 MB of float32."""


def find_too_long(table: TextTable, *, count_tokens: CountTokens, context_length: int) -> list[TextIssue]:
    """Find sentences that do not fit into the encoder's context.

    Args:
        table: The sentences.
        count_tokens: Of the encoder's tokenizer, uncut; called once, with every distinct sentence.
        context_length: Tokens that the encoder reads, 77 for CLIP.

    Returns:
        One row per such sentence and class, in the order of the table; `value` tells how many tokens it has.
    """
    texts = table.unique_texts()
    tokens_of = dict(zip(texts, count_tokens(texts), strict=True)) if texts else {}
    return [
        TextIssue(IssueKind.TOO_LONG, *_place(row), text=row.text, value=float(tokens_of[row.text]))
        for row in table
        if tokens_of[row.text] > context_length
    ]


class NearDuplicate(NamedTuple):
    """A text that is like an earlier one.

    Args:
        text: Its position.
        earlier: Position of the nearest text before it; of equally near ones the first.
        similarity: Their cosine.
    """

    text: int
    earlier: int
    similarity: float


def nearest_earlier_texts(
    embeddings: Float[np.ndarray, "texts dim"], *, threshold: float = NEAR_DUPLICATE_SIMILARITY
) -> list[NearDuplicate]:
    """Find every text that is nearer to an earlier one than a threshold.

    Args:
        embeddings: L2-normalised rows of any float type.
        threshold: Smallest cosine that counts.

    Returns:
        At most one row per text, in order. 2 x 16 MB beside the embeddings, n^2 / 2 cosines of time.
    """
    found: list[NearDuplicate] = []
    for start in range(0, len(embeddings), ROWS):
        rows = np.asarray(embeddings[start : start + ROWS], dtype=np.float32)
        similarity, earlier = _nearest_before(rows, start, embeddings)
        found += [
            NearDuplicate(start + int(row), int(earlier[row]), min(float(similarity[row]), 1.0))
            for row in np.flatnonzero(similarity >= threshold)
        ]
    return found


def find_near_duplicates(
    table: TextTable,
    embeddings: Float[np.ndarray, "texts dim"],
    *,
    threshold: float = NEAR_DUPLICATE_SIMILARITY,
) -> list[TextIssue]:
    """Find sentences that mean the same to the encoder as an earlier one, of the same class or of another.

    Args:
        table: The sentences.
        embeddings: One L2-normalised row per `table.unique_texts()`.
        threshold: Smallest cosine that counts.

    Returns:
        One row per such sentence, the nearest first; sentences of several classes are reported with their first.

    Raises:
        TextBankError: There is not one row per distinct sentence.
    """
    first_row: dict[str, Text] = {}
    for row in table:
        first_row.setdefault(row.text, row)
    rows = list(first_row.values())
    if len(rows) != len(embeddings):
        problem = f"{len(embeddings)} embeddings for {len(rows)} distinct texts."
        raise TextBankError(problem, "text embeddings", "Embed `table.unique_texts()`, in its order.")
    pairs = sorted(nearest_earlier_texts(embeddings, threshold=threshold), key=lambda pair: -pair.similarity)
    return [
        TextIssue(
            IssueKind.NEAR_DUPLICATE,
            *_place(rows[pair.text]),
            text=rows[pair.text].text,
            other_class_id=rows[pair.earlier].class_id,
            other_text=rows[pair.earlier].text,
            value=pair.similarity,
        )
        for pair in pairs
    ]


def _place(row: Text) -> tuple[TextKind, int, int | None]:
    return row.kind, row.class_id, row.rival_id


def _nearest_before(
    rows: Float[np.ndarray, "rows dim"], start: int, embeddings: Float[np.ndarray, "texts dim"]
) -> tuple[Float[np.ndarray, " rows"], np.ndarray]:
    """Cosine and position of the nearest text before each row; -inf for the very first text."""
    best = np.full(len(rows), -np.inf, dtype=np.float32)
    position = np.zeros(len(rows), dtype=np.int64)
    for first in range(0, start + len(rows), COLUMNS):
        columns = np.asarray(embeddings[first : min(first + COLUMNS, start + len(rows))], dtype=np.float32)
        cosines = rows @ columns.T
        if first + len(columns) > start:
            cosines[np.arange(first, first + len(columns)) >= np.arange(start, start + len(rows))[:, None]] = -np.inf
        nearest = cosines.argmax(axis=1)
        similarity = cosines[np.arange(len(rows)), nearest]
        is_nearer = similarity > best
        best[is_nearer] = similarity[is_nearer]
        position[is_nearer] = first + nearest[is_nearer]
    return best, position
