"""Feature files: columns and arrays alike, and Parquet files that lie or are damaged."""

import io
import random
import uuid

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from coder_core.errors import FeatureFileError, InputError
from coder_core.storage import input_tables
from coder_core.storage.input_tables import read_columns, read_feature_file, read_npz
from coder_core.storage.store import Store
from coder_core.storage.tables import encode_parquet, vectors_to_arrow
from tests.damage import damaged

FEATURES = np.arange(6, dtype=np.float32).reshape(3, 2)


@pytest.fixture
def given_file():
    """Put a user's file somewhere; returns its URL."""

    def put(name, content):
        store = Store(f"memory://{uuid.uuid4().hex}")
        store.write_bytes(name, content)
        return store.url(name)

    return put


def npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def parquet(columns, **options):
    sink = io.BytesIO()
    pq.write_table(columns if isinstance(columns, pa.Table) else pa.table(columns), sink, **options)
    return sink.getvalue()


def refusal(url, *names):
    with pytest.raises(FeatureFileError) as error:
        read_feature_file(url, names)
    assert url in error.value.place
    assert error.value.remedy
    return str(error.value)


def test_npz_and_parquet_features_are_read_alike(given_file):
    names = np.array(["a", "b", "\u00e4"])
    table = pa.table({"features": vectors_to_arrow(FEATURES), "names": names.tolist(), "ragged": [[1], [1, 2], []]})
    for url in (
        given_file("f.npz", npz(features=FEATURES, names=names)),
        given_file("f.NPZ", npz(features=FEATURES, names=names)),
        given_file("f.bin", npz(features=FEATURES, names=names)),
        given_file("f.parquet", encode_parquet(table)),
        given_file("f.PARQUET", encode_parquet(table)),
    ):
        arrays = read_feature_file(url, ["features", "names"])
        assert np.array_equal(arrays["features"], FEATURES)
        assert arrays["names"].tolist() == names.tolist()
        with pytest.raises(FeatureFileError, match=r"no (array|column) 'labels'.*features, names"):
            read_feature_file(url, ["labels"])


@pytest.mark.parametrize("read", [read_npz, read_columns])
def test_a_missing_file_is_an_input_error(tmp_path, read):
    with pytest.raises(InputError) as error:
        read(str(tmp_path / "none"), ["a"])
    assert error.value.place == str(tmp_path / "none")


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1, 2, 3], pa.int8()),
        pa.array([1.5, 2.5, 3.5], pa.float16()),
        pa.array([True, False, True]),
        pa.array(["a", "b", "a"]),
        pa.array(["a", "b", "a"], pa.large_string()),
        pa.array(["a", "b", "a"]).dictionary_encode(),
        pa.array([], pa.string()),
        pa.array([[1, 2], [3, 4], [5, 6]]),
        pa.array([[1.0, 2.0]], pa.large_list(pa.float64())),
        pa.array([[1.0, 2.0]], pa.list_(pa.float32(), 2)),
    ],
)
def test_columns_of_numbers_texts_and_lists_are_read(given_file, column):
    url = given_file("f.parquet", parquet({"a": column, "other": [{"x": 1}] * len(column)}))
    assert read_columns(url, ["a"])["a"].tolist() == column.to_pylist()


@pytest.mark.parametrize(
    ("column", "told"),
    [
        (pa.array([[1], [1, 2]]), "column 'a': .*different lengths"),
        (pa.array([1, None]), "column 'a': 1 of 2 values are null"),
        (pa.array(["a", None]), "column 'a': 1 of 2 values are null"),
        (pa.array([[1.0], None]), "null"),
        (pa.array([[1.0], [None]]), "null"),
        (pa.array([{"x": 1}]), r"The column 'a' holds struct<x: int64>"),
        (pa.array([[{"x": 1}]]), r"holds list<"),
        (pa.array([[[1.0]]]), r"holds list<"),
        (pa.array([["a"]]), r"holds list<"),
        (pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())), r"holds map<"),
        (pa.array([b"a"]), "holds binary"),
        (pa.array([0], pa.timestamp("us")), "holds timestamp"),
        (pa.array([1], pa.decimal128(5, 2)), "holds decimal"),
        (pa.nulls(3), "holds null"),
    ],
)
def test_other_columns_are_refused_by_what_they_hold(given_file, column, told):
    with pytest.raises(FeatureFileError, match=told):
        read_columns(given_file("f.parquet", parquet({"a": column})), ["a"])


def test_a_column_that_is_there_twice_is_refused(given_file):
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2]), pa.array([3])], names=["a", "a", "b"])
    url = given_file("f.parquet", parquet(table))
    assert "The column 'a' is there 2 times" in refusal(url, "a")
    assert read_columns(url, ["b"])["b"].tolist() == [3]


def test_a_name_with_a_dot_is_a_name(given_file):
    url = given_file("f.parquet", parquet({"a.b": [1, 2], "a": [3, 4]}))
    found = read_columns(url, ["a.b", "a"])
    assert (found["a.b"].tolist(), found["a"].tolist()) == ([1, 2], [3, 4])


@pytest.mark.slow
def test_equal_values_by_the_million_are_held_against_the_limits(given_file, monkeypatch):
    rows = 3_000_000
    url = given_file("f.parquet", parquet({"a": pa.repeat(pa.scalar(7), rows), "v": pa.repeat(pa.scalar([7.0]), rows)}))
    monkeypatch.setattr(input_tables, "MAX_COLUMN_ROWS", rows - 1)
    assert "declares 3000000 rows, more than 2999999 (MAX_COLUMN_ROWS)" in refusal(url, "a")
    monkeypatch.setattr(input_tables, "MAX_COLUMN_ROWS", rows)
    monkeypatch.setattr(input_tables, "MAX_ARRAY_BYTES", 4 * rows)
    assert read_columns(url, ["a"])["a"].shape == (rows,)
    assert "(MAX_ARRAY_BYTES)" in refusal(url, "a", "v")


def test_a_long_text_by_the_million_is_counted_before_it_is_made(given_file, monkeypatch):
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 20_000, pa.int32()), pa.array(["x" * 100_000]))
    url = given_file("f.parquet", parquet({"a": texts}))
    monkeypatch.setattr(input_tables, "MAX_ARRAY_BYTES", 1_000_000_000)
    assert "The texts have 2000000000 bytes" in refusal(url, "a")


def test_a_text_that_is_no_utf_8_is_refused(given_file):
    texts = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff"]).buffers())
    assert "Invalid UTF8" in refusal(given_file("f.parquet", parquet({"a": texts})), "a")


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + bytes(40) + b"PAR1", b"hello"])
def test_what_is_no_parquet_file_is_refused(given_file, content):
    assert "damaged" in refusal(given_file("f.parquet", content), "a")


@pytest.mark.parametrize("suffix", [".npz", ".parquet"])
def test_only_what_is_asked_for_is_fetched(tmp_path, suffix, monkeypatch):
    large = np.random.default_rng(0).random((9, 400_000))
    arrays = {"small": np.arange(9.0), "large": large if suffix == ".npz" else large.tolist()}
    path = tmp_path / f"f{suffix}"
    path.write_bytes(npz(**arrays) if suffix == ".npz" else parquet(arrays))
    fetched = []
    original = input_tables.open_input

    class Counting(io.BytesIO):
        def read(self, size=-1):
            fetched.append(len(content := super().read(size)))
            return content

    class Opened:
        def __init__(self, url):
            self.url = url

        def __enter__(self):
            with original(self.url) as file:
                return Counting(file.read())

        def __exit__(self, *_):
            return None

    monkeypatch.setattr(input_tables, "open_input", Opened)
    assert read_feature_file(str(path), ["small"])["small"].tolist() == list(range(9))
    assert sum(fetched) < 1_000_000 < path.stat().st_size


PARQUET_SEED = parquet(
    {
        "features": pa.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], pa.list_(pa.float32(), 2)),
        "labels": [0, 1, 0],
        "names": ["a", "b", "a"],
    },
    write_page_checksum=True,
)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_damaged_parquet_files_are_arrays_or_one_error(tmp_path, part):
    refused, path = 0, tmp_path / "f.parquet"
    for number in range(part * 500, part * 500 + 500):
        path.write_bytes(damaged(PARQUET_SEED, random.Random(number)))
        try:
            found = read_columns(str(path), ["features", "labels", "names"])
        except FeatureFileError as error:
            refused += 1
            assert str(path) in error.place  # noqa: PT017 - either outcome is right
        else:
            assert {name: len(array) for name, array in found.items()}
    assert 100 < refused <= 500
