"""What a user typed: a file, a folder or a pattern, in names that may look like patterns."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coder_core.errors import InputError
from coder_core.storage.addresses import parse_address
from coder_core.storage.input_search import find_inputs, matches_pattern
from coder_core.storage.store import Store
from tests.fixtures_folders import ODD_NAMES

NAMES = ("photos [2024]/a*b?.jpg", "photos [2024]/aXbY.jpg", "photos [2024]/deep/c.jpg", "photos 2/d.jpg", "top.jpg")


@pytest.fixture
def place(store: Store) -> str:
    for name in NAMES:
        address = parse_address(store.root).join(name)
        if address.is_local:
            Path(address.path).parent.mkdir(parents=True, exist_ok=True)
        address.open_filesystem().pipe_file(address.path, name.encode())
    return store.root


def found(url: str) -> list[str]:
    return sorted(file.url for file in find_inputs(url).files)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("photos [2024]/a*b?.jpg", NAMES[:1]),
        ("photos [2024]", NAMES[:3]),
        ("photos [2024]/*.jpg", NAMES[:2]),
        ("photos [2024]/a[X]b*.jpg", NAMES[1:2]),
        ("photos [2024]/**/*.jpg", NAMES[:3]),
        ("photos ?/*", NAMES[3:4]),
        ("*/*.jpg", (*NAMES[:2], NAMES[3])),
        ("**", NAMES),
        ("*.jpg", NAMES[4:]),
        ("**/c.jpg", NAMES[2:3]),
    ],
)
def test_what_is_there_is_meant_and_the_rest_is_a_pattern(place: str, pattern: str, expected: tuple[str, ...]) -> None:
    assert found(f"{place}/{pattern}") == sorted(f"{place}/{name}" for name in expected)


def test_one_file_is_told_from_folders_and_patterns(place: str) -> None:
    assert find_inputs(f"{place}/top.jpg").is_file
    assert find_inputs(f"{place}/{NAMES[0]}").is_file
    assert not find_inputs(f"{place}/photos [2024]").is_file
    assert not find_inputs(f"{place}/*.jpg").is_file


@pytest.mark.parametrize("pattern", ["*.png", "none/*.jpg", "none", "top.jpg/*"])
def test_what_finds_nothing_is_refused_and_named(place: str, pattern: str) -> None:
    with pytest.raises(InputError) as error:
        found(f"{place}/{pattern}")
    assert error.value.place in (f"{place}/{pattern}", f"{place}/none", f"{place}/top.jpg", place)
    assert error.value.remedy


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_file_of_any_name_is_found_under_it(tmp_path: Path, name: str) -> None:
    path = tmp_path / ODD_NAMES[0] / name
    path.parent.mkdir()
    path.write_bytes(b"x")
    assert found(str(path)) == [str(path)]
    assert found(str(path.parent)) == [str(path)]


def test_only_a_pattern_with_a_dot_shows_hidden_files(tmp_path: Path) -> None:
    folder = tmp_path / ".cache" / "x"
    folder.mkdir(parents=True)
    assert find_inputs(f"{folder}/.*").shows_hidden
    assert find_inputs(f"{folder}/.[ab]/*").shows_hidden
    assert not find_inputs(f"{folder}/*.jpg").shows_hidden


@given(st.lists(st.text("ab", min_size=1, max_size=2), min_size=1, max_size=4))
def test_a_path_matches_itself_and_two_stars(parts: list[str]) -> None:
    assert matches_pattern(parts, parts)
    assert matches_pattern(parts, ["**"])
    assert matches_pattern(parts, ["**", parts[-1]])
    assert matches_pattern(parts, ["*"] * len(parts))
    assert not matches_pattern(parts, ["*"] * (len(parts) + 1))
