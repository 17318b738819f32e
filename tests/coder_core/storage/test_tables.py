import uuid
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from coder_core.errors import StoreError
from coder_core.fingerprint import content_hash
from coder_core.image_ids import RowNumbers
from coder_core.storage.refusals import NotInStoreError
from coder_core.storage.store import Store
from coder_core.storage.tables import (
    GROUP_BYTES,
    decode_parquet,
    encode_parquet,
    ids_from_arrow,
    ids_to_arrow,
    read_parquet,
    row_hashes,
    vectors_from_arrow,
    vectors_to_arrow,
)

VECTORS = hnp.arrays(
    st.sampled_from([np.float16, np.float32]),
    st.tuples(st.integers(1, 6), st.integers(1, 5)),
    elements=st.floats(-8, 8, width=16),
)


@given(VECTORS, st.integers(1, 3))
@settings(max_examples=50)
def test_vectors_survive_arrow_and_parquet_bit_for_bit(vectors: np.ndarray, chunks: int) -> None:
    table = pa.concat_tables(
        [pa.table({"v": vectors_to_arrow(part)}) for part in np.array_split(vectors, chunks) if len(part)]
    )
    read = decode_parquet(encode_parquet(table), "memory")
    for column in (table.column("v"), read.column("v")):
        back = vectors_from_arrow(column)
        assert back.dtype == vectors.dtype
        assert np.array_equal(back, vectors)


def test_one_chunk_is_viewed_and_not_copied() -> None:
    vectors = np.arange(6, dtype=np.float32).reshape(3, 2)
    column = vectors_to_arrow(vectors)
    assert np.shares_memory(vectors_from_arrow(column), vectors)
    assert vectors_from_arrow(column.slice(1, 1)).tolist() == [[2, 3]]


def test_no_rows_keep_their_dimension() -> None:
    empty = vectors_from_arrow(vectors_to_arrow(np.empty((0, 7), dtype=np.float16)))
    assert empty.shape == (0, 7)
    assert empty.dtype == np.float16


@pytest.mark.parametrize(
    "vectors",
    [np.zeros(3, dtype=np.float32), np.zeros((2, 0), dtype=np.float32), np.zeros((2, 2)), np.zeros((2, 2), int)],
)
def test_what_is_no_matrix_of_small_floats_is_refused(vectors: np.ndarray) -> None:
    with pytest.raises(TypeError, match="float16 or float32"):
        vectors_to_arrow(vectors)


@pytest.mark.parametrize(
    "column",
    [
        pa.array([[1.0], [1.0, 2.0], [1.0, 2.0, 3.0]]),
        pa.array([[1.0, 2.0], None]),
        pa.array([[1.0, None]]),
        pa.array(["a"]),
        pa.chunked_array([pa.array([[1.0]]), pa.array([[1.0, 2.0]])]),
    ],
)
def test_ragged_null_and_other_columns_are_refused(column: pa.Array) -> None:
    with pytest.raises(TypeError):
        vectors_from_arrow(column)


def test_equal_tables_give_equal_bytes_however_they_were_put_together() -> None:
    rows = [{"key": f"k{number}", "text": "ä" * number} for number in range(20)]
    whole = pa.Table.from_pylist(rows)
    pieces = pa.concat_tables([pa.Table.from_pylist(rows[:7]), pa.Table.from_pylist(rows[7:])])
    sliced = pa.Table.from_pylist([rows[0], *rows]).slice(1)
    assert encode_parquet(whole) == encode_parquet(pieces) == encode_parquet(sliced)


@pytest.mark.parametrize(("dim", "rows"), [(512, 8_192), (16_384, 600)])
def test_wide_vectors_are_cut_into_groups_of_bounded_size(dim: int, rows: int) -> None:
    vectors = np.zeros((rows, dim), dtype=np.float32)
    table = pa.table({"key": ["k"] * len(vectors), "vector": vectors_to_arrow(vectors)})
    file = pq.ParquetFile(pa.BufferReader(encode_parquet(table)))
    found = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
    assert max(found) * dim * 4 <= GROUP_BYTES
    assert min(found[:-1]) * dim * 4 > GROUP_BYTES * 0.8
    assert sum(found) == len(vectors)


def test_only_asked_columns_are_read_and_unknown_ones_refused(store: Store) -> None:
    store.write_bytes("t.parquet", encode_parquet(pa.table({"a": [1, 2], "b": ["x", "y"]})))
    assert read_parquet(store, "t.parquet", ["b"]).to_pydict() == {"b": ["x", "y"]}
    with pytest.raises(StoreError, match=r"no column 'c'.*It holds: a, b"):
        read_parquet(store, "t.parquet", ["c"])
    with pytest.raises(NotInStoreError):
        read_parquet(store, "none.parquet")


@pytest.mark.parametrize("damage", [lambda _c: b"", lambda _c: b"PAR1", lambda c: c[:-9], lambda c: c[: len(c) // 2]])
def test_a_truncated_file_is_refused_with_its_name(damage: object) -> None:
    store = Store(f"memory://{uuid.uuid4().hex}")
    content = encode_parquet(pa.table({"a": list(range(100))}))
    store.write_bytes("t.parquet", damage(content))  # type: ignore[operator]
    with pytest.raises(StoreError, match="damaged") as error:
        read_parquet(store, "t.parquet")
    assert error.value.place == store.url("t.parquet")
    assert "store verify --repair" in error.value.remedy


def test_a_flipped_bit_is_never_another_number(disk_store: Store) -> None:
    values = np.random.default_rng(0).standard_normal(64).astype(np.float32)
    content = encode_parquet(pa.table({"a": values}))
    at = content.index(values[:8].tobytes()) if values[:8].tobytes() in content else 40
    disk_store.write_bytes("t.parquet", content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    with pytest.raises(StoreError, match="damaged"):
        read_parquet(disk_store, "t.parquet")


@given(VECTORS)
def test_rows_are_hashed_as_their_bytes_are(vectors: np.ndarray) -> None:
    expected = [content_hash(row.tobytes()) for row in vectors]
    assert row_hashes(vectors).to_pylist() == expected
    assert row_hashes(np.asfortranarray(vectors)).to_pylist() == expected


@pytest.mark.parametrize("ids", [[], ["b", "", "ä"], RowNumbers(range(8, 12)), RowNumbers(range(10**9 - 1, 10**9 + 1))])
def test_ids_survive_arrow_in_any_shape(ids: Sequence[str]) -> None:
    column = ids_to_arrow(ids)
    column.validate(full=True)
    assert column.type == pa.string()
    assert column.to_pylist() == list(ids)
    part = ids_to_arrow(ids_from_arrow(column)[1:])
    part.validate(full=True)
    assert part.to_pylist() == list(ids)[1:]
