import io
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from coder_core.errors import FeatureFileError, InputError
from coder_core.storage.input_tables import read_columns, read_feature_file, read_npz
from coder_core.storage.inputs import list_input, read_input
from coder_core.storage.store import Store
from coder_core.storage.tables import encode_parquet, vectors_to_arrow


def test_files_are_listed_by_name_and_suffix_and_read_by_their_url(store: Store) -> None:
    for path in ("cat/b.JPG", "cat/a.jpg", "dog/a.jpeg", "notes.txt"):
        store.write_bytes(path, path.encode())
    files = list_input(store.root, (".jpg", ".jpeg"))
    assert [file.name for file in files] == ["cat/a.jpg", "cat/b.JPG", "dog/a.jpeg"]
    assert [file.size for file in files] == [9, 9, 10]
    assert [read_input(file.url) for file in files] == [b"cat/a.jpg", b"cat/b.JPG", b"dog/a.jpeg"]
    assert [file.name for file in list_input(store.url("cat"), ("",))] == ["a.jpg", "b.JPG"]


def test_a_token_changes_exactly_when_the_file_does(store: Store) -> None:
    store.write_bytes("a.txt", b"1")
    tokens = [list_input(store.root, (".txt",))[0].token for _ in range(2)]
    store.write_bytes("a.txt", b"2")
    assert tokens[0] == tokens[1] != list_input(store.root, (".txt",))[0].token


def test_one_file_is_listed_alone(store: Store) -> None:
    store.write_bytes("folder/a.txt", b"1")
    [file] = list_input(store.url("folder/a.txt"), (".txt",))
    assert file.name == "a.txt"
    assert read_input(file.url) == b"1"


def test_hidden_files_are_nobodys_data(tmp_path: Path) -> None:
    for name in (".DS_Store.jpg", "._a.jpg", ".git/a.jpg", "a.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert [file.name for file in list_input(str(tmp_path), (".jpg",))] == ["a.jpg"]


def test_linked_folders_are_followed_and_loops_end(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.jpg").write_bytes(b"")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "cat").symlink_to(tmp_path / "real")
    (tmp_path / "data" / "loop").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "dangling.jpg").symlink_to(tmp_path / "nowhere.jpg")
    assert [file.name for file in list_input(str(tmp_path / "data"), (".jpg",))] == ["cat/a.jpg"]


def test_what_is_missing_is_an_input_error_that_names_it(store: Store) -> None:
    store.write_bytes("here", b"")
    for ask in (read_input, lambda url: list_input(url, ("",))):
        with pytest.raises(InputError) as error:
            ask(store.url("none"))
        assert error.value.place == store.url("none")
        assert error.value.remedy


def test_a_url_with_a_token_is_never_shown_whole() -> None:
    with pytest.raises(InputError) as error:
        read_input("nonsense://user:hunter2@host/file?token=hunter2")
    assert "hunter2" not in str(error.value)


FEATURES = np.arange(6, dtype=np.float32).reshape(3, 2)


@pytest.fixture
def given_file() -> Callable[[str, bytes], str]:
    """Put a user's file somewhere; returns its URL."""

    def put(name: str, content: bytes) -> str:
        store = Store(f"memory://{uuid.uuid4().hex}")
        store.write_bytes(name, content)
        return store.url(name)

    return put


def npz(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def test_npz_and_parquet_features_are_read_alike(given_file: Callable[[str, bytes], str]) -> None:
    names = np.array(["a", "b", "ä"])
    table = pa.table({"features": vectors_to_arrow(FEATURES), "names": names.tolist(), "ragged": [[1], [1, 2], []]})
    for url in (
        given_file("f.npz", npz(features=FEATURES, names=names)),
        given_file("f.parquet", encode_parquet(table)),
    ):
        arrays = read_feature_file(url, ["features", "names"])
        assert np.array_equal(arrays["features"], FEATURES)
        assert arrays["names"].tolist() == names.tolist()
        with pytest.raises(FeatureFileError, match=r"no (array|column) 'labels'.*features, names"):
            read_feature_file(url, ["labels"])


def test_lists_of_varying_type_are_read_when_their_lengths_agree(given_file: Callable[[str, bytes], str]) -> None:
    table = pa.table({"v": pa.array([[1.0, 2.0], [3.0, 4.0]]), "ragged": [[1], [1, 2]], "holes": [1, None]})
    url = given_file("f.parquet", encode_parquet(table))
    assert read_columns(url, ["v"])["v"].tolist() == [[1.0, 2.0], [3.0, 4.0]]
    with pytest.raises(FeatureFileError, match=r"column 'ragged': .*different lengths"):
        read_columns(url, ["ragged"])
    with pytest.raises(FeatureFileError, match=r"column 'holes': 1 of 2 values are null"):
        read_columns(url, ["holes"])


def test_python_objects_are_never_loaded(given_file: Callable[[str, bytes], str]) -> None:
    url = given_file("f.npz", npz(good=FEATURES, evil=np.array([{"a": 1}, None], dtype=object)))
    with pytest.raises(FeatureFileError, match="array 'evil' cannot be read") as error:
        read_npz(url)
    assert "never loaded" in error.value.remedy


def bare_array() -> bytes:
    file = io.BytesIO()
    np.save(file, FEATURES)
    return file.getvalue()


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"PK\x03\x04broken", bare_array(), npz(a=FEATURES)[:-30], npz(a=FEATURES)[:60]]
)
def test_what_is_no_npz_archive_is_refused(given_file: Callable[[str, bytes], str], content: bytes) -> None:
    url = given_file("f.npz", content)
    with pytest.raises(FeatureFileError) as error:
        read_npz(url)
    assert error.value.place == url
    assert "savez" in error.value.remedy


def test_a_damaged_array_is_named(given_file: Callable[[str, bytes], str]) -> None:
    content = npz(features=np.zeros(1_000, np.float32))
    with pytest.raises(FeatureFileError, match="'features' cannot be read"):
        read_npz(given_file("f.npz", content[:500] + b"\xff" + content[501:]))


def test_a_broken_parquet_file_is_refused_as_the_users(given_file: Callable[[str, bytes], str]) -> None:
    with pytest.raises(FeatureFileError, match="damaged"):
        read_columns(given_file("f.parquet", b"PAR1"), ["a"])
