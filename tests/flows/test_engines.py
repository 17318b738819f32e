"""Who runs a recipe: a server that answers, this process, or Prefect because it was asked for."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from coder_core.errors import ConfigError
from coder_core.specs import Runtime
from flows.cli_prefect import require_server
from flows.engines import Engine, choose_engine, find_server
from service.served_api import STANDING

THREADS = Runtime()
DASK = Runtime(task_runner="dask")
SILENT = "http://127.0.0.1:9/api"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Prefect's folder, where nothing is named yet."""
    for name in ("PREFECT_API_URL", "PREFECT_PROFILE", "PREFECT_PROFILES_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def answering() -> Iterator[str]:
    """A server that takes connections."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/api"


def write_profile(home: Path, url: str, name: str = "mine") -> None:
    (home / "profiles.toml").write_text(f'active = "{name}"\n[profiles.{name}]\nPREFECT_API_URL = "{url}"\n')


@pytest.mark.usefixtures("home")
def test_without_a_server_auto_is_this_process_and_one_line() -> None:
    chosen = choose_engine("auto", THREADS)
    assert (chosen.name, chosen.server) == ("inline", None)
    assert chosen.note.startswith("no Prefect server is running: running in this process")
    assert len(chosen.note.splitlines()) == 1
    assert choose_engine("inline", THREADS) == Engine("inline", None, "")
    assert choose_engine("prefect", THREADS) == Engine("prefect", None, "")


def test_auto_takes_the_server_that_answers(home: Path, answering: str, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = Engine("prefect", answering, f"under the Prefect server {answering}")
    write_profile(home, answering)
    assert choose_engine("auto", THREADS) == taken
    (home / "profiles.toml").unlink()
    (home / STANDING).write_text(json.dumps({"api_url": answering}))
    assert choose_engine("auto", THREADS) == taken
    monkeypatch.setenv("PREFECT_API_URL", SILENT)
    assert choose_engine("auto", THREADS).note.startswith(f"no Prefect server answers at {SILENT}: running in this")
    assert choose_engine("prefect", THREADS) == Engine("prefect", SILENT, ""), "who asked for it is told that it fails"
    assert choose_engine("inline", THREADS).name == "inline"


@pytest.mark.usefixtures("home")
def test_a_cluster_needs_prefect() -> None:
    assert choose_engine("auto", DASK) == choose_engine("prefect", DASK) == Engine("prefect", None, "")
    with pytest.raises(ConfigError, match=r"--engine: task_runner 'dask' needs Prefect.*Use --engine prefect"):
        choose_engine("inline", DASK)


def test_the_environment_wins_over_serve_and_serve_over_the_profile(
    home: Path, answering: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_profile(home, "http://profile/api")
    assert find_server() == "http://profile/api"
    monkeypatch.setenv("PREFECT_PROFILE", "another")
    assert find_server() is None
    (home / STANDING).write_text(json.dumps({"api_url": answering}))
    assert find_server() == answering
    monkeypatch.setenv("PREFECT_API_URL", "http://environment/api")
    assert find_server() == "http://environment/api"


def test_what_needs_a_server_takes_the_one_of_serve_or_says_that_there_is_none(home: Path, answering: str) -> None:
    with pytest.raises(ConfigError, match=r"PREFECT_API_URL: no Prefect server is named.*Start one\."):
        require_server("Start one.")
    (home / STANDING).write_text(json.dumps({"api_url": answering}))
    assert require_server("Start one.") == answering


@pytest.mark.parametrize(
    "content",
    ["", "active = 3", "[profiles]", "not toml [", "active = 'x'\nprofiles = 3", "active = 'x'\n[profiles.x]"],
)
def test_a_profile_that_names_no_server_is_none(home: Path, content: str) -> None:
    (home / "profiles.toml").write_text(content)
    assert find_server() is None
