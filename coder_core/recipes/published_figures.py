"""What others have published, beside what a sweep has found: told with its source, and deciding nothing."""

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

from pydantic import ValidationError

from coder_core.config import read_settings
from coder_core.config_errors import explain_invalid
from coder_core.errors import ConfigError
from coder_core.locations import resolve_location
from coder_core.recipes.sweep_cells import read_any
from coder_core.recipes.sweep_rows import Score, SweepGroup, SweepRow
from coder_core.redaction import redact
from coder_core.specs.sweep_spec import PublishedFigures, PublishedRow, SweepSpec


class PublishedScore(NamedTuple):
    """A published figure and ours.

    Attributes:
        published: Top-1 accuracy, 0..1.
        ours: The same with its interval; None where this sweep has none.
    """

    published: float
    ours: Score | None

    @property
    def difference(self) -> float | None:
        """Ours minus the published one, -1..1."""
        return None if self.ours is None else self.ours.value - self.published

    @property
    def is_outside(self) -> bool:
        """Whether our 95 % interval does not hold the published figure."""
        ours = self.ours
        if ours is None or ours.low is None or ours.high is None:
            return False
        return not ours.low <= self.published <= ours.high


@dataclass(frozen=True)
class PublishedComparison:
    """A published row and ours.

    Attributes:
        row: As it was published.
        method: As the sweep's tables call ours.
        by_dataset: The data sets of the sweep that the published row has, in the sweep's order.
        means: Of both, over the data sets that both have.
    """

    row: PublishedRow
    method: str
    by_dataset: Mapping[str, PublishedScore]
    means: PublishedScore


def read_published(
    sweep: SweepSpec, base: str, *, may_read: Callable[[str], None] = read_any
) -> tuple[PublishedRow, ...]:
    """The published rows of a sweep, from itself or from the file that it names.

    Args:
        sweep: The whole sweep: a part of it knows fewer names.
        base: Folder (path or URL) that a relative path starts from.
        may_read: Raises a CoderError where the file may not be read.

    Raises:
        ConfigError: The file is no such file, or a row names a data set, a model or texts that the sweep does not have.
        InputError: The file cannot be read.
    """
    rows, place = sweep.published, sweep.name
    if isinstance(rows, str):
        location = resolve_location(rows, base)
        may_read(location)
        rows, place = _read_file(location), redact(location)
    for at, row in enumerate(rows):
        _check_names(row, sweep, f"{place}: published.{at}")
    return rows


def _read_file(location: str) -> tuple[PublishedRow, ...]:
    settings = read_settings(location, PublishedFigures)
    try:
        return PublishedFigures.model_validate(settings).published
    except ValidationError as error:
        raise explain_invalid(error, redact(location), PublishedFigures) from error


def _check_names(row: PublishedRow, sweep: SweepSpec, place: str) -> None:
    for axis, names, known in (
        ("datasets", tuple(row.top1_percent), sweep.datasets),
        ("models", (row.model,), sweep.models or ("",)),
        ("texts", (row.texts,), sweep.texts or ("",)),
    ):
        for name in (name for name in names if name not in known):
            close = difflib.get_close_matches(name, list(known), n=1)
            there = ", ".join(known) or "it names none"
            remedy = f"Did you mean {close[0]!r}?" if close and close[0] else f"There are: {there}."
            raise ConfigError(f"the sweep has no {name!r:.80} among its {axis}.", place, remedy)


def compare_published(
    rows: Sequence[PublishedRow], groups: Iterable[SweepGroup], datasets: Sequence[str]
) -> tuple[PublishedComparison, ...]:
    """Put published rows beside those of a sweep; one that has none of ours beside it is left out.

    Args:
        rows: What was published.
        groups: What the sweep found.
        datasets: Of the sweep, in its order.
    """
    ours = [row for group in groups for row in group.rows]
    found = (_compare(row, ours, datasets) for row in rows)
    return tuple(comparison for comparison in found if comparison is not None)


def _compare(row: PublishedRow, ours: Sequence[SweepRow], datasets: Sequence[str]) -> PublishedComparison | None:
    own = _same_row(row, ours)
    if own is None:
        return None
    shown = [name for name in datasets if name in row.top1_percent]
    found = {name: PublishedScore(row.top1_percent[name] / 100, own.by_dataset.get(name)) for name in shown}
    both = [(score.published, score.ours.value) for score in found.values() if score.ours is not None]
    if not both:
        return None
    published, mean = (fmean(side) for side in zip(*both, strict=True))
    return PublishedComparison(row, own.method, found, PublishedScore(published, Score(mean, None, None)))


def _same_row(row: PublishedRow, ours: Sequence[SweepRow]) -> SweepRow | None:
    """Ours of the same place; of several protocols the honest one, whose method stands without a mark."""
    same = [each for each in ours if (each.shots, each.model, each.texts) == (row.shots, row.model, row.texts)]
    named = [each for each in same if each.method.partition(" (")[0] == row.method]
    return min(named, key=lambda each: len(each.method), default=None)
