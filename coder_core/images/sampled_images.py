"""A handful of images of every class, always the same ones: enough to tell whether labels fit names."""

import heapq
from collections.abc import Iterator
from functools import cached_property

import numpy as np

from coder_core.fingerprint import content_hash, key_of
from coder_core.images.sources import IgnoredFile, ImageBatch, ImageSource
from coder_core.loops import each

IMAGES_PER_CLASS = 16
"""Enough to see that two of fifty classes are exchanged, by a model that is right on half of the images."""
MOST_IMAGES = 2_000
"""Of 1,000 classes two each: some seconds on a GPU, a minute or two on a CPU."""
LISTED_AT_ONCE = 4096


def sample_size(class_count: int) -> int:
    """Images of each class that a sample takes: at least two, for one half of them judges the other."""
    return max(2, min(IMAGES_PER_CLASS, MOST_IMAGES // class_count))


class SampledImages:
    """Some images of each class of a labelled source: those whose ids have the smallest hashes, in order."""

    ignored: tuple[IgnoredFile, ...] = ()
    ignored_count = 0

    def __init__(self, source: ImageSource, per_class: int) -> None:
        self._source, self._per_class = source, per_class
        self.name = source.name
        self.classes = source.classes

    @property
    def image_count(self) -> int:
        """Images that were taken."""
        return len(self._rows)

    @property
    def identity(self) -> str:
        """The source, and how many of each class."""
        return key_of([self._source.identity, self._source.labels_identity, self._per_class])

    @property
    def labels_identity(self) -> str:
        """The same."""
        return self.identity

    @cached_property
    def class_counts(self) -> tuple[int, ...]:
        """Images of each class in the whole source, in label order."""
        read = getattr(self._source, "labels", self._source.batches)
        counts = np.zeros(len(self.classes), dtype=np.int64)
        for batch in each(read(LISTED_AT_ONCE)):
            if batch.label_ids is not None:
                counts += np.bincount(batch.label_ids, minlength=len(counts))
        return tuple(counts.tolist())

    @cached_property
    def _rows(self) -> frozenset[int]:
        """The rows that are taken."""
        smallest: list[list[tuple[str, int]]] = [[] for _ in self.classes.names]
        row = 0
        for batch in each(self._source.batches(LISTED_AT_ONCE)):
            labels = [] if batch.label_ids is None else batch.label_ids.tolist()
            for image_id, label in zip(batch.image_ids, labels, strict=True):
                smallest[label].append((content_hash(image_id.encode("utf-8", "surrogateescape")), row))
                row += 1
            smallest = [heapq.nsmallest(self._per_class, found) for found in smallest]
        return frozenset(row for found in smallest for _, row in found)

    def batches(self, rows: int) -> Iterator[ImageBatch]:
        """The images that were taken, a batch of the source at a time."""
        start = 0
        for batch in each(self._source.batches(rows)):
            taken = [row for row in range(len(batch.image_ids)) if start + row in self._rows]
            start += len(batch.image_ids)
            if taken:
                yield _pick(batch, taken)


def _pick(batch: ImageBatch, rows: list[int]) -> ImageBatch:
    values = batch.values
    return ImageBatch(
        image_ids=[batch.image_ids[row] for row in rows],
        label_ids=None if batch.label_ids is None else batch.label_ids[rows],
        column=batch.column,
        values=values[rows] if isinstance(values, np.ndarray) else [values[row] for row in rows],  # type: ignore[arg-type]
        tokens=None if batch.tokens is None else [batch.tokens[row] for row in rows],
        reasons=None if batch.reasons is None else [batch.reasons[row] for row in rows],
    )
