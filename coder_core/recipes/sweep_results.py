"""What a sweep found: accuracy per data set and its mean, tiers over the mean, and what CODER gains over CLIP."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean

from coder_core.evaluation.intervals import Interval
from coder_core.evaluation.predictions import HONEST
from coder_core.evaluation.tiers import tiers_of
from coder_core.method_texts import FROM_IMAGES
from coder_core.recipes.published_figures import PublishedComparison, compare_published
from coder_core.recipes.sweep import CellOutcome
from coder_core.recipes.sweep_cells import Cell
from coder_core.recipes.sweep_rows import GainRow, Score, SweepGroup, SweepRow
from coder_core.results.result_tables import ResultTables
from coder_core.results.schema import ComparisonRow, FewShotRow, MetricRow
from coder_core.specs.sweep_spec import PublishedRow
from coder_core.steps.write_texts import CONTROL_PREFIX
from coder_core.storage.store import Store

TOP1 = "top1"
GAIN_OF, GAIN_OVER = "coder", "clip"


@dataclass(frozen=True)
class SweepResult:
    """All that a sweep found.

    Attributes:
        name: The sweep.
        outcomes: Of its cells.
        groups: Zero-shot first, then by shots.
        gains: Largest first; those without a mean after them.
        published: What others have published, beside what was found here.
        without_gain: Data sets whose cells have no result and would have a gain: its means leave them out.
    """

    name: str
    outcomes: tuple[CellOutcome, ...]
    groups: tuple[SweepGroup, ...]
    gains: tuple[GainRow, ...] = field(default=())
    published: tuple[PublishedComparison, ...] = field(default=())
    without_gain: tuple[str, ...] = field(default=())


_Place = tuple[int | None, str, str, str]
"""Shots, model, texts, method."""


def read_sweep(
    name: str, outcomes: Sequence[CellOutcome], store: Store, published: Sequence[PublishedRow] = ()
) -> SweepResult:
    """Read what the runs of a sweep have published.

    Args:
        name: Of the sweep.
        outcomes: Of its cells.
        store: Where the runs are.
        published: What others have published, to be put beside it.

    Raises:
        StoreError: A table is not what was published.
    """
    tables = ResultTables(store)
    scores: dict[_Place, dict[str, Score]] = {}
    gains: dict[tuple[str, str], dict[str, Score]] = {}
    for outcome in outcomes:
        if outcome.run_id is None:
            continue
        cell = outcome.cell
        for method, shots, score in _scores(tables, outcome.run_id):
            scores.setdefault((shots, cell.model, cell.texts, method), {})[cell.dataset] = score
        if (gain := _gain(tables, outcome.run_id)) is not None:
            gains.setdefault((cell.model, cell.texts), {})[cell.dataset] = gain
    order = list(dict.fromkeys(outcome.cell.dataset for outcome in outcomes))
    unmeasured = [outcome.cell for outcome in outcomes if outcome.run_id is None]
    groups = tuple(_groups(scores, order, unmeasured))
    gained, without_gain = _there_and_missing(gains.values(), order, filter(_would_gain, unmeasured))
    return SweepResult(
        name,
        tuple(outcomes),
        groups,
        gains=tuple(_by_mean(_gain_row(*place, row, gained) for place, row in gains.items())),
        published=compare_published(published, groups, order),
        without_gain=without_gain,
    )


def mean_of(scores: Sequence[Score]) -> Score:
    """Mean over data sets, each counting the same, with an interval over the images of all of them.

    The data sets share no image, so the squares of the distances to the ends add up, each side for itself
    (MOVER: Zou and Donner, Statistics in Medicine 27, 2008).

    Args:
        scores: At least one; where one has no interval, the mean has none.
    """
    value = fmean(score.value for score in scores)
    low, high = (_distance(scores, side) for side in ("low", "high"))
    return Score(value, value - low if low is not None else None, value + high if high is not None else None)


def _distance(scores: Sequence[Score], side: str) -> float | None:
    ends = [(score.value, getattr(score, side)) for score in scores]
    if any(end is None for _, end in ends):
        return None
    return math.sqrt(sum((value - end) ** 2 for value, end in ends)) / len(ends)


def _scores(tables: ResultTables, run_id: str) -> Iterable[tuple[str, int | None, Score]]:
    for row in tables.read_rows(MetricRow, run_id):
        if row.metric == TOP1 and not row.method.startswith(CONTROL_PREFIX):
            yield _marked(row), None, Score(row.value, row.ci_low, row.ci_high)
    draws: dict[tuple[str, int], list[FewShotRow]] = {}
    for row in tables.read_rows(FewShotRow, run_id):
        draws.setdefault((row.method, row.shots), []).append(row)
    for (method, shots), rows in draws.items():  # the same images in every draw: their intervals do not shrink
        ends = (fmean(getattr(row, end) for row in rows) for end in ("top1", "ci_low", "ci_high"))
        yield _also_marked(method, [], rows[0]), shots, Score(*ends)


def _marked(row: MetricRow) -> str:
    """The method, and what sets it apart from honest rows that read one image at a time."""
    marks = [row.protocol] if row.protocol != HONEST else []
    marks += ["all images at once"] if row.reads_unlabelled_images else []
    return _also_marked(row.method, marks, row)


def _also_marked(method: str, marks: list[str], row: MetricRow | FewShotRow) -> str:
    """Texts that were written from labelled images make a zero-shot method none, and are more than a draw's shots."""
    marks = [*marks, *(["texts from labelled images"] if FROM_IMAGES in (row.reads_texts or "").split("+") else [])]
    return f"{method} ({', '.join(marks)})" if marks else method


def _gain(tables: ResultTables, run_id: str) -> Score | None:
    """The paired difference of CODER to CLIP; None where the run does not have it."""
    for row in tables.read_rows(ComparisonRow, run_id):
        if (row.method, row.baseline, row.metric) == (GAIN_OF, GAIN_OVER, TOP1):
            return Score(row.difference, row.ci_low, row.ci_high)
    return None


def _gain_row(model: str, texts: str, by_dataset: Mapping[str, Score], datasets: Sequence[str]) -> GainRow:
    scores = list(by_dataset.values())
    better = sum(score.low is not None and score.low > 0 for score in scores)
    worse = sum(score.high is not None and score.high < 0 for score in scores)
    return GainRow(model, texts, by_dataset, _mean_over(by_dataset, datasets), better, worse)


def _mean_over(found: Mapping[str, Score], datasets: Sequence[str]) -> Score | None:
    return mean_of(list(found.values())) if len(found) == len(datasets) else None


def _groups(
    scores: Mapping[_Place, dict[str, Score]], order: Sequence[str], unmeasured: Sequence[Cell]
) -> Iterable[SweepGroup]:
    for shots in sorted({place[0] for place in scores}, key=lambda shots: shots or 0):
        own = {place[1:]: found for place, found in scores.items() if place[0] == shots}
        lost = (cell for cell in unmeasured if _would_be_among(cell, shots))
        datasets, missing = _there_and_missing(own.values(), order, lost)
        rows = [SweepRow(*place, shots, found, _mean_over(found, datasets)) for place, found in own.items()]
        yield SweepGroup(shots, datasets, tuple(_ranked(rows)), missing)


def _there_and_missing(
    rows: Iterable[Mapping[str, Score]], order: Sequence[str], lost: Iterable[Cell]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The data sets that any row has, and those that none has because their cells have no result."""
    there = {dataset for row in rows for dataset in row}
    missing = {cell.dataset for cell in lost} - there
    return tuple(name for name in order if name in there), tuple(name for name in order if name in missing)


def _would_be_among(cell: Cell, shots: int | None) -> bool:
    """Whether a cell without a result belongs to a group; one whose config is wrong may belong to any."""
    if cell.spec is None:
        return True
    if shots is None:
        return bool(cell.spec.methods)
    return cell.spec.few_shot is not None and shots in cell.spec.few_shot.shots


def _would_gain(cell: Cell) -> bool:
    return cell.spec is None or {GAIN_OF, GAIN_OVER} <= set(cell.spec.methods)


def _by_mean(rows: Iterable[GainRow]) -> list[GainRow]:
    return sorted(rows, key=lambda row: -row.mean.value if row.mean else 1.0)  # a gain is below 1


def _ranked(rows: Sequence[SweepRow]) -> list[SweepRow]:
    means = {str(at): _place(row.mean) for at, row in enumerate(rows) if row.mean is not None}
    tiers = tiers_of(means)
    ranked = [replace(row, tier=tiers.get(str(at))) for at, row in enumerate(rows)]
    return sorted(ranked, key=lambda row: -row.mean.value if row.mean else 1.0)


def _place(mean: Score) -> tuple[float, Interval]:
    """A mean as `tiers_of` takes it; without an interval it is a point."""
    low = mean.value if mean.low is None else mean.low
    high = mean.value if mean.high is None else mean.high
    return mean.value, Interval(low, high)
