"""`coder-eval query` and `warehouse` as they are typed: formats, files, shipped questions, errors, and the pager."""

import fcntl
import json
import os
import pty
import shlex
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner, Result
from markdown_it import MarkdownIt

from coder_core.storage.store import Store
from flows.cli import main
from tests.coder_core.results.analyst_rows import HOSTILE, make_answers, write

NAMES = [name for name in HOSTILE if len(name) < 100]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two runs of one evaluation, with class names that nobody should trust."""
    root = Store(str(tmp_path_factory.mktemp("store")))
    write(root, make_answers("flags-1", "flags", NAMES, day=1))
    write(root, make_answers("flags-2", "flags", NAMES, day=2))
    return root.root


def typed(store: str, *arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments, "--store", store], catch_exceptions=False)


def test_shipped_questions_are_listed_and_asked(store: str) -> None:
    listed = typed(store, "query", "--examples").stdout
    assert "worst-classes " in listed
    found = typed(store, "query", "--example", "worst-classes", "--format", "json")
    assert [row["name"] for row in json.loads(found.stdout)] == ["flags"] * (len(NAMES) - 1)
    assert "FROM worst_classes WHERE is_latest" in found.stderr, "the SQL is shown, and not in the answer"


def test_a_question_about_one_run_may_name_its_evaluation(store: str) -> None:
    for run, run_id in (("flags-1", "flags-1"), ("flags", "flags-2"), ("latest", "flags-2")):
        found = typed(store, "query", "--example", "worst-classes", "--run", run)
        assert f"run_id = '{run_id}'" in found.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["--example", "worst-clases"], 5, "Did you mean 'worst-classes'?"),
        (["--example", "worst-classes", "--run", "flag-1"], 5, "Did you mean 'flags-1'?"),
        (["--example", "latest-runs", "--run", "flags"], 2, "about all runs"),
        (["SELECT 1", "--run", "flags"], 2, "--run goes with --example"),
        (["SELECT 1", "--example", "costs"], 2, "Ask one question"),
        ([], 2, "Ask one question"),
        (["SELECT recal FROM worst_classes"], 5, "SQL, line 1, character 8: "),
        (["SELECT recal FROM worst_classes"], 5, "Did you mean 'recall'?"),
        (["SELECT 1 FROM worst_clases"], 5, "Did you mean 'worst_classes'?"),
    ],
)
def test_a_wrong_question_is_told_in_one_line(store: str, arguments: list[str], status: int, told: str) -> None:
    done = typed(store, "query", *arguments)
    assert (done.exit_code, done.stdout) == (status, "")
    assert told in " ".join(done.stderr.split())
    assert status == 2 or len(done.stderr.splitlines()) == 1


def test_markdown_shows_hostile_names_as_they_are(store: str) -> None:
    sql = "SELECT DISTINCT class_name, taken_for FROM worst_classes WHERE run_id = 'flags-1' ORDER BY 1"
    html = MarkdownIt("commonmark").enable("table").render(typed(store, "query", sql, "--format", "markdown").stdout)
    assert html.count("<tr>") == 1 + len(json.loads(typed(store, "query", sql, "--format", "json").stdout))
    assert "&lt;script&gt;alert" in html
    assert "<script" not in html
    assert "<code>" not in html


@pytest.mark.parametrize("form", ["table", "csv", "json", "markdown", "parquet"])
def test_an_answer_is_written_to_a_file_that_is_whole_or_not_there(store: str, form: str, tmp_path: Path) -> None:
    path = tmp_path / "answer"
    sql = "SELECT class_name, count(*) AS n FROM class_metrics GROUP BY ALL ORDER BY ALL"
    arguments = ("query", sql, "--format", form, "--output", str(path))
    assert typed(store, *arguments).stdout == ""
    written = path.read_bytes()
    if form == "parquet":
        rows = duckdb.sql(f"SELECT class_name FROM read_parquet('{path}')").fetchall()
        assert sorted(name for (name,) in rows) == sorted(NAMES)
    else:
        assert written.decode() == typed(store, "query", sql, "--format", form).stdout
    refused = typed(store, *arguments)
    assert (refused.exit_code, path.read_bytes()) == (3, written)
    assert "is there already" in refused.stderr
    assert typed(store, *arguments, "--force").exit_code == 0
    assert [entry.name for entry in tmp_path.iterdir()] == ["answer"]


def test_parquet_may_be_piped(store: str, tmp_path: Path) -> None:
    path = tmp_path / "piped.parquet"
    path.write_bytes(typed(store, "query", "SELECT 7 AS n", "--format", "parquet").stdout_bytes)
    assert duckdb.sql(f"FROM '{path}'").fetchall() == [(7,)]


def test_the_warehouse_is_one_file(store: str, tmp_path: Path) -> None:
    path = tmp_path / "results.duckdb"
    assert "results.duckdb: 2 runs, " in typed(store, "warehouse", "--output", str(path)).stdout
    with duckdb.connect(str(path), read_only=True) as connection:
        found = connection.execute("SELECT count(*) FROM worst_classes WHERE is_latest").fetchall()
    assert found == [(3 * (len(NAMES) - 1),)]
    assert typed(store, "warehouse", "--output", str(path)).exit_code == 3


PAGER = """
import sys
text = sys.stdin.buffer.read()
open(sys.argv[1], "wb").write(text)
print("PAGED", len(text.splitlines()))
"""
LONG = "SELECT i, 'a\x1b[31m\u202e' AS a FROM range(200) AS t(i)"


def on_terminal(*arguments: str, **environment: str) -> tuple[str, int]:
    """All that a terminal of 24 lines is given by a command, and how the command ends."""
    main_end, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    command = [sys.executable, "-m", "flows.cli", *arguments]
    kept = {name: value for name, value in os.environ.items() if name not in {"PAGER", "LESS", "COLUMNS", "LINES"}}
    streams = {"stdin": terminal, "stdout": terminal, "stderr": terminal}
    with subprocess.Popen(command, **streams, env={**kept, "TERM": "xterm", **environment}) as process:
        os.close(terminal)
        told = read_until_the_end(main_end, process)
        status = process.wait(60)
    os.close(main_end)
    return told.decode().replace("\r\n", "\n"), status


def read_until_the_end(main_end: int, process: "subprocess.Popen[bytes]") -> bytes:
    """Read what comes; a pager that waits for a key is given `q`."""
    told, deadline = b"", time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            chunk = os.read(main_end, 65_536)
        except OSError:  # the other end is closed
            return told
        told += chunk
        if told.endswith((b":\x1b[K", b":\x1b[m\x1b[K", b"(END)\x1b[K")) or told.rstrip().endswith(b":"):
            os.write(main_end, b"q")
    process.kill()
    return told


@pytest.mark.slow
def test_a_long_answer_on_a_terminal_is_paged_by_the_pager_that_is_named(store: str, tmp_path: Path) -> None:
    """Without a shell: what follows a semicolon in PAGER is a word."""
    program, seen = tmp_path / "pager.py", tmp_path / "seen; touch pwned"
    program.write_text(PAGER)
    pager = shlex.join([sys.executable, str(program), str(seen)])
    told, status = on_terminal("query", LONG, "--store", store, PAGER=pager)
    assert (told, status) == ("PAGED 203\n", 0)
    text = seen.read_text()
    assert not set(text) & set("\x1b\u202e")
    assert text.count(r"a\x1b[31m\u202e") == 200
    for arguments in ((LONG, "--no-pager"), ("SELECT 1 AS a",)):
        told, _ = on_terminal("query", *arguments, "--store", store, PAGER=pager)
        assert "PAGED" not in told
        assert told.endswith("row)\n" if "1 AS a" in arguments[0] else "(200 rows)\n")


WAITS = """
import signal, sys
def heard(*_):
    print("HEARD", flush=True)
    sys.exit(0)
signal.signal(signal.SIGINT, heard)
sys.stdin.buffer.read()
print("READY", flush=True)
signal.pause()
"""


@pytest.mark.slow
def test_ctrl_c_belongs_to_the_pager(store: str, tmp_path: Path) -> None:
    program = tmp_path / "pager.py"
    program.write_text(WAITS)
    main_end, terminal = pty.openpty()
    command = ["setsid", "--ctty", "--wait", sys.executable, "-m", "flows.cli", "query", LONG, "--store", store]
    environment = os.environ | {"PAGER": shlex.join([sys.executable, str(program)]), "COLUMNS": "80", "LINES": "24"}
    streams = {"stdin": terminal, "stdout": terminal, "stderr": terminal}
    with subprocess.Popen(command, **streams, env=environment) as process:
        os.close(terminal)
        told = b""
        while b"READY" not in told:
            told += os.read(main_end, 65_536)
        os.write(main_end, b"\x03")
        told += read_until_the_end(main_end, process)
        assert process.wait(60) == 0
    os.close(main_end)
    assert b"HEARD" in told
    assert b"Stopped" not in told


@pytest.mark.slow
def test_without_a_named_pager_less_shows_the_first_page(store: str) -> None:
    told, status = on_terminal("query", LONG, "--store", store)
    assert status == 0
    assert r"a\x1b[31m\u202e" in told
    assert "\x1b[31m" not in told
    assert "\u202e" not in told
    assert "(200 rows)" not in told


@pytest.mark.slow
def test_a_pager_that_is_not_there_is_told_and_not_needed(store: str) -> None:
    told, status = on_terminal("query", LONG, "--store", store, PAGER="no-such-pager -x")
    assert status == 0
    assert told.startswith("warning: PAGER names 'no-such-pager -x'")
    assert told.endswith("(200 rows)\n")


@pytest.mark.slow
def test_on_a_terminal_an_error_points_at_its_place(store: str) -> None:
    sql = "SELECT class_name,\n  '日本' AS \x1b, recal FROM worst_classes"
    told, status = on_terminal("query", sql, "--store", store)
    assert status == 5
    line, mark, error = told.splitlines()
    assert line == r"    '日本' AS \x1b, recal FROM worst_classes"
    assert mark == " " * (len(r"    '日本' AS \x1b, ") + 2) + "^^^^^", "wide characters take two columns"
    assert error.startswith("error: SQL, line 2, character 14: ")
    assert "Did you mean 'recall'?" in error
