"""The encoder without a model: it gives what the file holds, for the very text, and nothing for any other."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from coder_core.encoders.precomputed import PrecomputedTexts
from coder_core.encoders.registry import identify_encoder, load_encoder
from coder_core.errors import FeatureFileError
from coder_core.specs import PrecomputedEncoder

REAL = Path(__file__).parents[4] / "shared" / "data" / "features" / "dtd_zero_shot_weights.npz"
ROWS = np.array([[3.0, 4.0], [0.0, 2.0], [1.0, 0.0]])
TEXTS = ("a wren", "an owl", "a kite")


def spec_of(*paths, **columns):
    return PrecomputedEncoder(kind="precomputed", texts=tuple({"path": str(path), **columns} for path in paths))


@pytest.fixture
def write(tmp_path):
    """Writes a file of text features."""

    def write(texts=TEXTS, features=ROWS, name="texts.npz"):
        np.savez(tmp_path / name, texts=np.array(texts), features=features)
        return tmp_path / name

    return write


def embed(encoder, texts):
    """Vectors of texts, in order."""
    return encoder.encode_texts(encoder.tokenize(texts), np.arange(len(texts)))


def refusal(call):
    with pytest.raises(FeatureFileError) as caught:
        call()
    assert caught.value.place
    assert caught.value.remedy
    return str(caught.value)


def test_texts_are_looked_up_in_the_order_asked_for(write):
    encoder = PrecomputedTexts(spec_of(write()))
    assert np.allclose(embed(encoder, ["a kite", "a wren", "a kite"]), [[1, 0], [0.6, 0.8], [1, 0]])
    assert encoder.dim == 2


def test_parquet_is_read_too(tmp_path):
    pq.write_table(pa.table({"name": list(TEXTS), "vector": ROWS.tolist()}), tmp_path / "t.parquet")
    encoder = PrecomputedTexts(spec_of(tmp_path / "t.parquet", texts="name", features="vector"))
    assert np.allclose(embed(encoder, ["an owl"]), [[0, 1]])


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    path = tmp_path_factory.mktemp("texts") / "texts.npz"
    np.savez(path, texts=np.array(TEXTS), features=ROWS)
    return PrecomputedTexts(spec_of(path))


@given(order=st.lists(st.sampled_from(TEXTS), min_size=1))
def test_rows_are_those_of_the_texts(encoder, order):
    unit = ROWS / np.linalg.norm(ROWS, axis=1, keepdims=True)
    expected = np.array([unit[TEXTS.index(text)] for text in order]).reshape(-1, 2)
    assert np.allclose(embed(encoder, order), expected)


def test_of_a_text_in_several_files_the_first_counts(write):
    first, second = write(name="a.npz"), write(("an owl", "a crow"), ROWS[1:] * [1, -1], name="b.npz")
    encoder = PrecomputedTexts(spec_of(first, second))
    assert np.allclose(embed(encoder, ["an owl", "a crow"]), [[0, 1], [1, 0]])
    assert np.allclose(embed(PrecomputedTexts(spec_of(second, first)), ["an owl"]), [[0, -1]])


def test_a_missing_text_names_the_nearest(write):
    path = write()
    message = refusal(lambda: embed(PrecomputedTexts(spec_of(path)), ["a wren", "an owl.", "zzz"]))
    assert message.startswith(
        f"{path}: 2 of 3 texts have no feature, the first is 'an owl.'. The nearest text there is"
    )
    assert "'an owl'" in message
    assert "nearest" not in refusal(lambda: embed(PrecomputedTexts(spec_of(path)), ["qqqqqqqq"]))


def test_files_of_different_encoders_are_refused(write):
    paths = write(name="a.npz"), write(("x", "y"), np.eye(2, 3), name="b.npz")
    message = refusal(lambda: PrecomputedTexts(spec_of(*paths)))
    assert message.startswith(f"{paths[1]}: features of dimension 3, the files before have 2")


def test_one_feature_per_text(write):
    assert "2 texts and 3 features" in refusal(lambda: PrecomputedTexts(spec_of(write(("a", "b")))))


def test_a_text_with_two_features_is_refused(write):
    path = write(("owl", "wren", "owl"))
    assert "'owl' is there twice with different features" in refusal(lambda: PrecomputedTexts(spec_of(path)))
    same = write(("owl", "wren", "owl"), np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.001]]))
    assert embed(PrecomputedTexts(spec_of(same)), ["owl"]).tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize(
    ("texts", "features", "problem"),
    [
        (TEXTS, ROWS * np.nan, "NaN"),
        (TEXTS, ROWS * 0, "zeros only"),
        (TEXTS, ROWS[:, 0], r"expected (rows, dim)"),
        ((1.5, 2.5, 3.5), ROWS, "expected a vector of texts"),
        ((), ROWS[:0], r"found shape (0, 2)"),
    ],
)
def test_impossible_files_are_refused(write, texts, features, problem):
    path = write(texts, features)
    assert problem in refusal(lambda: PrecomputedTexts(spec_of(path)))


def test_python_objects_are_never_loaded(write):
    path = write(np.array(["a", {}, None], dtype=object))
    assert "cannot be read" in refusal(lambda: PrecomputedTexts(spec_of(path)))


def test_images_need_a_model(write):
    encoder = PrecomputedTexts(spec_of(write()))
    assert "(4, 5) cannot be embedded" in refusal(lambda: encoder.prepare_image(Image.new("RGB", (4, 5))))
    assert "3 images have no features" in refusal(lambda: encoder.encode_images(list(ROWS)))


def test_the_identity_is_the_content_and_what_is_read_of_it(write, tmp_path):
    path = write()
    before = identify_encoder(spec_of(path))
    assert before.dim == 2
    moved = path.rename(tmp_path / "moved.npz")
    assert identify_encoder(spec_of(moved)).key == before.key
    other = write(("b", "c", "d"), name="other.npz")
    found = [before, *(identify_encoder(spec_of(*paths)) for paths in [(other,), (moved, other), (other, moved)])]
    assert len({identity.key for identity in found}) == 4


def test_an_encoder_is_loaded_once(write):
    spec = spec_of(write())
    load = [load_encoder(identify_encoder(spec), device="cpu") for _ in range(2)]
    assert load[0] is load[1]


@pytest.mark.skipif(not REAL.is_file(), reason="needs ../shared/data/features")
def test_real_text_features_come_back_as_they_are():
    encoder = PrecomputedTexts(spec_of(REAL, texts="class_names"))
    with np.load(REAL) as arrays:
        assert np.allclose(embed(encoder, arrays["class_names"].tolist()), arrays["features"], atol=1e-3)
    assert encoder.dim == 512
