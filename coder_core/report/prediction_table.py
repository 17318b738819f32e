"""Predictions of new images for people and programs: a table, CSV or JSON."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from coder_core.pipeline.artifact_types import NamedPredictionsArtifact
from coder_core.pipeline.context import Context
from coder_core.results.query_result import QueryResult
from coder_core.results.render import to_csv, to_json, to_table

COLUMNS = ["image", "class_name", "probability", "top5", "top5_probabilities"]


class NamedPrediction(NamedTuple):
    """One image: the best classes, best first, or what is wrong with it."""

    image: str
    class_name: str | None
    probability: float | None
    top5: list[str] | None
    top5_probabilities: list[float] | None
    problem: str | None


def read_named(context: Context, table: NamedPredictionsArtifact) -> Iterator[NamedPrediction]:
    """The rows, a few thousand in memory at a time."""
    for batch in context.artifacts.iter_batches(table.stored):
        yield from (NamedPrediction(**row) for row in batch.to_pylist())


def render_named(predictions: Iterable[NamedPrediction], form: str) -> str:
    """Write the images that were classified.

    Args:
        predictions: The rows; those with a problem are left out.
        form: `table`, `csv`, `csv-excel` or `json`.
    """
    good = [row for row in predictions if row.problem is None]
    if form == "table":
        return to_table(QueryResult(["image", "class", "p", "then"], [_table_row(row) for row in good]))
    result = QueryResult(COLUMNS, [row[: len(COLUMNS)] for row in good])
    return to_json(result) if form == "json" else to_csv(result, for_spreadsheet=form == "csv-excel")


def _table_row(row: NamedPrediction) -> tuple[str, str | None, float | None, str]:
    others = zip((row.top5 or [])[1:], (row.top5_probabilities or [])[1:], strict=True)
    probability = None if row.probability is None else round(row.probability, 4)
    then = ", ".join(f"{name} {other:.2g}" for name, other in others)
    return short_path(row.image), row.class_name, probability, then


def short_path(location: str) -> str:
    """A path below the working directory without it; a long one is cut at its end elsewhere, which is what tells."""
    path = Path(location)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else location
