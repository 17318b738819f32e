"""What a query returned; apart from `warehouse`, so that what only prints rows need not load DuckDB."""

from typing import Any, NamedTuple


class QueryResult(NamedTuple):
    """Column names, and rows of plain Python values."""

    columns: list[str]
    rows: list[tuple[Any, ...]]
