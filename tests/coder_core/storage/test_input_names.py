"""Names that are nobody's data, and names that cannot be written down."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coder_core.storage.input_names import SERVICE_FOLDERS, is_printable, printable, why_nobodys_data

SERVICE = [
    "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found", ".Trashes", ".Spotlight-V100",
    "__MACOSX", ".ipynb_checkpoints", "@Recycle", ".thumbnails", "@EADIR", "$Recycle.Bin", "RECYCLER", ".Trash",
    "#snapshot", "@tmp", ".AppleDouble", ".@__thumb", ".fseventsd", "Network Trash Folder", "__pycache__", ".git",
    "@SynoResource", "@docker", "@sharesnap", "#SynoRecycle", "~snapshot", "FOUND.002", "found.000", "MSOCache",
    "$Extend", "Recycled", "OneDriveTemp", "$Windows.~BT", "@quarantine",
]  # fmt: skip


@pytest.mark.parametrize("name", SERVICE)
def test_folders_of_disks_systems_and_tools_are_nobodys_data(name: str) -> None:
    for path in (f"{name}/a.jpg", f"cat/{name}/a.jpg", f"cat/{name}/b.jpg/THUMB.jpg", f"{name}/"):
        assert f"in {name!r}" in (why_nobodys_data(path) or "")


@pytest.mark.parametrize("name", [".a.jpg", "cat/._a.jpg", ".cat/a.jpg", "cat/.x/y/a.jpg", ".Trash-1000/a.jpg", "./a"])
def test_hidden_files_are_nobodys_data(name: str) -> None:
    assert (why_nobodys_data(name) or "").startswith("hidden")


@pytest.mark.parametrize(
    "name",
    [
        *("cat/a.jpg", "a.jpg", "recycler/a.jpg", "git/a.jpg", "ea dir/a.jpg", "a../b.jpg", "cat/", "#1 dad/a.jpg"),
        *("$100/a.jpg", "found/a.jpg", "found.0/a.jpg", "@ sign/a.jpg", "snapshot/a.jpg"),
    ],
)
def test_everything_else_may_be_data(name: str) -> None:
    assert why_nobodys_data(name) is None


def test_a_file_may_be_called_like_a_service_folder() -> None:
    assert why_nobodys_data("cat/lost+found") is None
    assert why_nobodys_data("cat/lost+found/") is not None
    assert all(name == name.casefold() for name in SERVICE_FOLDERS)


@pytest.mark.parametrize("name", ["cat//a.jpg", "/a.jpg", "cat//"])
def test_an_empty_part_is_told(name: str) -> None:
    assert why_nobodys_data(name) == "a part of its path is empty"


@given(st.binary(max_size=12).filter(lambda name: b"\0" not in name))
def test_bytes_of_every_kind_are_printable_once_and_for_all(name: bytes) -> None:
    text = os.fsdecode(name)
    assert is_printable(printable(text))
    assert printable(printable(text)) == printable(text)
    assert (printable(text) == text) == is_printable(text)
    if not is_printable(text):
        assert "not UTF-8" in (why_nobodys_data(text) or "")


def test_bytes_that_are_no_utf_8_are_shown() -> None:
    assert printable(os.fsdecode(b"caf\xe9")) == "caf\\xe9"
