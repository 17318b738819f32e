"""Everything below a folder is an entry, on a disk, in memory and on S3; nothing is dropped, nothing runs for ever."""

import os
import socket
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from coder_core.errors import InputError
from coder_core.storage.addresses import parse_address
from coder_core.storage.input_files import InputFile, read_input
from coder_core.storage.input_walk import EMPTY_FOLDER, FOLDER_MARKER, walk_input
from coder_core.storage.store import Store
from tests.fixtures_folders import ODD_NAMES


def walked(root: object) -> list[InputFile]:
    return sorted(walk_input(str(root)), key=lambda file: file.name)


def problems(root: object) -> dict[str, str | None]:
    return {file.name: file.problem for file in walked(root)}


def test_files_are_found_by_name_and_read_by_their_url(store: Store) -> None:
    for path in ("cat/b.JPG", "cat/a.jpg", "dog/a.jpeg", "notes.txt"):
        store.write_bytes(path, path.encode())
    files = walked(store.root)
    assert [file.name for file in files] == ["cat/a.jpg", "cat/b.JPG", "dog/a.jpeg", "notes.txt"]
    assert [file.size for file in files] == [9, 9, 10, 9]
    assert [read_input(file.url).decode() for file in files] == [file.name for file in files]
    assert [file.name for file in walked(store.url("cat"))] == ["a.jpg", "b.JPG"]
    assert {file.problem for file in files} == {None}


def test_a_token_changes_exactly_when_the_file_does(store: Store) -> None:
    store.write_bytes("a.txt", b"1")
    tokens = [walked(store.root)[0].token for _ in range(2)]
    store.write_bytes("a.txt", b"2")
    assert tokens[0] == tokens[1] != walked(store.root)[0].token


def test_one_file_is_the_only_entry(store: Store) -> None:
    store.write_bytes("folder/a.txt", b"1")
    store.write_bytes("folder/b.txt", b"1")
    [file] = walked(store.url("folder/a.txt"))
    assert file.name == "a.txt"
    assert read_input(file.url) == b"1"


def put(store: Store, name: str, content: bytes) -> None:
    """Write under a name that a store itself would never use."""
    address = parse_address(store.root).join(name)
    if address.is_local:
        Path(address.path).parent.mkdir(parents=True, exist_ok=True)
    address.open_filesystem().pipe_file(address.path, content)


def test_names_of_every_kind_are_names(store: Store) -> None:
    # The S3 server of the tests cannot route a line end; a real one can.
    names = [name for name in ODD_NAMES if "\n" not in name or not store.root.startswith("s3:")]
    for name in names:
        put(store, f"{ODD_NAMES[0]}/{name}", name.encode())
    files = walked(f"{store.root}/{ODD_NAMES[0]}")
    assert [file.name for file in files] == sorted(names)
    assert [read_input(file.url).decode() for file in files] == sorted(names)


@pytest.mark.parametrize(
    "make_root", [lambda folder: folder, lambda folder: folder / "none", lambda folder: folder / "x" / ""]
)
def test_a_folder_with_nothing_in_it_is_refused(tmp_path: Path, make_root: Any) -> None:
    root = make_root(tmp_path / "root")
    (tmp_path / "root").mkdir()
    with pytest.raises(InputError) as error:
        walked(root)
    assert error.value.remedy


def test_what_is_missing_is_named(store: Store) -> None:
    store.write_bytes("here", b"")
    with pytest.raises(InputError) as error:
        walked(store.url("none"))
    assert error.value.place == store.url("none")


def test_empty_folders_are_entries(tmp_path: Path) -> None:
    (tmp_path / "owl").mkdir()
    (tmp_path / "cat" / "deep").mkdir(parents=True)
    (tmp_path / "cat" / "a.jpg").touch()
    assert problems(tmp_path) == {"owl/": EMPTY_FOLDER, "cat/deep/": EMPTY_FOLDER, "cat/a.jpg": None}


def test_what_cannot_be_opened_is_an_entry_that_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("cat").mkdir()
    Path("cat/real.jpg").touch()
    Path("cat/good.jpg").symlink_to("real.jpg")
    Path("cat/dangling.jpg").symlink_to("nowhere.jpg")
    Path("cat/behind a file.jpg").symlink_to("real.jpg/x.jpg")
    Path("cat/circle.jpg").symlink_to("circle.jpg")
    os.mkfifo("cat/pipe.jpg")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("cat/socket.jpg")
        found = problems(tmp_path)
    assert found == {
        "cat/real.jpg": None,
        "cat/good.jpg": None,
        "cat/dangling.jpg": "a link to a file that is not there",
        "cat/behind a file.jpg": "a link to a file that is not there",
        "cat/circle.jpg": "it cannot be read (Too many levels of symbolic links)",
        "cat/pipe.jpg": "a named pipe, and no file",
        "cat/socket.jpg": "a socket, and no file",
    }


def test_without_permission_files_and_folders_are_entries(as_nobody: Path) -> None:
    for name in ("cat/a.jpg", "cat/b.jpg", "dog/a.jpg"):
        (as_nobody / name).parent.mkdir(exist_ok=True)
        (as_nobody / name).touch()
    (as_nobody / "cat" / "b.jpg").chmod(0)
    (as_nobody / "dog").chmod(0)
    assert problems(as_nobody) == {
        "cat/a.jpg": None,
        "cat/b.jpg": "it cannot be read (Permission denied)",
        "dog/": "the folder cannot be read (Permission denied)",
    }
    as_nobody.chmod(0)
    with pytest.raises(InputError, match="Permission"):
        walked(as_nobody)
    as_nobody.chmod(0o700)


def test_linked_folders_are_walked_once_and_loops_end(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.jpg").touch()
    data = tmp_path / "data"
    (data / "z" / "inner").mkdir(parents=True)
    (data / "z" / "inner" / "b.jpg").touch()
    (data / "a link").symlink_to(data / "z" / "inner")
    (data / "cat").symlink_to(tmp_path / "real")
    (data / "kitty").symlink_to(tmp_path / "real")
    (data / "loop").symlink_to(data)
    assert problems(data) == {
        "z/inner/b.jpg": None,
        "a link/": "a link to the folder that is listed as 'z/inner/'",
        "cat/a.jpg": None,
        "kitty/": "a link to the folder that is listed as 'cat/'",
        "loop/": "a link to the folder that is listed as '/'",
    }


def test_many_links_between_folders_do_not_multiply(tmp_path: Path) -> None:
    for level in range(30):
        (tmp_path / f"{level:02d}").mkdir()
        for side in ("left", "right"):
            (tmp_path / f"{level:02d}" / side).symlink_to(tmp_path / f"{level + 1:02d}")
    (tmp_path / "30").mkdir()
    assert len(walked(tmp_path)) == 61


def test_names_that_are_no_utf_8_are_entries(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")).mkdir()
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9/\xff.jpg")).touch()
    assert [os.fsencode(file.name) for file in walked(tmp_path)] == [b"caf\xe9/\xff.jpg"]


def test_a_path_that_is_too_long_is_an_entry(tmp_path: Path) -> None:
    here = os.getcwd()  # noqa: PTH109
    try:
        os.chdir(tmp_path)
        for _ in range(20):
            os.mkdir("d" * 250)  # noqa: PTH102
            os.chdir("d" * 250)
        Path("a.jpg").touch()
    finally:
        os.chdir(here)
    [entry] = walked(tmp_path)
    assert entry.name.endswith("/")
    assert entry.problem == "the folder cannot be read (File name too long)"


def test_every_folder_is_scanned_and_every_file_asked_about_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(40):
        (tmp_path / f"{number % 4}").mkdir(exist_ok=True)
        (tmp_path / f"{number % 4}" / f"{number}.jpg").touch()
    calls: Counter[str] = Counter()

    def counting(name: str, function: Any) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            calls[name] += 1
            return function(*args, **options)

        return call

    monkeypatch.setattr(os, "scandir", counting("scandir", os.scandir))
    monkeypatch.setattr(os, "stat", counting("stat", os.stat))
    monkeypatch.setattr(os, "access", counting("access", os.access))
    assert len(walked(tmp_path)) == 40
    assert calls == {"scandir": 5, "stat": 6}


@pytest.fixture
def bucket(new_s3_bucket: Any, s3_environment: str) -> Any:
    """Puts objects into an empty bucket; gives its client and name."""
    import boto3

    return boto3.client("s3", endpoint_url=s3_environment), new_s3_bucket()


@pytest.mark.slow
def test_markers_of_folders_are_entries_and_objects_of_any_name_are_read(bucket: Any) -> None:
    client, name = bucket
    keys = ["d/", "d/cat/", "d/cat/a.jpg", "d/owl/", "d/cat//b.jpg", "d/we ird?*[1].jpg", "d/\u00e9%20+&.jpg"]
    for key in keys:
        client.put_object(Bucket=name, Key=key, Body=b"" if key.endswith("/") else key.encode())
    found = problems(f"s3://{name}/d")
    assert set(found) == {key.removeprefix("d/") for key in keys}
    assert {entry for entry, problem in found.items() if problem == FOLDER_MARKER} == {"", "cat/", "owl/"}
    for file in walked(f"s3://{name}/d"):
        if file.problem is None:
            assert read_input(file.url).decode() == f"d/{file.name}"


@pytest.mark.slow
@pytest.mark.thorough
def test_a_bucket_is_listed_in_pages_and_no_object_is_asked_about(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    client, name = bucket
    for number in range(1_050):
        client.put_object(Bucket=name, Key=f"d/{number % 7}/{number}.jpg", Body=b"x")
    filesystem = parse_address(f"s3://{name}").open_filesystem()
    calls: Counter[str] = Counter()
    call = type(filesystem)._call_s3

    async def counting(self: Any, method: str, *args: Any, **options: Any) -> Any:
        calls[method] += 1
        return await call(self, method, *args, **options)

    monkeypatch.setattr(type(filesystem), "_call_s3", counting)
    assert len(walked(f"s3://{name}/d")) == 1_050
    assert calls == {"list_objects_v2": 2}
