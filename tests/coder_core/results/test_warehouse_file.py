"""The warehouse as a DuckDB file: the same rows as queries give, in a file that is whole or not there."""

import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from coder_core import open_warehouse
from coder_core.errors import InputError, StoreError
from coder_core.results import warehouse_file
from coder_core.results.run_compaction import compact_results
from coder_core.results.schema import TABLES, VIEWS
from coder_core.results.warehouse import Warehouse
from coder_core.storage.store import Store
from tests.coder_core.results.analyst_rows import HOSTILE, make_answers, write
from tests.coder_core.results.result_rows import START, flip, old_run, paths, publish
from tests.coder_core.storage.conftest import LONG_ON_S3

pytestmark = pytest.mark.slow


def read(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.execute(sql).fetchall()


@LONG_ON_S3
def test_a_file_holds_what_queries_answer(store: Store, tmp_path: Path) -> None:
    """Old, merged and single runs, and one that failed half way, in stores of every kind; the file may be moved."""
    old_run(store, "old")
    publish(store, "merged", started_at=START + timedelta(days=1))
    compact_results(store)
    write(store, make_answers("single", "flags", HOSTILE, day=2), few_shot=True)
    write(store, make_answers("failed", "flags", HOSTILE, day=3), is_published=False)
    written = Warehouse(store).export(tmp_path / "first.duckdb")
    moved = written.path.rename(tmp_path / "moved.duckdb")
    assert written.runs == 3
    for name in (*TABLES, *VIEWS):
        expected = Warehouse(store).query(f"FROM {name}").rows
        assert sorted(map(repr, read(moved, f"FROM {name}"))) == sorted(map(repr, expected)), name
    assert written.rows == {name: read(moved, f"SELECT count(*) FROM {name}")[0][0] for name in TABLES}
    assert written.rows["predictions"] == 4 + 3 * 40
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ""] == ["moved.duckdb"]


def test_an_empty_store_gives_empty_tables_that_say_what_they_are(tmp_path: Path) -> None:
    written = open_warehouse(str(tmp_path / "store")).export(tmp_path / "empty.duckdb")
    assert (written.runs, set(written.rows.values())) == (0, {0})
    comments = read(written.path, "SELECT table_name, column_name, comment FROM duckdb_columns() WHERE NOT internal")
    declared = [(known.name, column) for known in (*TABLES.values(), *VIEWS.values()) for column in known.columns]
    assert sorted(comments) == sorted((name, column.name, column.description) for name, column in declared)


def test_a_file_that_is_there_is_replaced_only_when_that_is_said(disk_store: Store, tmp_path: Path) -> None:
    publish(disk_store, "run")
    path = tmp_path / "results.duckdb"
    path.write_text("mine")
    with pytest.raises(InputError, match=r"is there already.*--force"):
        Warehouse(disk_store).export(path)
    assert path.read_text() == "mine"
    Warehouse(disk_store).export(path, is_forced=True)
    assert read(path, "SELECT count(*) FROM metrics") == [(2,)]


@pytest.mark.parametrize(("path", "told"), [("missing/r.duckdb", "no such folder"), (".", "is a folder")])
def test_a_place_where_nothing_can_be_written_is_told(disk_store: Store, tmp_path: Path, path: str, told: str) -> None:
    for is_forced in (False, True):
        with pytest.raises(InputError, match=told):
            Warehouse(disk_store).export(tmp_path / path, is_forced=is_forced)


@pytest.mark.parametrize("fault", ["damage", "interruption"])
def test_a_failure_leaves_what_was_there_and_nothing_else(
    disk_store: Store, tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(disk_store, "run")
    folder = tmp_path / "out"
    folder.mkdir()
    path = folder / "results.duckdb"
    path.write_text("mine")
    expected: type[BaseException] = StoreError
    if fault == "damage":
        flip(disk_store, paths(disk_store, "texts/run")[0])
    else:
        expected = KeyboardInterrupt
        monkeypatch.setattr(warehouse_file, "_statements", lambda: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(expected):
        Warehouse(disk_store).export(path, is_forced=True)
    assert [entry.name for entry in folder.iterdir()] == ["results.duckdb"]
    assert path.read_text() == "mine"


def test_a_full_disk_is_told_and_leaves_nothing(disk_store: Store, tmp_path: Path) -> None:
    """A process that may write files of 300 kB at most: less than the file needs."""
    publish(disk_store, "run", texts=20_000)
    program = (
        "import resource, signal, sys; from coder_core import open_warehouse\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (300_000,) * 2)\n"
        "open_warehouse(sys.argv[1]).export(sys.argv[2])"
    )
    folder = tmp_path / "out"
    folder.mkdir()
    arguments = [sys.executable, "-c", program, disk_store.root, str(folder / "results.duckdb")]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "StoreError" in done.stderr
    assert "the file cannot be written" in done.stderr
    assert list(folder.iterdir()) == []
