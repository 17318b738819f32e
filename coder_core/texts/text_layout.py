"""The layout: which columns of the embedding matrix speak of which class.

A column is an index into `TextTable.unique_texts()`; a sentence that two classes share is one column used by both.
`Segments` is the same knowledge in flat form (columns class by class, and where each class starts), which
vectorised code reads without a loop over classes.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from coder_core.texts.bank import ClassPair
from coder_core.texts.kinds import TextKind
from coder_core.texts.sentences import TextTable

__all__ = ["Segments", "TextLayout", "build_layout"]

Columns = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Segments:
    """Columns of all classes, class by class.

    Args:
        columns: `(entries,)` column indices; within a class in the order of the table.
        offsets: `(classes + 1,)`, ascending from 0: class `c` owns `columns[offsets[c]:offsets[c + 1]]`.
    """

    columns: Columns
    offsets: Columns

    @property
    def counts(self) -> Columns:
        """`(classes,)` number of columns of each class; may be 0."""
        return np.diff(self.offsets)

    @property
    def class_ids(self) -> Columns:
        """`(entries,)` the class that owns each entry of `columns`."""
        return np.repeat(np.arange(len(self.offsets) - 1, dtype=np.int64), self.counts)


@dataclass(frozen=True, eq=False)
class TextLayout:
    """Columns by class and kind, and by pair.

    Args:
        class_count: Number of classes.
        text_count: Number of columns: rows of the text embedding matrix.
        by_kind: Per kind of text about one class, its columns; `one_to_one` is in `by_pair`.
        by_pair: Ordered pair (class id, rival id) -> columns of its one-to-one texts; sorted by pair.
    """

    class_count: int
    text_count: int
    by_kind: Mapping[TextKind, Segments]
    by_pair: Mapping[ClassPair, Columns]

    def columns(self, class_id: int, kinds: Collection[TextKind]) -> Columns:
        """The columns of one class: kind by kind in the order given, each in the order of the table."""
        parts = [self.by_kind[kind] for kind in kinds]
        pieces = [part.columns[part.offsets[class_id] : part.offsets[class_id + 1]] for part in parts]
        return np.concatenate(pieces) if pieces else np.empty(0, dtype=np.int64)

    def segments(self, kinds: Collection[TextKind]) -> Segments:
        """The columns of all classes in flat form; per class as `columns` gives them."""
        return _segments([self.columns(class_id, kinds) for class_id in range(self.class_count)])


def build_layout(table: TextTable) -> TextLayout:
    """Lay a table of texts out in columns.

    Args:
        table: Made by `build_texts`.

    Returns:
        The layout; its columns index `table.unique_texts()`.
    """
    texts = table.unique_texts()
    column_of = {text: column for column, text in enumerate(texts)}
    by_class: dict[TextKind, list[list[int]]] = {
        kind: [[] for _ in range(table.class_count)] for kind in TextKind if kind is not TextKind.ONE_TO_ONE
    }
    by_pair: dict[ClassPair, list[int]] = {}
    for row in table.rows:
        if row.rival_id is None:
            by_class[row.kind][row.class_id].append(column_of[row.text])
        else:
            by_pair.setdefault((row.class_id, row.rival_id), []).append(column_of[row.text])
    return TextLayout(
        class_count=table.class_count,
        text_count=len(texts),
        by_kind={kind: _segments([_as_columns(part) for part in parts]) for kind, parts in by_class.items()},
        by_pair={pair: _as_columns(columns) for pair, columns in sorted(by_pair.items())},
    )


def _segments(parts: list[Columns]) -> Segments:
    offsets = np.fromiter(accumulate((len(part) for part in parts), initial=0), dtype=np.int64)
    return Segments(columns=np.concatenate(parts), offsets=offsets)


def _as_columns(indices: list[int]) -> Columns:
    return np.array(indices, dtype=np.int64)
