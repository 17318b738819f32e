"""Archives of arrays: read as numpy reads them, refused before memory is taken where they lie."""

import io
import random
import struct
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from coder_core.errors import FeatureFileError
from coder_core.storage import npz
from coder_core.storage.npz import parse_header, read_arrays
from tests.damage import damaged

TEXTS = st.sampled_from(["<U3", "S5"]).map(np.dtype)
DTYPES = hnp.integer_dtypes() | hnp.floating_dtypes() | hnp.boolean_dtypes() | TEXTS
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)


def archive(save=np.savez, **arrays):
    file = io.BytesIO()
    save(file, **arrays)
    return file.getvalue()


def member(content, name="features.npy", method=zipfile.ZIP_DEFLATED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as packed:
        packed.writestr(name, content)
    return file.getvalue()


def header(text, version=b"\x01\x00"):
    encoded = text.encode()
    size = struct.pack("<H" if version[0] == 1 else "<I", len(encoded))
    return b"\x93NUMPY" + version + size + encoded


def described(descr="'<f4'", order="False", shape="(3, 2)"):
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n"


def read(content, *names):
    return read_arrays(io.BytesIO(content), names, "f.npz")


def refusal(content, *names):
    tracemalloc.start()
    try:
        with pytest.raises(FeatureFileError) as error:
            read(content, *names or ["features"])
        assert tracemalloc.get_traced_memory()[1] < 40_000_000 + 2 * len(content)
    finally:
        tracemalloc.stop()
    assert error.value.place == "f.npz"
    assert error.value.remedy
    assert len(str(error.value)) < 700
    return str(error.value)


@given(hnp.arrays(DTYPES, SHAPES), st.booleans(), st.booleans())
def test_arrays_are_read_as_numpy_reads_them(array, is_packed, is_fortran):
    array = np.asfortranarray(array) if is_fortran else array
    content = archive(np.savez_compressed if is_packed else np.savez, a=array, other=np.arange(3))
    with np.load(io.BytesIO(content)) as reference:
        expected = reference["a"]
    found = read(content, "a")["a"]
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("version", [b"\x01\x00", b"\x02\x00", b"\x03\x00"])
def test_headers_of_every_version_and_hand_are_read(version):
    for text in (described(), '{"shape":(3L,2),"fortran_order":False,"descr":"<f4"}', described(shape="(3,2)")):
        found = parse_header(header(text, version) + bytes(24))
        assert (found.dtype, found.shape, found.is_fortran) == (np.float32, (3, 2), False)


def test_only_what_is_asked_for_is_read():
    evil = member(header(described(shape="(10000000000000,)")), "evil.npy")
    good = archive(good=np.arange(3))
    with zipfile.ZipFile(merged := io.BytesIO(good), "a") as packed:
        packed.writestr("evil.npy", zipfile.ZipFile(io.BytesIO(evil)).read("evil.npy"))
    assert read(merged.getvalue(), "good")["good"].tolist() == [0, 1, 2]
    assert "declares shape (10000000000000,)" in refusal(merged.getvalue(), "evil")


def test_a_missing_array_names_those_that_are_there():
    assert "There is no array 'features'. It holds: a, b" in refusal(archive(a=np.zeros(1), b=np.zeros(1)))
    many = archive(**{f"array{number}": np.zeros(1) for number in range(50)})
    assert "array19 and 30 others" in refusal(many)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (described(shape="(2500000000000,)"), "declares shape (2500000000000,) of float32, 10000000000000 bytes"),
        (described(shape="(3, 3)"), "36 bytes, and has 24"),
        (described(shape="(1, 2)"), "8 bytes, and has 24"),
        (described("'|O'"), "it holds Python objects"),
        (described("[('a', '<f4'), ('b', '<f4')]"), "cannot be parsed"),
        (described("'<M8[ns]'"), "cannot be parsed"),
        (described("'|V4'"), "cannot be parsed"),
        (described("'<f3'"), "f3"),
        (described("'<U0'", shape="(1000000000000000000,)"), "no value"),
        (described(shape="(1000000000000, 0)"), "no value"),
        (described(shape="(-3, 2)"), "cannot be parsed"),
        (described(shape="(" + "1, " * 9 + ")"), "9 dimensions"),
        (described(shape="(" + "9" * 5_000 + ",)"), "cannot be read"),
        (described(shape="(3 2)"), "cannot be read"),
        ("(" * 9_000, "cannot be parsed"),
        ("__import__('os').system('false')", "cannot be parsed"),
        ("", "cannot be parsed"),
        ("x" * 20_000, "too long"),
    ],
)
def test_a_header_that_lies_is_refused(text, told):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert told in refusal(member(header(text) + bytes(24)))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "not an .npz archive"),
        (b"hello", "not an .npz archive"),
        (b"PK\x03\x04broken", "not an .npz archive"),
        (member(header(described()) + bytes(24))[:-30], "not an .npz archive"),
        (header(described()) + bytes(24), "one bare array (.npy)"),
        (member(b"not an array"), "does not begin as an array"),
        (member(b"\x93NUMPY"), "does not begin as an array"),
        (member(header(described()) + bytes(24), "features"), "It holds: no array"),
        (member(header(described()) + bytes(24), "deep/features.npy"), "It holds: deep/features"),
        (member(header(described()) + bytes(24), method=zipfile.ZIP_BZIP2), "numpy.savez does not write"),
    ],
)
def test_what_is_no_array_is_refused(content, told):
    assert told in refusal(content)


def test_an_array_that_is_there_twice_is_refused():
    file = io.BytesIO(archive(features=np.zeros(3)))
    with zipfile.ZipFile(file, "a") as packed, pytest.warns(UserWarning, match="Duplicate name"):
        packed.writestr("features.npy", header(described()) + bytes(24))
    assert "The array 'features' is there 2 times" in refusal(file.getvalue())


def test_a_nested_name_is_a_name():
    content = member(header(described()) + bytes(24), "deep/features.npy")
    assert read(content, "deep/features")["deep/features"].shape == (3, 2)


def test_arrays_past_the_limit_are_refused_by_what_they_declare(monkeypatch):
    monkeypatch.setattr(npz, "MAX_ARRAY_BYTES", 3_000)
    content = archive(features=np.zeros(200), labels=np.zeros(200))
    assert read(content, "features")["features"].shape == (200,)
    assert "more than 3000 (MAX_ARRAY_BYTES)" in refusal(content, "features", "labels")


@pytest.mark.slow
def test_zeros_that_unpack_to_hundreds_of_megabytes_are_refused():
    file = io.BytesIO()
    with (
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed,
        packed.open("features.npy", "w", force_zip64=True) as out,
    ):
        out.write(header(described("'|u1'", shape="(314572800,)")))
        for _ in range(300):
            out.write(bytes(1 << 20))
    assert len(file.getvalue()) < 400_000
    assert "more than 100-fold (MAX_EXPANSION)" in refusal(file.getvalue())


def test_labels_may_shrink_as_they_like():
    labels = np.zeros(4_000_000, dtype=np.int64)
    content = archive(np.savez_compressed, labels=labels)
    assert len(content) < labels.nbytes / 100
    assert np.array_equal(read(content, "labels")["labels"], labels)


def test_a_damaged_array_is_named():
    content = archive(features=np.zeros(1_000, np.float32))
    assert "The array 'features' cannot be read (Bad CRC-32" in refusal(content[:500] + b"\xff" + content[501:])


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was executed",))


def test_python_objects_are_never_loaded():
    content = archive(features=np.array([Bomb()] * 3, dtype=object), good=np.zeros(2))
    assert "it holds Python objects" in refusal(content)
    assert "never loaded" in refusal(content)
    assert read(content, "good")["good"].tolist() == [0, 0]


FUZZ_SEEDS = {
    "plain": archive(features=np.arange(12.0).reshape(4, 3), labels=np.arange(4)),
    "packed": archive(np.savez_compressed, features=np.arange(12.0).reshape(4, 3), labels=np.array(["a", "bc"])),
    "header": member(header(described()) + bytes(24), method=zipfile.ZIP_STORED),
}


@pytest.mark.slow
@pytest.mark.parametrize("seed", sorted(FUZZ_SEEDS))
def test_damaged_archives_are_arrays_or_one_error(seed):
    refused = 0
    for number in range(3_000):
        draw = random.Random(f"{seed} {number}")
        content = damaged(FUZZ_SEEDS[seed], draw)
        try:
            found = read(content, "features")
        except FeatureFileError as error:
            refused += 1
            assert error.place == "f.npz"  # noqa: PT017 - either outcome is right
        else:
            assert found["features"].nbytes < 10_000
    assert 300 < refused < 3_000
