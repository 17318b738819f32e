"""Class lists in tables: the columns `class_name` and `class_id` of a Parquet file, or of what a query returned."""

import io
from collections.abc import Iterable, Sequence

import pyarrow as pa

from coder_core.class_source.entries import ID_COLUMN, NAME_COLUMN, ClassEntry
from coder_core.errors import InputError, StoreError, UnfinishedInputError
from coder_core.storage.parquet_footer import read_footer
from coder_core.storage.tables import decode_parquet

MAX_DECLARED_BYTES = 2**30
"""A class list, or a table that a query makes one from; a few bytes can declare any number of equal values."""

PARQUET_MAGIC = b"PAR1"
"""The first and the last four bytes of a finished Parquet file (Apache Parquet, file format)."""


def parse_parquet_classes(content: bytes, place: str) -> list[ClassEntry]:
    """Read column `class_name` and, where it is there, `class_id` of a Parquet file.

    Raises:
        UnfinishedInputError: The footer is missing: its writer has not closed it.
        InputError: It is damaged or no Parquet file, lacks the column, or a name is null or no text.
    """
    return class_entries(decode_finished_parquet(content, place), place)


def decode_finished_parquet(content: bytes, place: str) -> pa.Table:
    """Read Parquet bytes; `place` says where they come from.

    Raises:
        UnfinishedInputError: The footer is missing.
        InputError: It is damaged or no Parquet file.
    """
    if content[:4] == PARQUET_MAGIC and (content[-4:] != PARQUET_MAGIC or len(content) < 12):
        raise UnfinishedInputError(
            "this Parquet file has no footer: it is half written.", place, "Wait for its writer."
        )
    try:
        footer = read_footer(io.BytesIO(content))
        declared = sum(max(4 * values, unpacked) for _, values, unpacked in footer.columns)
        if declared > MAX_DECLARED_BYTES:
            raise InputError(f"it declares {declared} bytes, more than {MAX_DECLARED_BYTES}.", place, "Split it.")
        table = decode_parquet(content, place)
        table.validate(full=True)
    except StoreError as error:
        raise InputError(error.problem, place, "Write the file again.") from error
    except (ValueError, pa.ArrowException) as error:
        raise InputError(f"This Parquet file is damaged ({error}).", place, "Write the file again.") from error
    return table


def class_entries(table: pa.Table, place: str) -> list[ClassEntry]:
    """Read the rows of a table, in order.

    Raises:
        InputError: There is no column `class_name`, or a name or an id is no text.
    """
    refuse_repeated_columns(table.column_names, place)
    kept = [name for name in (NAME_COLUMN, ID_COLUMN) if name in table.column_names]
    columns = [table.column(name).to_pylist() for name in kept]
    return row_entries(table.column_names if NAME_COLUMN not in kept else kept, zip(*columns, strict=True), place)


def row_entries(columns: Sequence[str], rows: Iterable[Sequence[object]], place: str) -> list[ClassEntry]:
    """Read rows, in order.

    Raises:
        InputError: There is no column `class_name`, one is there twice, or a name or an id is no text.
    """
    refuse_repeated_columns(columns, place)
    if NAME_COLUMN not in columns:
        held = ", ".join(map(repr, columns))
        raise InputError(f"there is no column {NAME_COLUMN!r}, but {held}.", place, "Name the column.")
    name_at, id_at = columns.index(NAME_COLUMN), columns.index(ID_COLUMN) if ID_COLUMN in columns else None
    return [
        _entry(row[name_at], None if id_at is None else row[id_at], number, place) for number, row in enumerate(rows)
    ]


def refuse_repeated_columns(names: Sequence[str], place: str) -> None:
    """Refuse a table that has a column twice: which one is meant cannot be known.

    Raises:
        InputError: Names the column.
    """
    if repeated := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"the column {repeated!r:.80} is there twice.", place, "Name each column once.")


def _entry(name: object, stable_id: object, row: int, place: str) -> ClassEntry:
    if not isinstance(name, str):
        raise InputError(f"the name {name!r} is no text.", f"{place}, row {row}", f"Write {NAME_COLUMN} as text.")
    if not isinstance(stable_id, str | int | None) or isinstance(stable_id, bool):
        raise InputError(f"the id {stable_id!r} is no text or number.", f"{place}, row {row}", "Write it as text.")
    return ClassEntry(name.strip(), None if stable_id is None else str(stable_id).strip() or None, f"row {row}")
