import os
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import pytest

from coder_core.errors import StoreError
from coder_core.storage import addresses, object_writes
from coder_core.storage.addresses import Address
from coder_core.storage.refusals import NotInStoreError
from coder_core.storage.store import Store


def files_in(store: Store) -> list[str]:
    """What is on the disk, hidden files included."""
    return sorted(path.name for path in Path(store.root).iterdir())


def test_what_is_written_is_read_back_listed_and_deleted(store: Store) -> None:
    assert store.list() == []
    store.write_bytes("b/two", b"2")
    store.write_bytes("b/one", b"1")
    store.write_bytes("b/one", b"11")
    store.write_bytes("a", b"")
    assert store.read_bytes("b/one") == b"11"
    assert store.list() == ["a", "b/one", "b/two"]
    assert store.list("b") == ["b/one", "b/two"]
    assert store.list("nothing/here") == []
    assert store.exists("a")
    assert not store.exists("b")
    assert not store.exists("c")
    store.delete("a")
    store.delete("a")
    assert store.list() == ["b/one", "b/two"]


def test_a_root_that_is_a_link_to_nowhere_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "root").symlink_to(tmp_path / "unmounted")
    with pytest.raises(StoreError, match=r"root: it is a link to .+/unmounted, which is not there\. Make that folder"):
        Store(str(tmp_path / "root")).check_writable()
    (tmp_path / "unmounted").mkdir()
    Store(str(tmp_path / "root")).check_writable()


def test_a_missing_file_is_an_error_of_its_own_that_names_it(store: Store) -> None:
    with pytest.raises(NotInStoreError) as error:
        store.read_bytes("folder/none")
    assert error.value.place == store.url("folder/none")
    with pytest.raises(NotInStoreError), store.open_input("none"):
        pass


def test_a_file_is_created_once(store: Store) -> None:
    assert store.create_bytes("x/once", b"first")
    assert not store.create_bytes("x/once", b"second")
    assert store.read_bytes("x/once") == b"first"


def test_of_racing_creators_exactly_one_wins(store: Store) -> None:
    with ThreadPoolExecutor(8) as threads:
        won = list(threads.map(lambda number: store.create_bytes("race", b"%d" % number), range(16)))
    assert sum(won) == 1
    assert store.read_bytes("race") == b"%d" % won.index(True)
    assert store.list() == ["race"]


def test_a_local_file_is_written_and_created_like_bytes(store: Store, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(b"1" * 3_000_000)
    second.write_bytes(b"2")
    assert store.create_file("x/once", first)
    assert not store.create_file("x/once", second)
    assert store.read_bytes("x/once") == first.read_bytes()
    store.write_file("x/once", second)
    assert store.read_bytes("x/once") == b"2"
    assert store.list() == ["x/once"]


def test_of_racing_creators_from_files_exactly_one_wins(store: Store, tmp_path: Path) -> None:
    sources = [tmp_path / f"source {number}" for number in range(8)]
    for number, source in enumerate(sources):
        source.write_bytes(b"%d" % number)
    with ThreadPoolExecutor(8) as threads:
        won = list(threads.map(lambda source: store.create_file("race", source), sources))
    assert sum(won) == 1
    assert store.read_bytes("race") == b"%d" % won.index(True)


def test_a_file_larger_than_one_upload_of_s3_arrives_whole(
    new_s3_bucket: Callable[[], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("s3fs.core.calculate_chunksize", lambda *_arguments, **_options: 5 * 2**20)
    store, source = Store(f"s3://{new_s3_bucket()}"), tmp_path / "source"
    source.write_bytes(os.urandom(12 * 2**20))
    assert store.create_file("large", source)
    assert not store.create_file("large", source)
    assert store.read_bytes("large") == source.read_bytes()


@pytest.mark.parametrize("step", ["fsync", "link", "replace"])
def test_a_failing_copy_leaves_the_old_content_and_no_temporary_file(
    disk_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def refuse(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    source = tmp_path / "source"
    source.write_bytes(b"new")
    disk_store.write_bytes("kept", b"old")
    monkeypatch.setattr(Path if step == "replace" else os, step, refuse)
    write = disk_store.create_file if step == "link" else disk_store.write_file
    with pytest.raises(StoreError, match="Free some space"):
        write("new" if step == "link" else "kept", source)
    assert files_in(disk_store) == ["kept"]
    assert disk_store.read_bytes("kept") == b"old"


def test_many_files_are_read_in_the_given_order(store: Store) -> None:
    paths = [f"folder/{number}" for number in range(30)]
    for path in paths:
        store.write_bytes(path, path.encode())
    assert store.read_many(paths[::-1]) == tuple(path.encode() for path in paths[::-1])
    assert store.read_many([]) == ()
    with pytest.raises(NotInStoreError):
        store.read_many([*paths, "folder/none"])


def test_files_are_listed_by_the_beginning_of_their_names(store: Store) -> None:
    for path in ("folder/run-1.a", "folder/run-1.b", "folder/run-10.a", "folder/run-1.c/deep", "run-1.a"):
        store.write_bytes(path, b"")
    assert store.list_beginning("folder", "run-1.") == ("folder/run-1.a", "folder/run-1.b")
    assert store.list_beginning("folder", "none") == ()
    assert store.list_beginning("none", "run") == ()


def test_an_input_can_be_read_at_any_position(store: Store) -> None:
    store.write_bytes("file", bytes(range(100)))
    with store.open_input("file") as file:
        file.seek(90)
        assert file.read(5) == bytes(range(90, 95))
        file.seek(-1, 2)
        assert file.read() == b"c"


def test_a_store_travels_as_its_root(store: Store) -> None:
    store.write_bytes("a", b"1")
    copy = pickle.loads(pickle.dumps(store))  # noqa: S301 (our own bytes)
    assert copy.read_bytes("a") == b"1"
    assert copy.url("a") == store.url("a")


def test_a_relative_root_means_the_same_place_in_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pickled = pickle.dumps(Store("./store"))
    monkeypatch.chdir("/")
    assert pickle.loads(pickled).root == str(tmp_path / "store")  # noqa: S301 (our own bytes)


def test_a_writable_store_is_left_as_it_was(store: Store) -> None:
    store.check_writable()
    assert store.list() == []


@pytest.mark.parametrize("path", ["", "..", "a/../b", "/a", "a//b", "./a", ".hidden", "a\\b", "a\nb", "a*", "a/.x"])
def test_a_path_that_could_leave_the_store_is_refused(disk_store: Store, path: str) -> None:
    with pytest.raises(StoreError, match="not a path inside a store"):
        disk_store.write_bytes(path, b"")
    assert not Path(disk_store.root).exists()


@pytest.mark.parametrize("step", ["fsync", "link", "replace"])
def test_a_failing_write_leaves_the_old_content_and_no_temporary_file(
    disk_store: Store, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def refuse(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    disk_store.write_bytes("kept", b"old")
    if step == "replace":
        monkeypatch.setattr(Path, step, refuse)
    else:
        monkeypatch.setattr(os, step, refuse)
    write = disk_store.create_bytes if step == "link" else disk_store.write_bytes
    with pytest.raises(StoreError, match="Free some space"):
        write("new" if step == "link" else "kept", b"new")
    assert files_in(disk_store) == ["kept"]
    assert disk_store.read_bytes("kept") == b"old"


def test_a_file_that_a_killed_writer_left_is_not_listed(disk_store: Store) -> None:
    disk_store.write_bytes("a", b"1")
    Path(disk_store.root, ".0123.writing").write_bytes(b"half")
    assert disk_store.list() == ["a"]


def test_a_disk_without_hard_links_can_create_files_too(disk_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    assert disk_store.create_bytes("a", b"first")
    assert not disk_store.create_bytes("a", b"second")
    assert disk_store.read_bytes("a") == b"first"
    assert files_in(disk_store) == ["a"]


def test_a_listing_is_whole_while_others_write(store: Store) -> None:
    store.write_bytes("folder/kept", b"")
    with ThreadPoolExecutor(3) as threads:
        writers = [threads.submit(store.write_bytes, "folder/new", b"%d" % number) for number in range(60)]
        while not all(writer.done() for writer in writers):
            assert "folder/kept" in store.list("folder")
    assert store.list() == ["folder/kept", "folder/new"]


def test_a_root_below_a_file_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = Store(str(tmp_path / "file" / "store"))
    for ask in (store.check_writable, store.list):
        with pytest.raises(StoreError, match="is a file and not a folder") as error:
            ask()
        assert error.value.place == store.root


def test_an_unknown_protocol_is_refused_with_examples() -> None:
    with pytest.raises(StoreError, match="s3://bucket/prefix"):
        Store("nonsense://x").list()


def test_a_missing_library_is_refused_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec, "filesystem", refuse)
    addresses._open_filesystem.cache_clear()
    with pytest.raises(StoreError, match=r"pip install 'coder-eval\[s3\]'"):
        Store("s3://bucket/prefix").list()


@pytest.mark.usefixtures("s3_environment")
def test_a_missing_bucket_is_refused() -> None:
    store = Store("s3://there-is-no-such-bucket/prefix")
    for ask in (store.check_writable, store.list):
        with pytest.raises(StoreError, match="bucket does not exist") as error:
            ask()
        assert "s3://there-is-no-such-bucket/prefix" in str(error.value)


@pytest.mark.usefixtures("s3_environment")
def test_a_closed_port_is_refused_within_seconds_without_secrets(
    monkeypatch: pytest.MonkeyPatch, unused_port: int
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{unused_port}")
    monkeypatch.setattr(addresses, "S3_ATTEMPTS", 1)
    monkeypatch.setattr(addresses, "S3_ROUNDS", 1)
    with pytest.raises(StoreError, match="AWS_ENDPOINT_URL") as error:
        Store("s3://bucket/prefix").check_writable()
    assert os.environ["AWS_SECRET_ACCESS_KEY"] not in str(error.value)


class RefusingObjects:
    """An object store at the network's edge that answers with S3's error codes, in order."""

    def __init__(self, *codes: str) -> None:
        self.codes = list(codes)

    def pipe_file(self, _path: str, _content: bytes, *, mode: str) -> None:
        assert mode == "create"
        if self.codes:
            cause = RuntimeError()
            cause.response = {"Error": {"Code": self.codes.pop(0)}}  # type: ignore[attr-defined]
            raise OSError(5, "refused") from cause


def test_a_concurrent_upload_on_s3_is_tried_again_and_a_lost_race_is_known() -> None:
    place = Address("s3", "bucket/key")
    conflict = "ConditionalRequestConflict"
    patient = RefusingObjects(conflict, conflict)
    object_writes.create_object(patient, place, b"")
    assert patient.codes == []
    with pytest.raises(FileExistsError):
        object_writes.create_object(RefusingObjects(conflict, "PreconditionFailed"), place, b"")
    with pytest.raises(OSError, match="refused"):
        object_writes.create_object(RefusingObjects("NotImplemented"), place, b"")
    with pytest.raises(OSError, match="refused"):
        object_writes.create_object(RefusingObjects(*[conflict] * 9), place, b"")


@pytest.mark.parametrize(
    "text",
    [
        "http://user:hunter2@host/x",
        "https://host/x?X-Amz-Signature=hunter2&a=1",
        "https://host/x?sas_token=hunter2",
        "password=hunter2",
    ],
)
def test_secrets_in_urls_are_never_shown(text: str) -> None:
    assert "hunter2" not in addresses.redact(text)
    assert addresses.redact("s3://bucket/a@b?x=1") == "s3://bucket/a@b?x=1"
