"""What the table of a sweep is made of: accuracies with intervals, rows of methods, groups that may be compared."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple


class Score(NamedTuple):
    """A number with its 95 % interval.

    Attributes:
        value: Top-1 accuracy, 0..1, or a difference of two, -1..1.
        low: Lower end; None where nothing can be said.
        high: Upper end.
    """

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class SweepRow:
    """A method with a model and texts, over data sets.

    Attributes:
        model: On the sweep's axis; empty where it has none.
        texts: The same.
        method: What classified.
        shots: Images per class that were learnt from; None for zero-shot.
        by_dataset: Top-1 accuracy.
        mean: Over all data sets of the group; None where this row lacks one, for a mean over other data sets compares
            with nothing.
        tier: Rank by the mean from 1, one for rows whose means the images cannot tell apart; None without a mean.
    """

    model: str
    texts: str
    method: str
    shots: int | None
    by_dataset: Mapping[str, Score]
    mean: Score | None = None
    tier: int | None = None


@dataclass(frozen=True)
class SweepGroup:
    """Rows that may be compared: all zero-shot, or all of one number of shots.

    Attributes:
        shots: None for zero-shot.
        datasets: That any row has.
        rows: Best mean first; those without one after them, as they came.
        missing: That none has, because their cells have no result: no mean holds them.
    """

    shots: int | None
    datasets: tuple[str, ...]
    rows: tuple[SweepRow, ...]
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class GainRow:
    """What CODER gains over CLIP by name with a model and texts.

    Attributes:
        model: On the sweep's axis; empty where it has none.
        texts: The same.
        by_dataset: Difference of top-1 accuracy, -1..1, with its paired interval.
        mean: Over all data sets that any row has; None where this row lacks one.
        better: Data sets on which the interval lies above 0.
        worse: Data sets on which it lies below.
    """

    model: str
    texts: str
    by_dataset: Mapping[str, Score]
    mean: Score | None
    better: int
    worse: int
