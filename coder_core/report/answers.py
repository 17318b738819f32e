"""Answers about new images for people and programs: a table, CSV or JSON."""

from collections.abc import Iterable
from pathlib import Path

from coder_core.results.query_result import QueryResult
from coder_core.results.render import to_csv, to_json, to_table
from coder_core.steps.answers import Answer

COLUMNS = ["image", "class_name", "probability", "top5", "top5_probabilities"]


def render_answers(answers: Iterable[Answer], form: str) -> str:
    """Write the images that were classified.

    Args:
        answers: The rows; those with a problem are for `name_broken`.
        form: `table`, `csv` or `json`.
    """
    good = [answer for answer in answers if answer.problem is None]
    if form == "table":
        return to_table(QueryResult(["image", "class", "p", "then"], [_table_row(answer) for answer in good]))
    result = QueryResult(COLUMNS, [answer[: len(COLUMNS)] for answer in good])
    return (to_csv if form == "csv" else to_json)(result)


def _table_row(answer: Answer) -> tuple[str, str | None, float | None, str]:
    others = zip((answer.top5 or [])[1:], (answer.top5_probabilities or [])[1:], strict=True)
    probability = None if answer.probability is None else round(answer.probability, 4)
    then = ", ".join(f"{name} {other:.2g}" for name, other in others)
    return short_path(answer.image), answer.class_name, probability, then


def short_path(location: str) -> str:
    """A path below the working directory without it; a long one is cut at its end elsewhere, which is what tells."""
    path = Path(location)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else location
