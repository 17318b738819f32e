"""What there is to ask: every result table with its columns and rows, and every view with its columns."""

from collections.abc import Iterator

from coder_core.counted import counted
from coder_core.results.result_tables import ResultTables
from coder_core.results.schema import TABLES, VIEWS, Column
from coder_core.storage.store import Store


def overview(store: Store) -> Iterator[str]:
    """Yield the lines that `coder-eval tables` prints."""
    counts = ResultTables(store).row_counts()
    for table in TABLES.values():
        yield f"{table.name} ({counted(counts[table.name], 'row')}): {table.description}"
        yield from map(_line, table.columns)
    for view in VIEWS.values():
        yield f"{view.name} (view): {view.description}"
        yield from map(_line, view.columns)


def _line(column: Column) -> str:
    return f"  {column.name:20} {column.type:10} {column.description}"
