"""The hook changes one kind of command line and nothing else, in real processes as well."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service import plugin
from service.plugin import expand_bare_name, is_prefect_command
from service.served_api import STANDING, find_served_api
from tasks.json_logs import JSON_SETTINGS

FULL = ["deployment", "run", "coder-eval/coder-eval"]


@pytest.mark.parametrize(
    ("typed", "expanded"),
    [
        ("deployment run coder-eval", "deployment run coder-eval/coder-eval"),
        (
            "deployment run coder-eval --param config=a/b.yaml",
            "deployment run coder-eval/coder-eval --param config=a/b.yaml",
        ),
        ("deployment run --param config=x coder-eval", "deployment run --param config=x coder-eval/coder-eval"),
        ("deployment run --param=config=x coder-eval", "deployment run --param=config=x coder-eval/coder-eval"),
        ("deployment run --watch coder-eval", "deployment run --watch coder-eval/coder-eval"),
        ("--no-prompt -p mine deployment run coder-eval", "--no-prompt -p mine deployment run coder-eval/coder-eval"),
        ("--profile=mine deployment run predict", "--profile=mine deployment run predict/predict"),
    ],
)
def test_a_bare_name_is_expanded(typed: str, expanded: str) -> None:
    assert expand_bare_name(typed.split()) == expanded.split()


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "deployment",
        "deployment run",
        "deployment run --id 1234",
        "deployment run --help",
        "deployment run coder-eval/nightly",
        "deployment inspect coder-eval",
        "deployment schedule ls coder-eval",
        "flow-run cancel coder-eval",
        "deploy --name coder-eval",
        "run deployment coder-eval",
        "--profile deployment run coder-eval",
    ],
)
def test_every_other_command_stays_as_it_is(typed: str) -> None:
    assert expand_bare_name(typed.split()) == typed.split()


@given(st.lists(st.sampled_from(["deployment", "run", "--watch", "--param", "a=b", "x", "x/y", "-p", "", "--"])))
def test_at_most_one_word_changes_and_only_by_being_doubled(words: list[str]) -> None:
    expanded = expand_bare_name(words)
    changed = [(old, new) for old, new in zip(words, expanded, strict=True) if old != new]
    assert len(changed) <= 1
    assert all(new == f"{old}/{old}" and "/" not in old for old, new in changed)
    assert expand_bare_name(expanded) == expanded


@pytest.mark.parametrize(
    ("argv", "original", "is_prefect"),
    [
        (["/venv/bin/prefect", "deployment"], ["python", "/venv/bin/prefect", "deployment"], True),
        (["-m", "deployment"], ["python", "-m", "prefect", "deployment"], True),
        (["-m", "deployment"], ["python", "-X", "dev", "-m", "prefect", "deployment"], True),
        (["-m", "deployment"], ["python", "-m", "prefect.engine", "deployment"], False),
        (["-m", "x"], ["python", "-m", "flows.cli", "x"], False),
        (["/venv/bin/coder-eval", "deployment", "run", "x"], ["python", "/venv/bin/coder-eval"], False),
        (["-c"], ["python", "-c", "import prefect"], False),
        ([], [], False),
    ],
)
def test_only_prefects_own_command_is_meant(argv: list[str], original: list[str], is_prefect: bool) -> None:
    assert is_prefect_command(argv, original) is is_prefect


@pytest.fixture
def listening_url() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/api"


def test_the_server_of_serve_is_found_while_it_takes_connections(tmp_path: Path, listening_url: str) -> None:
    assert find_served_api(tmp_path) is None
    (tmp_path / STANDING).write_text(json.dumps({"api_url": listening_url}))
    assert find_served_api(tmp_path) == listening_url
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    (tmp_path / STANDING).write_text(json.dumps({"api_url": f"http://127.0.0.1:{port}/api"}))
    assert find_served_api(tmp_path) is None


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"api_url": 3}', '{"api_url": "http://[::1"}', "\xff"])
def test_a_damaged_note_is_no_server(tmp_path: Path, content: str) -> None:
    (tmp_path / STANDING).write_text(content, encoding="latin-1")
    assert find_served_api(tmp_path) is None


def call_hook(monkeypatch: pytest.MonkeyPatch, typed: str, *, api_url: str | None = None) -> tuple[list[str], object]:
    argv = ["/venv/bin/prefect", *typed.split()]
    monkeypatch.setattr(sys, "argv", argv)
    result = plugin.setup_environment(ctx=SimpleNamespace(api_url=api_url))
    return argv[1:], result


def test_a_command_is_told_of_the_served_api_unless_a_server_is_named(
    tmp_path: Path, listening_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    (tmp_path / STANDING).write_text(json.dumps({"api_url": listening_url}))
    words, result = call_hook(monkeypatch, "deployment run coder-eval")
    assert words == FULL
    assert getattr(result, "env", None) == {"PREFECT_API_URL": listening_url}
    for typed in ("server start", "config view", "--no-prompt profile ls", "--version", ""):
        assert call_hook(monkeypatch, typed) == (typed.split(), None)
    monkeypatch.setenv("PREFECT_API_URL", "http://other/api")
    assert call_hook(monkeypatch, "deployment run coder-eval", api_url="http://other/api") == (FULL, None)


def test_the_served_api_wins_over_a_profile_and_says_so(
    tmp_path: Path, listening_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    (tmp_path / STANDING).write_text(json.dumps({"api_url": listening_url}))
    _, result = call_hook(monkeypatch, "deployment run coder-eval", api_url="http://profile/api")
    assert getattr(result, "env", None) == {"PREFECT_API_URL": listening_url}
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert f"here is asked, {listening_url}, and not that of the profile, http://profile/api." in told
    call_hook(monkeypatch, "deployment run coder-eval", api_url=listening_url)
    assert capsys.readouterr().err == ""


def test_a_worker_logs_in_the_format_that_is_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.setenv("CODER_LOG_FORMAT", "json")
    for typed in ("worker start --pool coder", "server start"):
        _, result = call_hook(monkeypatch, typed)
        assert getattr(result, "env", None) == {"PREFECT_LOGGING_SETTINGS_PATH": str(JSON_SETTINGS)}
    monkeypatch.setenv("PREFECT_LOGGING_SETTINGS_PATH", "/mine.yml")
    assert call_hook(monkeypatch, "worker start")[1] is None
    monkeypatch.delenv("PREFECT_LOGGING_SETTINGS_PATH")
    monkeypatch.setenv("CODER_LOG_FORMAT", "xml")
    assert call_hook(monkeypatch, "worker start")[1] is None


@pytest.mark.slow
def test_a_program_that_only_imports_prefect_keeps_its_words() -> None:
    """In the project's folder, where the plug-in is enabled; Prefect's own command is tested with the deployment."""
    project = Path(__file__).parents[2]
    program = "import sys, prefect; print(sys.argv[1:])"
    other = subprocess.run(
        [sys.executable, "-c", program, "deployment", "run", "coder-eval"],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert other.stdout.strip() == "['deployment', 'run', 'coder-eval']"
    assert other.stderr == ""
