"""Features that another tool computed: what is read, what is refused, and that nothing is made worse."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from coder_core.errors import DatasetError, FeatureFileError, InputError
from coder_core.images.features_file import UNIT_TOLERANCE, load_features, normalised_rows, text_values
from coder_core.specs import FeaturesDataset

REAL = Path(__file__).parents[4] / "shared" / "data" / "features" / "dtd.npz"
ROWS = np.array([[3.0, 4.0], [0.0, 2.0], [1.0, 0.0]])
GOOD = {"features": ROWS, "labels": np.array([1, 0, 1]), "class_names": np.array(["wren", "owl"])}


@pytest.fixture
def load(tmp_path):
    """Writes arrays into a file and reads it as a data set."""

    def write(changes=None, *, suffix=".npz", **settings):
        path = tmp_path / f"images{suffix}"
        arrays = {**GOOD, **(changes or {})}
        kept = {name: array for name, array in arrays.items() if array is not None}
        if suffix == ".npz":
            np.savez(path, **kept)
        else:
            columns = {name: array.tolist() if array.ndim > 1 else array for name, array in kept.items()}
            pq.write_table(pa.table({name: columns[name] for name in columns if name != "class_names"}), path)
            settings = {"class_names": ("wren", "owl"), **settings}
        return load_features(FeaturesDataset(kind="features", path=str(path), **settings))

    return write


def refusal(load, changes=None, error=FeatureFileError, **settings):
    with pytest.raises(error) as caught:
        load(changes, **settings)
    assert caught.value.remedy
    return str(caught.value)


@pytest.mark.parametrize("suffix", [".npz", ".parquet"])
def test_a_good_file_is_read(load, suffix):
    found = load(suffix=suffix)
    assert found.classes.names == ("wren", "owl")
    assert found.label_ids.tolist() == [1, 0, 1]
    assert tuple(found.image_ids) == ("000000000", "000000001", "000000002")
    assert found.features.dtype == np.float32
    assert np.allclose(found.features, [[0.6, 0.8], [0.0, 1.0], [1.0, 0.0]])


@pytest.mark.parametrize("suffix", [".npz", ".parquet"])
def test_names_of_arrays_are_settings(load, suffix):
    changes = {"test": ROWS, "y": np.array([0, 0, 0], dtype=np.uint8), "ids": np.array(["c", "a", "b"])}
    found = load(changes, suffix=suffix, features="test", labels="y", image_ids="ids", class_names=("kite",))
    assert found.image_ids == ("c", "a", "b")
    assert found.classes.names == ("kite",)


def test_ids_may_be_numbers_and_names_bytes(load):
    found = load({"ids": np.array([7, 5, 6]), "class_names": np.array([b"wren", "h\xe9ron".encode()])}, image_ids="ids")
    assert found.image_ids == ("7", "5", "6")
    assert found.classes.names == ("wren", "h\xe9ron")


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.int32])
def test_any_numbers_are_normalised(load, kind):
    assert np.allclose(np.linalg.norm(load({"features": ROWS.astype(kind)}).features, axis=1), 1.0)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"features": None}, "no array 'features'"),
        ({"labels": None}, "no array 'labels'"),
        ({"class_names": None}, "no array 'class_names'"),
        ({"features": np.array([[1.0, np.nan], [0, 1], [1, 0]])}, r"features: row 0 holds NaN or infinity \(1 of 3"),
        ({"features": np.array([[1.0, 0], [0, np.inf], [-np.inf, 0]])}, r"row 1 holds NaN or infinity \(2 of 3"),
        ({"features": np.array([[1.0, 0], [0, 1e300], [1, 0]])}, "row 1 holds NaN or infinity"),
        ({"features": np.array([[1.0, 0], [0, 0], [1, 0]])}, r"row 1 holds zeros only \(1 of 3"),
        ({"features": np.ones(3)}, r"expected \(rows, dim\) numbers, found shape \(3,\)"),
        ({"features": np.ones((3, 2, 1))}, r"found shape \(3, 2, 1\)"),
        ({"features": np.ones((0, 2)), "labels": np.zeros(0, int)}, r"found shape \(0, 2\)"),
        ({"features": np.ones((3, 0))}, "zeros only"),
        ({"features": np.ones((3, 2), dtype=complex)}, "complex128"),
        ({"features": np.ones((3, 2), dtype=bool)}, "bool"),
        ({"features": np.array([["a", "b"]] * 3)}, "<U1"),
        ({"labels": np.array([0, 1])}, r"labels: expected 3 whole numbers, found shape \(2,\)"),
        ({"labels": np.array([[0], [1], [1]])}, r"found shape \(3, 1\)"),
        ({"labels": np.array([0.0, 1.0, 1.0])}, "float64"),
        ({"labels": np.array(["wren", "owl", "owl"])}, "<U4"),
        ({"labels": np.array([0, 2, 3])}, r"row 1 has label 2, not in 0..1 \(2 rows do\)"),
        ({"labels": np.array([0, -1, 1])}, "row 1 has label -1"),
        ({"labels": np.array([0, 2**63, 1], dtype=np.uint64)}, "row 1 has label 9223372036854775808"),
        ({"class_names": np.array("wren")}, r"class_names: expected a vector of texts, found shape \(\)"),
        ({"class_names": np.array([["wren"], ["owl"]])}, r"found shape \(2, 1\)"),
        ({"class_names": np.array([0.5, 1.5])}, "float64"),
        ({"class_names": np.array([b"\xff", b"a"])}, "not UTF-8"),
    ],
)
def test_what_cannot_be_is_refused(load, changes, problem):
    with pytest.raises(FeatureFileError, match=problem) as caught:
        load(changes)
    assert "images.npz" in caught.value.place
    assert caught.value.remedy


def test_python_objects_are_never_loaded(load):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was executed",))

    assert "cannot be read" in refusal(load, {"labels": np.array([Bomb()] * 3, dtype=object)})


def test_what_is_not_asked_for_is_not_looked_at(load):
    assert load({"other": np.zeros((2, 2, 2))}).label_ids.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("ids", "problem"), [(["a", "b"], "2 image ids and 3 features"), (["a", "b", "a"], "'a' is there 2 times")]
)
def test_image_ids_are_unique_and_as_many_as_images(load, ids, problem):
    assert problem in refusal(load, {"ids": np.array(ids)}, image_ids="ids")


def test_a_parquet_column_is_no_class_list(load):
    assert "no place for a class list" in refusal(load, suffix=".parquet", class_names="labels")


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ({"features": [[1.0, 0.0], [1.0]], "labels": [0, 1]}, "features"),
        ({"features": [[1.0, 0.0], None], "labels": [0, 1]}, "1 of 2 values are null"),
        ({"features": [[1.0, 0.0], [0.0, 1.0]], "labels": [0, None]}, "1 of 2 values are null"),
        ({"features": [[1.0, 0.0], [0.0, 1.0]], "labels": [0.0, 1.0]}, "double|float64"),
        ({"features": [1.0, 2.0], "labels": [0, 1]}, r"found shape \(2,\)"),
        ({"vectors": [[1.0, 0.0]], "labels": [0]}, "no column 'features'"),
    ],
)
def test_parquet_files_are_checked_too(tmp_path, columns, problem):
    path = tmp_path / "images.parquet"
    pq.write_table(pa.table(columns), path)
    with pytest.raises(FeatureFileError, match=problem):
        load_features(FeaturesDataset(kind="features", path=str(path), class_names=("wren", "owl")))


def test_blank_class_names_are_refused(load):
    assert "position 1" in refusal(load, {"class_names": np.array(["wren", " "])}, DatasetError)


def test_files_that_are_none_are_refused(tmp_path):
    (tmp_path / "images.npz").write_bytes(b"PK\x03\x04 but no archive")
    dataset = FeaturesDataset(kind="features", path=str(tmp_path / "images.npz"))
    with pytest.raises(FeatureFileError):
        load_features(dataset)
    with pytest.raises(InputError):
        load_features(dataset.model_copy(update={"path": str(tmp_path / "absent.npz")}))


def test_rows_that_are_unit_length_after_rounding_stay_bit_for_bit():
    rows = np.random.default_rng(0).standard_normal((50, 512))
    halves = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)
    assert np.array_equal(normalised_rows(halves, "x"), halves.astype(np.float32))


@pytest.mark.skipif(not REAL.is_file(), reason="needs ../shared/data/features")
def test_real_features_stay_bit_for_bit():
    dataset = FeaturesDataset(kind="features", path=str(REAL), features="test_features", labels="test_labels")
    found = load_features(dataset)
    with np.load(REAL) as arrays:
        assert np.array_equal(found.features, arrays["test_features"].astype(np.float32))
    assert (len(found.classes), len(found.image_ids)) == (47, 1692)


def test_rows_that_are_off_by_more_are_scaled():
    rows = np.array([[1.0 + 2 * UNIT_TOLERANCE, 0.0], [1.0 - UNIT_TOLERANCE / 2, 0.0]])
    assert np.allclose(normalised_rows(rows, "x")[:, 0], [1.0, 1.0 - UNIT_TOLERANCE / 2], atol=1e-7)


@given(
    hnp.arrays(
        np.float64, st.tuples(st.integers(1, 5), st.integers(1, 5)), elements=st.floats(-(2.0**100), 2.0**100, width=32)
    )
)
def test_rows_keep_their_direction_or_are_refused(values):
    if not (np.abs(values).max(axis=1) > 1e-37).all():
        values = values + 1.0
    try:
        rows = normalised_rows(values.copy(), "x")
    except FeatureFileError as error:
        assert "zeros only" in str(error)  # noqa: PT017 - either outcome is right
        return
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    assert np.allclose(rows, values / lengths, atol=2 * UNIT_TOLERANCE)
    assert np.allclose(np.linalg.norm(rows, axis=1), 1.0, atol=2 * UNIT_TOLERANCE)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), min_size=1))
def test_texts_come_back_as_they_were(texts):
    assert text_values(np.array(texts, dtype=object), "x") == tuple(texts)


def test_the_caller_keeps_its_array():
    values = np.array([[3.0, 4.0]], dtype=np.float32)
    normalised_rows(values, "x")
    assert values.tolist() == [[3.0, 4.0]]
