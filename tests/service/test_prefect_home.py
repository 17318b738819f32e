"""A folder that Prefect cannot write to, or a setting that it refuses, is one line, before anything is started."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from coder_core.errors import ConfigError
from service.prefect_home import check_prefect_home


def test_a_folder_that_can_be_written_is_made_and_left_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "a" / "b"))
    check_prefect_home()
    assert list((tmp_path / "a" / "b").iterdir()) == []


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_one_that_cannot_is_named_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / name))
    place = re.escape(f"PREFECT_HOME: {tmp_path / name}: Prefect's folder cannot be written (")
    with pytest.raises(ConfigError, match=rf"^{place}.+\)\. Set PREFECT_HOME"):
        check_prefect_home()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        (
            "PREFECT_LOGGING_LEVEL",
            "BOGUS",
            "PREFECT_LOGGING_LEVEL: Prefect refuses this value: Input should be 'DEBUG'",
        ),
        ("SSL_CERT_FILE", "/nowhere", "SSL_CERT_FILE: /nowhere: there are no certificates there."),
        ("PREFECT_PROFILES_PATH", __file__, "Prefect's settings (profile, "),
        pytest.param(
            "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS",
            "x",
            "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS: ",
            marks=pytest.mark.thorough,
        ),
        pytest.param(
            "PREFECT_SERVER_DATABASE_DRIVER",
            "postgresql+asyncpg",
            "Prefect's settings (profile, ",
            marks=pytest.mark.thorough,
        ),
    ],
)
def test_a_setting_that_prefect_refuses_is_one_line(variable: str, value: str, told: str, tmp_path: Path) -> None:
    environment = {**os.environ, variable: value, "PREFECT_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "flows.cli", "run", "--engine", "prefect", "--store", str(tmp_path / "store")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert done.stderr.startswith(f"error: {told}")
    assert variable in done.stderr
    assert "Value error" not in done.stderr
