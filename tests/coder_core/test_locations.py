"""A location means the same from every working directory."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coder_core.errors import InputError
from coder_core.locations import folder_of, is_url, looks_like_path, open_location, resolve_location

URLS = ["s3://bucket/images", "memory://x", "demo:flags", "https://host/a.yaml?token=a/b", "file:///tmp/x"]


@pytest.mark.parametrize("url", URLS)
def test_urls_stay_as_they_are(url):
    assert is_url(url)
    assert resolve_location(url, "/somewhere") == url
    assert resolve_location(url, "s3://bucket/configs") == url


@pytest.mark.parametrize(
    ("location", "base", "resolved"),
    [
        ("images", "/data/configs", "/data/configs/images"),
        ("../images", "/data/configs", "/data/images"),
        ("/images", "/data/configs", "/images"),
        ("/images", "s3://bucket/configs", "/images"),
        ("images", "s3://bucket/configs", "s3://bucket/configs/images"),
        ("./a/../images", "s3://bucket/configs", "s3://bucket/configs/images"),
        ("../images", "s3://bucket/configs/", "s3://bucket/images"),
        ("bank.yaml", "memory://", "memory://bank.yaml"),
        ("bank.yaml", "file:///data", "file:///data/bank.yaml"),
    ],
)
def test_relative_paths_start_from_the_base(location, base, resolved):
    assert resolve_location(location, base) == resolved


def test_a_relative_base_starts_from_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert resolve_location("images", "configs") == str(tmp_path.resolve() / "configs" / "images")


def test_home_is_home_in_the_location_and_in_the_base(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolve_location("~/images", "/elsewhere") == str(tmp_path / "images")
    assert resolve_location("images", "~/configs") == str(tmp_path.resolve() / "configs" / "images")
    assert resolve_location("~unknown/images", "/data") == "/data/~unknown/images"


@pytest.mark.parametrize(
    ("location", "folder"),
    [
        ("a.yaml", "."),
        ("configs/a.yaml", "configs"),
        ("/a.yaml", "/"),
        ("s3://bucket/configs/a.yaml", "s3://bucket/configs"),
        ("s3://bucket/a.yaml", "s3://bucket"),
        ("memory://a.yaml", "memory://"),
        ("https://host/configs/a.yaml?token=b/c", "https://host/configs"),
        ("file:///data/a.yaml", "file:///data"),
    ],
)
def test_the_folder_of_a_file(location, folder):
    assert folder_of(location) == folder


def test_paths_beside_the_demonstration_start_from_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert resolve_location("images", folder_of("demo:flags")) == str(tmp_path.resolve() / "images")


@given(st.from_regex(r"[a-z]{1,8}(/[a-z.]{1,8}){0,3}", fullmatch=True))
def test_resolving_twice_changes_nothing(location):
    once = resolve_location(location, "/base")
    assert Path(once).is_absolute()
    assert resolve_location(once, "/other") == once


@pytest.mark.parametrize(
    ("name", "found"), [("openai", False), ("laion2b_s34b_b79k", False), ("./x", True), ("x.pt", True)]
)
def test_tags_of_weights_do_not_look_like_paths(name, found):
    assert looks_like_path(name) is found


def test_the_demonstration_is_where_the_package_is():
    assert Path(open_location("demo:flags")).is_file()
    assert Path(open_location("demo:micro-clip")).is_dir()
    assert open_location("images") == "images"


def test_an_unknown_part_of_the_demonstration_names_those_there_are():
    with pytest.raises(InputError, match=r"demo:birds.*flags, flag-texts, micro-clip"):
        open_location("demo:birds")
