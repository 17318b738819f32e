"""Tables: Arrow and Parquet at the border between numpy and the store.

Vectors are `FixedSizeList<float16|float32>[D]` and pass between numpy and Arrow without a copy. A Parquet file is built
in memory and put in one step; equal tables give equal bytes, so a retry writes what is there already. Every page
carries a checksum that every reader verifies, because a flipped bit in a vector would otherwise be a plausible number.
"""

import binascii
import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Float

from coder_core.image_ids import ImageIds, RowNumbers
from coder_core.storage.refusals import REPAIR, UnexpectedContentError, explained
from coder_core.storage.store import Store

GROUP_BYTES = 16 * 2**20
"""What a reader of one row fetches and unpacks, and what `iter_batches` holds: 8,192 vectors of 512 float32."""
GROUP_ROWS = 65_536
SHA256_DIGITS = 64
NOMINAL_BYTES = 256
"""Taken for a value without a fixed width (a text): groups follow from the schema, so equal tables have equal bytes."""
COMPRESSION = "zstd"
_VECTOR_TYPES = ("float16", "float32")


def vectors_to_arrow(vectors: Float[np.ndarray, "rows dim"]) -> pa.FixedSizeListArray:
    """View a matrix as one Arrow list of `dim` numbers per row, without a copy when it is contiguous.

    Raises:
        TypeError: When it is not a (rows, dim >= 1) matrix of float16 or float32.
    """
    if vectors.ndim != 2 or not vectors.shape[1] or vectors.dtype.name not in _VECTOR_TYPES:
        raise TypeError(f"vectors: expected (rows, dim) of float16 or float32, found {vectors.shape} {vectors.dtype}.")
    values = pa.array(np.ascontiguousarray(vectors).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(values, vectors.shape[1])


def vectors_from_arrow(column: pa.Array | pa.ChunkedArray) -> Float[np.ndarray, "rows dim"]:
    """View a column of lists of equal length as a matrix; one chunk is not copied (and then read-only).

    Raises:
        TypeError: When it is not a list column, when a row is null, or when lengths differ.
    """
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    matrices = [_chunk_vectors(chunk) for chunk in chunks if len(chunk)]
    if len({matrix.shape[1] for matrix in matrices}) > 1:
        raise TypeError("The lists of a vector column have different lengths.")
    if not matrices:
        dtype = column.type.value_type.to_pandas_dtype() if is_list(column.type) else np.float32
        return np.empty((0, getattr(column.type, "list_size", 0)), dtype=dtype)
    return matrices[0] if len(matrices) == 1 else np.concatenate(matrices)


def ids_from_arrow(column: pa.Array | pa.ChunkedArray) -> ImageIds:
    """View a column of texts as ids; one chunk is not copied.

    Raises:
        TypeError: When it holds anything else than texts, or a null.
    """
    if column.type != pa.string() or column.null_count:
        raise TypeError(f"Ids are texts without nulls, not {column.type} with {column.null_count} nulls.")
    pieces = [_chunk_ids(chunk) for chunk in (column.chunks if isinstance(column, pa.ChunkedArray) else [column])]
    return pieces[0] if len(pieces) == 1 else ImageIds.join(pieces)


def ids_to_arrow(ids: Sequence[str]) -> pa.StringArray:
    """Ids as a column of texts; those that lie in one block of memory are not copied."""
    held = ids.written() if isinstance(ids, RowNumbers) else ids
    if not isinstance(held, ImageIds):
        return pa.array(list(held), type=pa.string())
    bounds, characters = held.buffers
    if bounds.dtype != np.int32:  # more than two billion characters
        return pa.array(list(held), type=pa.string())
    return pa.StringArray.from_buffers(len(held), pa.py_buffer(bounds), pa.py_buffer(characters))


def row_hashes(matrix: Float[np.ndarray, "rows dim"]) -> pa.StringArray:
    """The sha256 of the bytes of every row, in hexadecimal: `content_hash` of each, without an object for each."""
    content = np.ascontiguousarray(matrix).reshape(-1).view(np.uint8).data
    size = matrix.shape[1] * matrix.itemsize
    digests = b"".join(hashlib.sha256(content[at : at + size]).digest() for at in range(0, len(content), size))
    bounds = np.arange(0, 2 * len(digests) + 1, SHA256_DIGITS, dtype=np.int32)
    return pa.StringArray.from_buffers(len(matrix), pa.py_buffer(bounds), pa.py_buffer(binascii.hexlify(digests)))


def _chunk_ids(chunk: pa.StringArray) -> ImageIds:
    if not len(chunk):
        return ImageIds.of(())
    _, offsets, characters = chunk.buffers()
    bounds = np.frombuffer(offsets, dtype=np.int32)[chunk.offset : chunk.offset + len(chunk) + 1]
    return ImageIds(np.frombuffer(characters or b"", dtype=np.uint8), bounds)


def encode_parquet(table: pa.Table) -> bytes:
    """Write a table as Parquet bytes; the same table always gives the same bytes."""
    sink = pa.BufferOutputStream()
    # One chunk per column: how a table was put together must not show in its bytes.
    whole = table.combine_chunks()
    pq.write_table(whole, sink, row_group_size=rows_per_group(table.schema), **parquet_options(table.schema))
    return cast(bytes, sink.getvalue().to_pybytes())


def parquet_options(schema: pa.Schema) -> dict[str, Any]:
    """How every file is written: compressed, a checksum in every page, equal texts stored once."""
    texts = [field.name for field in schema if pa.types.is_string(field.type)]
    return {"compression": COMPRESSION, "use_dictionary": texts, "write_page_checksum": True}


def decode_parquet(content: bytes, url: str, *, columns: Sequence[str] | None = None) -> pa.Table:
    """Read Parquet bytes; `url` says where they come from, for the message of a refusal."""
    with explained_parquet(url):
        file = _parquet_file(pa.BufferReader(content))
        check_columns(file, columns, url)
        return file.read(columns=_known(columns), use_threads=False)


def read_parquet(store: Store, path: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a Parquet file of the store; only the named columns are fetched.

    Raises:
        NotInStoreError: When there is no such file.
        StoreError: When it is damaged or lacks a column.
    """
    with open_parquet(store, path) as file:
        check_columns(file, columns, store.url(path))
        return file.read(columns=_known(columns), use_threads=False)


@contextlib.contextmanager
def open_parquet(store: Store, path: str) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file of the store; damage found while reading inside the block is a StoreError."""
    url = store.url(path)
    with store.open_input(path) as source, explained_parquet(url):
        yield _parquet_file(source)


@contextlib.contextmanager
def explained_parquet(url: str) -> Iterator[None]:
    """Turn what Arrow says about a damaged file into an UnexpectedContentError that names it."""
    with explained(url):
        try:
            yield
        except (pa.ArrowException, OSError, UnicodeDecodeError, MemoryError) as error:
            if isinstance(error, OSError) and (type(error) is not OSError or error.errno is not None):
                raise  # the disk or the network speaks; Arrow's own complaints carry no errno
            reason = " ".join(str(error).split())
            raise UnexpectedContentError(f"This Parquet file is damaged ({reason}).", url, REPAIR) from error


def rows_per_group(schema: pa.Schema) -> int:
    """Rows in a row group, so that it takes about `GROUP_BYTES` unpacked."""
    row_bytes = sum(_value_bytes(field.type) for field in schema)
    return min(GROUP_ROWS, max(1, GROUP_BYTES // max(1, row_bytes)))


def _value_bytes(kind: pa.DataType) -> int:
    if pa.types.is_fixed_size_list(kind):
        return int(kind.list_size) * _value_bytes(kind.value_type)
    return max(1, int(kind.bit_width) // 8) if pa.types.is_primitive(kind) else NOMINAL_BYTES


def _parquet_file(source: Any) -> pq.ParquetFile:

    return pq.ParquetFile(source, page_checksum_verification=True, pre_buffer=False)


def check_columns(file: pq.ParquetFile, columns: Sequence[str] | None, url: str) -> None:
    """Refuse a file that lacks an asked column; Arrow would leave it out without a word.

    Raises:
        UnexpectedContentError: It does; names the columns that there are.
    """
    held = file.schema_arrow.names
    if unknown := [name for name in columns or () if name not in held]:
        raise UnexpectedContentError(f"There is no column {unknown[0]!r}.", url, f"It holds: {', '.join(held)}.")


def _known(columns: Sequence[str] | None) -> list[str] | None:
    return None if columns is None else list(columns)


def is_list(kind: pa.DataType) -> bool:
    """Tell whether a column's values are lists, of fixed or of varying length."""
    return bool(pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _chunk_vectors(chunk: pa.Array) -> Float[np.ndarray, "rows dim"]:
    if not is_list(chunk.type):
        raise TypeError(f"A vector column holds lists of numbers, not {chunk.type}.")
    values = chunk.flatten()
    if chunk.null_count or values.null_count:
        raise TypeError("A vector column must not hold nulls.")
    dim, remainder = divmod(len(values), len(chunk))
    if remainder or not _has_length(chunk, dim):
        raise TypeError("The lists of a vector column have different lengths.")
    matrix: np.ndarray = values.to_numpy(zero_copy_only=False).reshape(len(chunk), dim)
    return matrix


def _has_length(chunk: pa.Array, dim: int) -> bool:

    return bool(pc.all(pc.equal(pc.list_value_length(chunk), dim)).as_py())
