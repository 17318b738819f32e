"""What a query returned; apart from `warehouse`, so that what only prints rows need not load DuckDB."""

from typing import Any, NamedTuple


class QueryResult(NamedTuple):
    """Column names, and rows of plain Python values.

    Args:
        columns: Their names; one may stand there twice.
        rows: As long as the columns.
        types: DuckDB's name for the type of each column, e.g. `BIGINT`; empty where they are not known.
    """

    columns: list[str]
    rows: list[tuple[Any, ...]]
    types: tuple[str, ...] = ()
