"""How a result table is declared: one frozen dataclass, from which everything else follows.

The Arrow schema of the file, the view in DuckDB, `coder-eval tables`, docs/tables.md and the check of what is written
are all read off the same class. Nothing heavy is imported here, because rows are made in every corner of the code.
"""

import dataclasses
import re
import types
import typing
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias, TypeVar

from coder_core.errors import StoreError

ColumnType = Literal[
    "VARCHAR",
    "BIGINT",
    "DOUBLE",
    "BOOLEAN",
    "TIMESTAMP",
    "BIGINT[]",
    "DOUBLE[]",
    "VARCHAR[]",
    "MAP(VARCHAR, VARCHAR)",
    "MAP(VARCHAR, DOUBLE)",
    "MAP(VARCHAR, BOOLEAN)",
]
"""As DuckDB writes it; maps stand in views only."""
RowsOf = Literal["own", "previous", "latest", "all"]
RowClass: TypeAlias = type[Any]
"""A dataclass declared with `result_table`; its instances are the rows."""
RUN_ID = "run_id"
IS_LATEST = "is_latest"
_TYPES: dict[Any, ColumnType] = {
    str: "VARCHAR",
    int: "BIGINT",
    float: "DOUBLE",
    bool: "BOOLEAN",
    datetime: "TIMESTAMP",
    list[int]: "BIGINT[]",
    list[float]: "DOUBLE[]",
    list[str]: "VARCHAR[]",
}
_Row = TypeVar("_Row")


class Column(NamedTuple):
    """One column: its name, its DuckDB type, what it says (with unit and range), and whether a row may say nothing."""

    name: str
    type: ColumnType
    description: str
    optional: bool = False


RUN_COLUMN = Column(RUN_ID, "VARCHAR", "The evaluation run; joins all tables.")
"""The first column of every table. It is no field of a row: whoever writes the rows of a run says which run it is."""


class Table(NamedTuple):
    """A result table.

    Args:
        name: In SQL, and in the store.
        description: What a row of it is, one line.
        row_class: What its rows are made of.
        columns: `run_id` first, then the fields of the row class in their order.
    """

    name: str
    description: str
    row_class: RowClass
    columns: tuple[Column, ...]


class View(NamedTuple):
    """A question that analysts ask often, with a name.

    Args:
        name: In SQL.
        description: What a row of it is, one line.
        sql: The SELECT behind it, over result tables only.
        reads: The result tables that it reads.
        columns: What it shows, in order.
        rows_of: Whose rows of these tables a row that names a run rests on: the run's `own`; those of the `previous`
            run of the evaluation, too; those of `all` runs. A view of `latest` runs shows no others. Where a view says
            which run is the latest, it needs all rows of `runs` besides.
    """

    name: str
    description: str
    sql: str
    reads: tuple[str, ...]
    columns: tuple[Column, ...]
    rows_of: RowsOf = "own"

    @property
    def says_latest(self) -> bool:
        """Whether it has the column that says which run is the latest of its evaluation."""
        return any(column.name == IS_LATEST for column in self.columns)

    @property
    def words(self) -> frozenset[str] | None:
        """All words of its SQL, among them every column that it reads; None where it reads columns without a name."""
        is_whole = any(re.search(rf"\b{table}\.\*", self.sql) for table in self.reads)
        return None if is_whole else frozenset(re.findall(r"[a-z0-9_]+", self.sql))


_TABLES: dict[RowClass, Table] = {}


def result_table(name: str) -> Callable[[type[_Row]], type[_Row]]:
    """Declare a frozen dataclass as the rows of a result table.

    Every field is `Annotated[type, "what it says."]`, the type being str, int, float, bool, datetime (UTC), list[int],
    list[float] or list[str], or one of these `| None` where a row may have nothing to say.

    Raises:
        TypeError: The class is not frozen, or a field has another type or no description.
    """

    def declare(row_class: type[_Row]) -> type[_Row]:
        if not dataclasses.is_dataclass(row_class) or not row_class.__dataclass_params__.frozen:  # type: ignore[attr-defined]
            raise TypeError(f"{row_class.__name__}: a row is a frozen dataclass.")
        hints = typing.get_type_hints(row_class, include_extras=True)
        columns = tuple(_column(row_class, field.name, hints[field.name]) for field in dataclasses.fields(row_class))
        description = (row_class.__doc__ or "").strip().splitlines()[0]
        _TABLES[row_class] = Table(name, description, row_class, (RUN_COLUMN, *columns))
        return row_class

    return declare


def declared_table(row_class: RowClass) -> Table:
    """Return the table whose rows a class is.

    Raises:
        StoreError: It is not declared with `result_table`.
    """
    if row_class not in _TABLES:
        raise StoreError(
            f"{row_class!r} is no row of a result table.", remedy="Declare it in coder_core/results/schema."
        )
    return _TABLES[row_class]


def _column(row_class: RowClass, name: str, hint: Any) -> Column:
    place = f"{row_class.__name__}.{name}"
    if typing.get_origin(hint) is not Annotated:
        raise TypeError(f"{place}: write Annotated[type, 'what it says.'].")
    kind, description = typing.get_args(hint)[:2]
    is_optional = isinstance(kind, types.UnionType) and type(None) in kind.__args__
    if is_optional:
        (kind,) = (member for member in kind.__args__ if member is not type(None))
    if kind not in _TYPES:
        raise TypeError(f"{place}: {kind} is no type of a column; use one of {', '.join(map(str, _TYPES))}.")
    return Column(name, _TYPES[kind], description, is_optional)
