"""The note about a running server: in its own folder, and in the project's for who has not heard of that folder."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.served_api import HOME, STANDING, find_served_api, remove_standing, served_home, write_standing


@pytest.fixture
def listening() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/api"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder, whose second terminal knows no PREFECT_HOME."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PREFECT_HOME", raising=False)
    return tmp_path


@pytest.mark.parametrize("home", [HOME, "elsewhere"])
def test_a_second_terminal_finds_the_server_wherever_its_files_are(project: Path, listening: str, home: str) -> None:
    place = project / home
    place.mkdir()
    write_standing(place, listening)
    assert find_served_api(place) == find_served_api(served_home()) == listening
    remove_standing(place, listening)
    assert list(project.rglob(STANDING)) == []


def test_the_note_of_another_server_stays(project: Path, listening: str) -> None:
    first, second = project / "first", project / "second"
    for place in (first, second):
        place.mkdir()
    write_standing(first, "http://127.0.0.1:1/api")
    write_standing(second, listening)
    remove_standing(first, "http://127.0.0.1:1/api")
    assert not (first / STANDING).exists()
    assert find_served_api(served_home()) == listening


def test_a_project_that_cannot_be_written_keeps_nobody_from_serving(project: Path, listening: str) -> None:
    (project / HOME).write_text("no folder")
    (project / "home").mkdir()
    write_standing(project / "home", listening)
    assert json.loads((project / "home" / STANDING).read_text()) == {"api_url": listening}
    remove_standing(project / "home", listening)
    assert not (project / "home" / STANDING).exists()
