"""`coder-eval` on a terminal: whatever a table, an error or an answer holds, the terminal is given printable lines."""

import ast
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures_inputs import write_image_class

pytestmark = pytest.mark.slow
HOSTILE = "\x1b]0;pwned\x07\x1b[31m\u202e\u2066"


def on_terminal(*arguments: str) -> str:
    """All that a terminal is given by a command, on both streams."""
    main, terminal = pty.openpty()
    command = [sys.executable, "-m", "flows.cli", *arguments]
    own = {**os.environ, "PAGER": "cat"}  # nobody is there to leave another one
    with subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, env=own) as process:
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


def test_whatever_commands_say_beside_their_results_is_made_printable() -> None:
    """Standard output is guarded as a whole; on standard error bars and colours need escapes, so each line is."""
    said = {"error_line", "warning_line", "note_line"}
    for path in (Path(__file__).parents[2] / "flows").glob("*.py"):
        for call in (node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)):
            if any(keyword.arg == "err" for keyword in call.keywords):
                (text, *_) = call.args
                name = getattr(getattr(text, "func", None), "id", None)
                assert name in said | {"printable"}, f"{path.name}:{call.lineno}"


@pytest.mark.thorough
@pytest.mark.timeout(900)
def test_what_a_folder_of_images_is_called_is_shown(tmp_path: Path, tiny_clip: Path) -> None:
    images = tmp_path / "images"
    for name in (f"wren{HOSTILE}", "kite"):
        write_image_class(images, name, 2)
    (images / "kite" / f"{HOSTILE}.png").write_bytes(b"none")
    config = str(tmp_path / "c.yaml")
    common = ("--store", str(tmp_path / "store"))
    for arguments in (
        ("try", str(images), "--model", str(tiny_clip), "--out", config, *common),
        ("check", config, *common),
        ("doctor", config, *common),
        ("run", config, "--engine", "inline", *common),
        ("runs", *common),
        ("show", "latest", *common),
        ("report", "--output", str(tmp_path / f"{HOSTILE.replace('/', '')}.html"), *common),
        ("predict", "latest", str(images / "kite"), *common),
        ("explain", "latest", f"wren{HOSTILE}/000.png", *common),
        ("export", "latest", str(tmp_path / "exported"), "--method", "clip", *common),
        ("predict", str(tmp_path / "exported"), str(images / "kite")),
        ("sweep", "--datasets", str(images), "--models", str(tiny_clip), *common),
        ("warehouse", "--output", str(tmp_path / f"{HOSTILE}.duckdb"), *common),
    ):
        told = on_terminal(*arguments)
        assert "Traceback" not in told, arguments
        assert not set(told) & set("\x07\u202e\u2066"), arguments
        assert "\x1b]0" not in told, arguments
        assert "\\x1b[1m" not in told, "what this program itself would have a terminal do is not shown either"
        assert told, arguments
