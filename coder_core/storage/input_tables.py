"""Arrays and columns in files that a user gave: `.npz` archives and Parquet files of precomputed features.

What reads a file is chosen by its suffix (`READERS`). Only what is asked for is read, and nothing before its declared
size has been held against a limit.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from coder_core.errors import FeatureFileError
from coder_core.limits import limit
from coder_core.storage.addresses import redact
from coder_core.storage.feature_folders import is_feature_folder, read_feature_folder
from coder_core.storage.input_files import open_input
from coder_core.storage.npz import MAX_ARRAY_BYTES, read_arrays
from coder_core.storage.parquet_footer import ParquetFooter, read_footer
from coder_core.storage.read_rounds import may_pass
from coder_core.storage.tables import is_list, vectors_from_arrow
from coder_core.storage.tensor_files import read_safetensors, read_torch

MAX_COLUMN_ROWS = limit("CODER_MAX_COLUMN_ROWS", 100_000_000)
"""Rows that a Parquet file may declare: of one number per row, 100 million take 0.8 GB."""

NOMINAL_BYTES = 4
"""Taken for a value in memory, where the file says less: a float32."""


def read_feature_file(url: str, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Read named arrays of precomputed features: from a file by its suffix, or from a folder of another tool.

    Raises:
        FeatureFileError: When the file cannot be read or lacks a name.
        InputError: When it is missing.
    """
    if is_feature_folder(url):
        return read_feature_folder(url, names, read_columns)
    suffix = PurePosixPath(url.partition("?")[0] if "://" in url else url).suffix.lower()
    return READERS.get(suffix, read_npz)(url, names)


def read_npz(url: str, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Read named arrays of an `.npz` file.

    Raises:
        FeatureFileError: When it is no such archive, is damaged, lacks an array, or an array cannot be read (`npz`).
        InputError: When it is missing.
    """
    with open_input(url) as file:
        return read_arrays(file, names, redact(url))


def read_columns(url: str, columns: Sequence[str]) -> dict[str, np.ndarray]:
    """Read columns of a Parquet file: lists of numbers as a (rows, dim) matrix, numbers and texts as a vector.

    Raises:
        FeatureFileError: When the file is no Parquet file, lacks a column or has it twice, is past a limit, or a column
            has nulls, ragged lists or values of another type.
        InputError: When it is missing.
    """
    place = redact(url)
    with open_input(url) as source:
        try:
            footer = read_footer(source)
            file = _open_parquet(source)
            _check_columns(file, columns, place)
            check_declared(footer, columns, place)
            # A text that stands in a million rows is read as one text and a million numbers.
            texts = [name for name in columns if _is_text(file.schema_arrow.field(name).type)]
            table = _open_parquet(source, read_dictionary=texts).read(columns=list(columns), use_threads=False)
            table.validate(full=True)  # Arrow itself would read past the end of a damaged dictionary
        except FeatureFileError:
            raise
        except Exception as error:  # Arrow's parsers raise whatever damaged bytes lead them to
            if may_pass(error):  # the disk or the network speaks, and not the file
                raise
            reason = " ".join(str(error).split()) or type(error).__name__
            problem = f"This Parquet file is damaged ({reason:.300})."
            raise FeatureFileError(problem, place, "Write the file again.") from error
    return table_arrays(table, columns, place)


def table_arrays(table: pa.Table, columns: Sequence[str], place: str) -> dict[str, np.ndarray]:
    """Columns of a table: lists of numbers as a (rows, dim) matrix, numbers and texts as a vector.

    Raises:
        FeatureFileError: A column has nulls, ragged lists or values of another type.
    """
    return {name: _column_array(table.column(name), f"{place}, column {name!r}") for name in columns}


READERS: Mapping[str, Callable[[str, Sequence[str]], dict[str, np.ndarray]]] = {
    ".npz": read_npz,
    ".parquet": read_columns,
    ".safetensors": read_safetensors,
    ".pt": read_torch,
    ".pth": read_torch,
}
"""Suffix -> what reads arrays by name; any other suffix is taken for an `.npz` archive."""


def _open_parquet(source: BinaryIO, **options: Any) -> pq.ParquetFile:
    return pq.ParquetFile(source, page_checksum_verification=True, pre_buffer=False, **options)


def _check_columns(file: pq.ParquetFile, columns: Sequence[str], place: str) -> None:
    held = file.schema_arrow.names
    for name in columns:
        if name not in held:
            shown = ", ".join(f"{other:.80}" for other in held[:20])
            more = f" and {len(held) - 20} others" if len(held) > 20 else ""
            raise FeatureFileError(f"There is no column {name!r}.", place, f"It holds: {shown}{more}.")
        if held.count(name) > 1:
            raise FeatureFileError(
                f"The column {name!r} is there {held.count(name)} times.", place, "Write each column once."
            )
        kind = file.schema_arrow.field(name).type
        if not _is_readable(kind):
            raise FeatureFileError(
                f"The column {name!r} holds {kind!s:.200}.", place, "Write numbers, texts, or lists of numbers."
            )


def _is_readable(kind: pa.DataType) -> bool:
    if is_list(kind):
        return _is_number(kind.value_type)
    return _is_number(kind) or pa.types.is_boolean(kind) or _is_text(kind)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _is_text(kind: pa.DataType) -> bool:
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(plain) or pa.types.is_large_string(plain))


def check_declared(footer: ParquetFooter, columns: Sequence[str], place: str) -> None:
    """Hold what the footer declares against the limits: a few bytes can stand for any number of equal values.

    Raises:
        FeatureFileError: It declares more.
    """
    if not 0 <= footer.rows <= MAX_COLUMN_ROWS:
        raise FeatureFileError(
            f"It declares {footer.rows} rows, more than {MAX_COLUMN_ROWS} (MAX_COLUMN_ROWS).", place, "Split it."
        )
    total = sum(
        max(NOMINAL_BYTES * values, unpacked) for path, values, unpacked in footer.columns if path[0] in columns
    )
    if total > MAX_ARRAY_BYTES:
        raise FeatureFileError(
            f"The columns declare {total} bytes, more than {MAX_ARRAY_BYTES} (MAX_ARRAY_BYTES).", place, "Split it."
        )


def _column_array(column: pa.ChunkedArray, place: str) -> np.ndarray:
    if column.null_count:
        raise FeatureFileError(f"{column.null_count} of {len(column)} values are null.", place, "Fill or drop them.")
    if pa.types.is_dictionary(column.type):
        return _text_array(column, place)
    if not is_list(column.type):
        array: np.ndarray = column.to_numpy()
        return array
    try:
        return vectors_from_arrow(column)
    except TypeError as error:
        raise FeatureFileError(str(error), place, "Give every row a list of the same length.") from error


def _text_array(column: pa.ChunkedArray, place: str) -> np.ndarray:
    total = sum(pc.sum(pc.binary_length(chunk.dictionary).take(chunk.indices)).as_py() or 0 for chunk in column.chunks)
    if total > MAX_ARRAY_BYTES:
        raise FeatureFileError(f"The texts have {total} bytes, more than {MAX_ARRAY_BYTES}.", place, "Shorten them.")
    return np.array(column.to_pylist(), dtype=object)
