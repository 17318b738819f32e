"""`coder-eval` on a terminal: whatever a table, an error or an answer holds, the terminal is given printable lines."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
HOSTILE = "\x1b]0;pwned\x07\x1b[31m\u202e\u2066"


def on_terminal(*arguments: str) -> str:
    """All that a terminal is given by a command, on both streams."""
    main, terminal = pty.openpty()
    command = [sys.executable, "-m", "flows.cli", *arguments]
    with subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal) as process:
        os.close(terminal)
        told = b""
        while chunk := _read(main):
            told += chunk
        process.wait(60)
    os.close(main)
    return told.decode().replace("\r\n", "\n")


def _read(main: int) -> bytes:
    try:
        return os.read(main, 65_536)
    except OSError:  # the other end is closed
        return b""


@pytest.mark.parametrize("form", ["table", "csv", "csv-excel", "json"])
def test_an_answer_is_shown(tmp_path: Path, form: str) -> None:
    told = on_terminal("query", f"SELECT '{HOSTILE}=1' AS a", "--store", str(tmp_path), "--format", form)
    assert "pwned" in told
    assert not set(told) & set(HOSTILE) & set("\x1b\x07\u202e\u2066")


def test_an_error_is_shown(tmp_path: Path) -> None:
    for arguments in (
        ("query", f'SELECT "{HOSTILE}" FROM runs'),
        ("query", f"SELECT error('{HOSTILE}')"),
        ("query", f"SELECT '{HOSTILE}'::INT"),
        ("tables", "--store", f"{tmp_path}/{HOSTILE}"),
        ("run", f"{tmp_path}/{HOSTILE}.yaml"),
        ("run", "demo:flags", "--set", f"{HOSTILE}=1"),
    ):
        store = () if "--store" in arguments or arguments[0] == "run" else ("--store", str(tmp_path))
        told = on_terminal(*arguments, *store)
        assert "Traceback" not in told
        assert not set(told) & set("\x1b\x07\u202e\u2066"), arguments
