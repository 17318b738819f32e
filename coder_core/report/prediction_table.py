"""Predictions of new images for people and programs: a table, CSV or JSON."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from coder_core.pipeline.artifact_types import NamedPredictionsArtifact
from coder_core.pipeline.context import Context
from coder_core.results.query_result import QueryResult
from coder_core.results.render import to_csv, to_json, to_table

COLUMNS = ["image", "class_name", "probability", "gap", "top5", "top5_probabilities"]
NONE_OF_THESE = "none of these"
"""In the place of a class whose probability is too small to be given."""


class NamedPrediction(NamedTuple):
    """One image: the best classes, best first, or what is wrong with it."""

    image: str
    class_name: str | None
    probability: float | None
    top5: list[str] | None
    top5_probabilities: list[float] | None
    problem: str | None

    @property
    def gap(self) -> float | None:
        """How far the best class is ahead of the next; 1 where there is no other."""
        if self.top5_probabilities is None:
            return None
        return self.top5_probabilities[0] - (self.top5_probabilities[1] if len(self.top5_probabilities) > 1 else 0.0)

    def label(self, none_below: float) -> str | None:
        """The class, or that it is none, where its probability is below a limit."""
        is_none = self.probability is not None and self.probability < none_below
        return NONE_OF_THESE if is_none else self.class_name


def read_named(context: Context, table: NamedPredictionsArtifact) -> Iterator[NamedPrediction]:
    """The rows, a few thousand in memory at a time."""
    for batch in context.artifacts.iter_batches(table.stored):
        yield from (NamedPrediction(**row) for row in batch.to_pylist())


def render_named(
    predictions: Iterable[NamedPrediction], form: str, *, none_below: float = 0.0, more: Mapping[str, str] | None = None
) -> str:
    """Write the images that were classified.

    Args:
        predictions: The rows; those with a problem are left out.
        form: `table`, `csv`, `csv-excel` or `json`.
        none_below: Least probability of an answer that is given.
        more: Said of every image in JSON: what they were taken for as a batch, say.
    """
    good = [row for row in predictions if row.problem is None]
    if form == "table":
        rows = [_table_row(row, none_below) for row in good]
        return to_table(QueryResult(["image", "class", "p", "gap", "then"], rows))
    cells = [
        (row.image, row.label(none_below), row.probability, row.gap, row.top5, row.top5_probabilities) for row in good
    ]
    if form == "json":
        names, same = ((), ()) if more is None else (tuple(more), tuple(more.values()))
        return to_json(QueryResult([*COLUMNS, *names], [(*row, *same) for row in cells]))
    return to_csv(QueryResult(COLUMNS, cells), for_spreadsheet=form == "csv-excel")


def _table_row(row: NamedPrediction, none_below: float) -> tuple[str, str | None, float | None, float | None, str]:
    others = zip((row.top5 or [])[1:], (row.top5_probabilities or [])[1:], strict=True)
    probability, gap = (None if value is None else round(value, 4) for value in (row.probability, row.gap))
    then = ", ".join(f"{name} {other:.2g}" for name, other in others)
    return short_path(row.image), row.label(none_below), probability, gap, then


def short_path(location: str) -> str:
    """A path below the working directory without it; a long one is cut at its end elsewhere, which is what tells."""
    path = Path(location)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else location
