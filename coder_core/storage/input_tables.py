"""Arrays and columns in files that a user gave: `.npz` archives and Parquet files of precomputed features.

Nothing is ever unpickled: an array of Python objects is refused, because loading it would run code from the file.
"""

import io
import zipfile
import zlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from coder_core.errors import FeatureFileError, StoreError
from coder_core.storage.addresses import redact
from coder_core.storage.inputs import read_input
from coder_core.storage.tables import decode_parquet, is_list, vectors_from_arrow


def read_feature_file(url: str, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Read named arrays of a file of precomputed features: columns of a `.parquet` file, arrays of any other.

    Raises:
        FeatureFileError: When the file cannot be read or lacks a name.
    """
    if url.lower().endswith(".parquet"):
        return read_columns(url, names)
    arrays = read_npz(url)
    for name in names:
        if name not in arrays:
            raise FeatureFileError(f"There is no array {name!r}.", redact(url), f"It holds: {', '.join(arrays)}.")
    return {name: arrays[name] for name in names}


def read_npz(url: str) -> dict[str, np.ndarray]:
    """Read every array of an `.npz` file.

    Raises:
        FeatureFileError: When it is no such archive, is damaged, or holds Python objects; names the array.
    """
    try:
        archive = np.load(io.BytesIO(read_input(url)), allow_pickle=False)
    except (ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise FeatureFileError("This is not an .npz archive.", redact(url), _NPZ_REMEDY) from error
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise FeatureFileError("This is one bare array (.npy) and not an .npz archive.", redact(url), _NPZ_REMEDY)
    with archive:
        return {name: _read_array(archive, name, url) for name in archive.files}


def read_columns(url: str, columns: Sequence[str]) -> dict[str, np.ndarray]:
    """Read columns of a Parquet file: lists of numbers as a (rows, dim) matrix, everything else as a vector.

    Raises:
        FeatureFileError: When the file is no Parquet file, lacks a column, or a column has nulls or ragged lists.
    """
    try:
        table = decode_parquet(read_input(url), redact(url))
    except StoreError as error:
        raise FeatureFileError(error.problem, error.place, "Write the file again.") from error
    for name in columns:
        if name not in table.column_names:
            held = ", ".join(table.column_names)
            raise FeatureFileError(f"There is no column {name!r}.", redact(url), f"It holds: {held}.")
    return {name: _column_array(table.column(name), f"{redact(url)}, column {name!r}") for name in columns}


_NPZ_REMEDY = "Write it with numpy.savez(path, name=array, ...)."


def _read_array(archive: "np.lib.npyio.NpzFile", name: str, url: str) -> np.ndarray:
    try:
        array: np.ndarray = archive[name]
    except (ValueError, EOFError, OSError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        remedy = "Write numbers or fixed-width strings (array.astype(str)); Python objects are never loaded."
        raise FeatureFileError(f"The array {name!r} cannot be read ({error}).", redact(url), remedy) from error
    return array


def _column_array(column: pa.ChunkedArray, place: str) -> np.ndarray:
    if column.null_count:
        raise FeatureFileError(f"{column.null_count} of {len(column)} values are null.", place, "Fill or drop them.")
    if not is_list(column.type):
        array: np.ndarray = column.to_numpy()
        return array
    try:
        return vectors_from_arrow(column)
    except TypeError as error:
        raise FeatureFileError(str(error), place, "Give every row a list of the same length.") from error
