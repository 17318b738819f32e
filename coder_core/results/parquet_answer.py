"""Query results as Parquet: typed as DuckDB typed them, whatever the rows hold; an answer without rows has types, too.

The names of types come from the process that answers questions, which is not trusted: they are parsed here, and a type
that is not known becomes text.
"""

import io
import json
import re
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from coder_core.results.query_result import QueryResult
from coder_core.results.render import plain_value, unique_names

_SCALARS: dict[str, pa.DataType] = {
    "BOOLEAN": pa.bool_(),
    "TINYINT": pa.int8(),
    "SMALLINT": pa.int16(),
    "INTEGER": pa.int32(),
    "BIGINT": pa.int64(),
    "UTINYINT": pa.uint8(),
    "USMALLINT": pa.uint16(),
    "UINTEGER": pa.uint32(),
    "UBIGINT": pa.uint64(),
    "FLOAT": pa.float32(),
    "DOUBLE": pa.float64(),
    "VARCHAR": pa.string(),
    "BLOB": pa.binary(),
    "DATE": pa.date32(),
    "TIME": pa.time64("us"),
    "TIMESTAMP": pa.timestamp("us"),
    "TIMESTAMP WITH TIME ZONE": pa.timestamp("us", tz="UTC"),
}
_WIDE = frozenset({"HUGEINT", "UHUGEINT"})
"""What DuckDB makes of a sum of whole numbers."""
_LIST = re.compile(r"(?P<item>.+)\[\d*\]", re.DOTALL)
_MAP = re.compile(r"MAP\((?P<key>[A-Z]+), (?P<value>.+)\)", re.DOTALL)
_DECIMAL = re.compile(r"DECIMAL\((?P<digits>\d{1,2}),(?P<scale>\d{1,2})\)")
DEEPEST = 20
"""Lists in lists: what nests deeper becomes text."""


def to_parquet(result: QueryResult) -> bytes:
    """Write an answer as a Parquet file; a repeated column name is numbered.

    Whole numbers wider than 64 bits become `int64` where all of them fit, else decimals. What has no type in Parquet
    (an interval, a structure) becomes text: JSON, where it holds other values.
    """
    types = result.types or ("",) * len(result.columns)
    columns = [_column(kind, [row[at] for row in result.rows]) for at, kind in enumerate(types)]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(columns, names=unique_names(result.columns)), sink, compression="zstd")
    return sink.getvalue()


def _column(name: str, values: list[Any]) -> pa.Array:
    kinds = [pa.int64(), pa.decimal128(38, 0)] if name in _WIDE else [_arrow_type(name)]
    for kind in kinds:
        try:
            return pa.array([_value(value, kind) for value in values], type=kind)
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, TypeError, AttributeError):
            continue
    return pa.array([_text(value) for value in values], type=pa.string())


def _arrow_type(name: str, depth: int = 0) -> pa.DataType:
    if name in _SCALARS:
        return _SCALARS[name]
    if depth < DEEPEST and (found := _LIST.fullmatch(name)):
        return pa.list_(_arrow_type(found["item"], depth + 1))
    if depth < DEEPEST and (found := _MAP.fullmatch(name)):
        return pa.map_(_arrow_type(found["key"], depth + 1), _arrow_type(found["value"], depth + 1))
    if (found := _DECIMAL.fullmatch(name)) and 0 < int(found["digits"]) <= 38:
        return pa.decimal128(int(found["digits"]), int(found["scale"]))
    return pa.string()


def _value(value: Any, kind: pa.DataType) -> Any:
    if value is None:
        return None
    if pa.types.is_map(kind):
        return [(_value(key, kind.key_type), _value(item, kind.item_type)) for key, item in value.items()]
    if pa.types.is_list(kind):
        if not isinstance(value, list | tuple):
            raise TypeError(f"A {type(value).__name__} is no list.")
        return [_value(item, kind.value_type) for item in value]
    if pa.types.is_string(kind):
        return _text(value)
    return Decimal(value) if pa.types.is_decimal(kind) else value


def _text(value: Any) -> str | None:
    plain = plain_value(value)
    return plain if plain is None or isinstance(plain, str) else json.dumps(plain)
