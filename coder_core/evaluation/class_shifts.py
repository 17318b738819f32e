"""What new classes did to old ones: image by image, one run against an earlier run with other classes.

Images are matched by id and classes by name, because a class list that grew has other label ids. An image counts for
the class that it has in the earlier run; images that only one of the runs has do not count.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from coder_core.loops import each

__all__ = ["AddedClass", "ClassShift", "MethodPredictions", "find_class_shifts", "score_added"]


class MethodPredictions(NamedTuple):
    """The decisions of a method on the images of a run, by name: two runs need not share label ids.

    Args:
        image_ids: Unique.
        labels: Name of the true class of each.
        predicted: Name of the predicted class.
        is_correct: Whether the predicted class is the true one (two classes may share a name).
    """

    image_ids: Sequence[str]
    labels: Sequence[str]
    predicted: Sequence[str]
    is_correct: NDArray[np.bool_]


class ClassShift(NamedTuple):
    """How an old class fares since there are others.

    Args:
        class_name: Its name in the earlier run.
        n: Its images that both runs have, at least 1.
        recall_before: Share of them found by the earlier run, 0..1.
        recall: Share found by the later run.
        gained: Images that only the later run finds.
        lost: Images that only the earlier run finds.
        lost_to_added: Those of them that are now taken for an added class.
        takers: These added classes, each with its images, most first, then by name.
    """

    class_name: str
    n: int
    recall_before: float
    recall: float
    gained: int
    lost: int
    lost_to_added: int
    takers: tuple[tuple[str, int], ...]


class AddedClass(NamedTuple):
    """How an added class fares.

    Args:
        class_name: Its name.
        n: Its images; 0 where the data set has none.
        recall: Share of them found, 0..1; None where n is 0: not scored.
        taken: Images that the earlier run found, and that are now taken for it.
    """

    class_name: str
    n: int
    recall: float | None
    taken: int


def find_class_shifts(before: MethodPredictions, after: MethodPredictions, added: Sequence[str]) -> list[ClassShift]:
    """Compare two runs class by class, over the images that both have.

    Args:
        before: The earlier run.
        after: The later run.
        added: Classes that only the later run has.

    Returns:
        The classes of these images; those that lost most to added classes first, then by what they lost, then by name.
    """
    tallies: dict[str, _Tally] = {}
    is_added = set(added)
    row_of = {image_id: row for row, image_id in each(enumerate(after.image_ids), every=4096)}
    for row, image_id in each(enumerate(before.image_ids), every=1024):
        later = row_of.get(image_id)
        if later is None:
            continue
        tally = tallies.setdefault(before.labels[row], _Tally())
        was, now = bool(before.is_correct[row]), bool(after.is_correct[later])
        tally.outcomes[was, now] += 1
        if was and not now and after.predicted[later] in is_added:
            tally.takers[after.predicted[later]] += 1
    shifts = [tally.summarise(name) for name, tally in tallies.items()]
    return sorted(shifts, key=lambda shift: (-shift.lost_to_added, -shift.lost, shift.class_name))


def score_added(after: MethodPredictions, added: Sequence[str], shifts: Sequence[ClassShift]) -> list[AddedClass]:
    """Score the added classes, in their order; one without images is not scored."""
    counts = Counter(after.labels)
    hits = Counter(label for label, is_hit in zip(after.labels, after.is_correct, strict=True) if is_hit)
    taken: Mapping[str, int] = sum((Counter(dict(shift.takers)) for shift in shifts), Counter[str]())
    return [
        AddedClass(name, counts[name], hits[name] / counts[name] if counts[name] else None, taken.get(name, 0))
        for name in added
    ]


class _Tally:
    """Images of one class by (found before, found after), and who took the lost ones."""

    def __init__(self) -> None:
        self.outcomes: Counter[tuple[bool, bool]] = Counter()
        self.takers: Counter[str] = Counter()

    def summarise(self, class_name: str) -> ClassShift:
        n, both = self.outcomes.total(), self.outcomes[True, True]
        lost, gained = self.outcomes[True, False], self.outcomes[False, True]
        takers = tuple(sorted(self.takers.items(), key=lambda item: (-item[1], item[0])))
        return ClassShift(
            class_name, n, (both + lost) / n, (both + gained) / n, gained, lost, self.takers.total(), takers
        )
