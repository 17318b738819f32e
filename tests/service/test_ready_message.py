"""What `serve` prints when it is ready: enough for another terminal in any folder, and nothing that is not so there."""

import os
import sys
from pathlib import Path

import pytest

from service.serve import Service, load_settings
from tests.fixtures_deployment import PROJECT

HERE = "(Here the line with export is needed only where PREFECT_API_URL names another server.)"


def told(folder: Path, monkeypatch: pytest.MonkeyPatch, **environment: str) -> list[str]:
    monkeypatch.chdir(folder)
    return Service(load_settings(environment, runs=1, gpu_slots=1), lambda _line: None)._welcome().splitlines()


def test_the_plug_in_is_asked_for_and_only_the_project_does_not_need_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    elsewhere = told(tmp_path, monkeypatch, PREFECT_SERVER_API_PORT="4391")
    assert "  export PREFECT_API_URL=http://127.0.0.1:4391/api PREFECT_PLUGINS_ENABLED=true" in elsewhere
    assert HERE not in elsewhere
    assert told(PROJECT, monkeypatch)[-1] == HERE


def test_a_shell_that_does_not_find_prefect_is_told_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    own = str(Path(sys.executable).parent)
    (line,) = [line for line in told(tmp_path, monkeypatch, PATH="/nowhere") if own in line]
    assert line.startswith(("  source ", "  export PATH="))
    found = told(tmp_path, monkeypatch, PATH=os.pathsep.join([own, "/usr/bin"]))
    assert not [line for line in found if own in line]


def test_a_password_is_asked_for_and_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    lines = told(tmp_path, monkeypatch, PREFECT_SERVER_API_AUTH_STRING="admin:hush")
    assert [line for line in lines if "PREFECT_API_AUTH_STRING" in line]
    assert "hush" not in "\n".join(lines)


def test_an_address_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from coder_core.errors import ConfigError

    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    for url in ("nonsense", "http://127.0.0.1:99999/api", "http://127.0.0.1:4200", "ftp://a/api", "http:///api"):
        with pytest.raises(ConfigError, match=r"^PREFECT_API_URL: .*this is no address of a Prefect server's API"):
            told(tmp_path, monkeypatch, PREFECT_API_URL=url)
