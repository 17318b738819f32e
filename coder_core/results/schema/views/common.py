"""What views share: the columns that name a run, and how the latest run of an evaluation is told."""

from coder_core.results.schema.declaring import IS_LATEST, Column, RowClass, declared_table
from coder_core.results.schema.runs import RunRow

__all__ = ["LATEST_RUN_IDS", "NAMED_RUNS", "RUN_COLUMNS", "SIGNIFICANT", "columns_of", "names_of"]

SIGNIFICANT = 0.05
"""Below this, a p after Holm's correction is called a difference: the level of the 95 % intervals beside it."""

LATEST_RUN_IDS = "SELECT arg_max(run_id, (started_at, run_id)) FROM runs GROUP BY name"
NAMED_RUNS = (
    "SELECT run_id, name, started_at,\n"
    f"    run_id = arg_max(run_id, (started_at, run_id)) OVER (PARTITION BY name) AS {IS_LATEST} FROM runs"
)
"""Every run with the columns of `RUN_COLUMNS`."""


def columns_of(row_class: RowClass, *names: str) -> tuple[Column, ...]:
    """Take over columns of a result table, which say the same in a view."""
    known = {column.name: column for column in declared_table(row_class).columns}
    return tuple(known[name] for name in names)


def names_of(row_class: RowClass, table: str) -> str:
    """Name all columns of a table but its run, for a SELECT: a view says what it reads, and no query reads the rest."""
    return ", ".join(f"{table}.{column.name}" for column in declared_table(row_class).columns[1:])


RUN_COLUMNS = (
    *columns_of(RunRow, "run_id", "name", "started_at"),
    Column(IS_LATEST, "BOOLEAN", "Whether it is the run of its evaluation that was started last."),
)
