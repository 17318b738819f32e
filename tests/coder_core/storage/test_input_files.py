"""Reading what a user gave: whole, within a limit, with a text that changes when the file does."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from coder_core.errors import InputError
from coder_core.storage.input_files import open_input, read_head, read_input, read_input_state
from coder_core.storage.store import Store


def test_a_file_is_read_whole_or_in_parts(store: Store) -> None:
    store.write_bytes("a.txt", b"0123456789")
    assert read_input(store.url("a.txt")) == read_input(store.url("a.txt"), max_bytes=10) == b"0123456789"
    with open_input(store.url("a.txt")) as file:
        file.seek(4)
        assert file.read(2) == b"45"


def test_a_file_past_its_limit_is_refused(store: Store) -> None:
    store.write_bytes("a.txt", b"0123456789")
    with pytest.raises(InputError, match="it has 10 bytes, more than 9") as error:
        read_input(store.url("a.txt"), max_bytes=9)
    assert error.value.place == store.url("a.txt")


def test_an_empty_file_is_read(store: Store) -> None:
    store.write_bytes("a.txt", b"")
    assert read_input(store.url("a.txt"), max_bytes=10) == b""


def test_pipes_devices_and_folders_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, kind in ((tmp_path / "pipe", "named pipe"), (tmp_path, "folder"), (Path("/dev/zero"), "device")):
        with pytest.raises(InputError, match=f"this is a {kind} and not a file"):
            read_input(str(path), max_bytes=100)


def test_the_state_changes_when_the_file_does(store: Store) -> None:
    store.write_bytes("a.txt", b"1")
    states = [read_input_state(store.url("a.txt")) for _ in range(2)]
    store.write_bytes("a.txt", b"2")
    assert states[0] == states[1] != read_input_state(store.url("a.txt"))


def in_place(path: Path) -> None:
    path.write_bytes(b"x" * 9_999)


def renamed_over(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(b"0123456789")
    other.rename(path)


def same_size(path: Path) -> None:
    path.write_bytes(b"9876543210")


@pytest.mark.parametrize("change", [in_place, renamed_over, same_size])
def test_a_change_is_seen_though_the_time_is_put_back(tmp_path: Path, change: Callable[[Path], None]) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"0123456789")
    os.utime(path, ns=(1, 1))
    before = read_input_state(str(path))
    change(path)
    os.utime(path, ns=(1, 1))
    assert read_input_state(str(path)) != before


def test_the_first_bytes_are_those_of_a_file_on_this_disk(tmp_path: Path, disk_store: Store) -> None:
    disk_store.write_bytes("a", b"0123456789")
    assert read_head(disk_store.url("a"), 3) == b"012"
    assert read_head(str(tmp_path / "none"), 3) is None
    assert read_head("memory://somewhere/a", 3) is None


def test_what_is_missing_is_an_input_error_that_names_it(store: Store) -> None:
    store.write_bytes("here", b"")
    for ask in (read_input, read_input_state, lambda url: read_input(url, max_bytes=9)):
        with pytest.raises(InputError) as error:
            ask(store.url("none"))
        assert error.value.place == store.url("none")
        assert error.value.remedy


def test_a_url_with_a_token_is_never_shown_whole() -> None:
    with pytest.raises(InputError) as error:
        read_input("nonsense://user:hunter2@host/file?token=hunter2")
    assert "hunter2" not in str(error.value)
