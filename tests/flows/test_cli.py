"""The command line in processes of its own: what it prints where, how it ends, and what it does not load."""

import csv
import io
import json
import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from coder_core.results.schema import TABLES, QuarantineRow, RunRow
from coder_core.results.warehouse import Warehouse
from coder_core.results.writing import RunWriter
from coder_core.storage.store import Store
from tests.fixtures_deployment import processes_of
from tests.fixtures_inputs import World, rewrite_features
from tests.fixtures_prefect import QUIET

HEAVY = ("torch", "prefect", "open_clip", "transformers")
PRINT_LOADED = f"""
import atexit, sys
atexit.register(lambda: print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr))
from flows.cli import main
main()
"""


def coder_eval(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Type a command; settings of the caller's environment are not passed on."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CODER_", "PREFECT_"))}
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", *arguments],
        env={**kept, **QUIET, "PREFECT_HOME": os.environ["PREFECT_HOME"], **environment},
        capture_output=True,
        text=True,
        timeout=240,
    )


def last_error(done: "subprocess.CompletedProcess[str]") -> str:
    """The last line of standard error, which has to be the error; there must be no traceback above it."""
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    line = done.stderr.splitlines()[-1]
    assert line.startswith("error: ")
    return line


@pytest.fixture
def config(world: World) -> str:
    path = world.folder / "config.yaml"
    path.write_text(yaml.safe_dump(world.settings))
    return str(path)


@pytest.fixture(scope="module")
def filled_store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store with the rows of one run."""
    root = str(tmp_path_factory.mktemp("filled"))
    values: dict[str, Any] = {"VARCHAR": "x", "BIGINT": 1, "DOUBLE": 0.5, "TIMESTAMP": datetime(2026, 1, 1, tzinfo=UTC)}
    with RunWriter(Store(root), "run-1") as run:
        run.append(QuarantineRow, [QuarantineRow(image_id="a,b.png", problem="the file is empty")])
        run.publish(RunRow(**{column.name: values[column.type] for column in TABLES["runs"].columns[1:]}), b"{}")
    return root


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        *(
            pytest.param(typed, marks=pytest.mark.slow)
            for typed in (["run", "--help"], ["tables"], ["query", "SELECT count(*) FROM runs"])
        ),
    ],
    ids=" ".join,
)
def test_answers_without_torch_and_prefect(arguments: list[str], filled_store: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PRINT_LOADED, *arguments],
        env={**os.environ, "CODER_STORE": filled_store},
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr.splitlines()[-1] == "[]"


@pytest.mark.slow
def test_query_prints_every_format(filled_store: str) -> None:
    sql = "SELECT image_id, problem FROM quarantine"
    printed = {
        form: coder_eval("query", sql, "--store", filled_store, "--format", form).stdout
        for form in ("table", "csv", "json")
    }
    assert json.loads(printed["json"]) == [{"image_id": "a,b.png", "problem": "the file is empty"}]
    assert list(csv.reader(io.StringIO(printed["csv"]))) == [["image_id", "problem"], ["a,b.png", "the file is empty"]]
    assert "the file is empty" in printed["table"]
    assert all(text.endswith("\n") and not text.endswith("\n\n") for text in printed.values())


@pytest.mark.slow
def test_tables_lists_every_column_and_counts_rows(filled_store: str) -> None:
    printed = coder_eval("tables", CODER_STORE=filled_store).stdout
    assert "quarantine (1 row)" in printed
    assert "metrics (0 rows)" in printed
    for table in TABLES.values():
        assert all(column.name in printed and column.description in printed for column in table.columns)


@pytest.mark.slow
@pytest.mark.parametrize("sql", ["SELECT nothing FROM runs", "DROP TABLE runs", "SELECT * FROM '/etc/passwd'"])
def test_a_wrong_query_ends_with_5(filled_store: str, sql: str) -> None:
    done = coder_eval("query", sql, "--store", filled_store)
    assert done.returncode == 5
    assert last_error(done)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("nme=x", "unknown key 'nme'. Did you mean 'name'?"),
        pytest.param("logit_scale=high", "found 'high'", marks=pytest.mark.slow),
        pytest.param("methods=[]", "methods", marks=pytest.mark.slow),
        pytest.param("logit_scale", "expected key.path=value, found 'logit_scale'", marks=pytest.mark.slow),
    ],
)
def test_a_wrong_config_ends_with_2_before_prefect_is_started(config: str, override: str, told: str) -> None:
    done = coder_eval("run", config, "--set", override)
    assert done.returncode == 2
    assert told in last_error(done)
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_a_wrong_setting_in_the_environment_ends_with_2(config: str) -> None:
    done = coder_eval("run", config, CODER_WORKERS="many")
    assert done.returncode == 2
    assert "CODER_WORKERS: expected a whole number, found 'many'" in last_error(done)


@pytest.mark.slow
def test_a_missing_config_ends_with_3() -> None:
    done = coder_eval("run", "nowhere.yaml")
    assert done.returncode == 3
    assert "nowhere.yaml" in last_error(done)


@pytest.mark.slow
def test_a_prefect_server_that_does_not_answer_is_named(config: str) -> None:
    done = coder_eval("run", config, "--engine", "prefect", PREFECT_API_URL="http://127.0.0.1:9/api")
    assert done.returncode == 2
    assert "PREFECT_API_URL: http://127.0.0.1:9/api: no Prefect server answers there" in last_error(done)


@pytest.mark.slow
def test_without_a_server_a_run_happens_in_this_process_and_says_so_in_one_line(config: str, tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    done = coder_eval("run", config, "--store", store, PREFECT_API_URL="http://127.0.0.1:9/api")
    assert done.returncode == 0, done.stderr
    told, *logged = done.stderr.splitlines()
    assert told.startswith("no Prefect server answers at http://127.0.0.1:9/api: running in this process")
    assert all(re.match(r"\d\d:\d\d:\d\d \| ", line) for line in logged)
    assert "coder" in done.stdout


@pytest.mark.slow
def test_in_this_process_means_without_prefect(config: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PRINT_LOADED, "run", config, "--store", str(tmp_path / "store"), "--engine", "inline"],
        env={**os.environ, "PREFECT_API_URL": "http://127.0.0.1:9/api"},
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stderr.splitlines()[-1] == "['torch']"
    assert "server" not in done.stderr


@pytest.mark.slow
def test_a_run_prints_one_json_object_and_a_second_one_embeds_nothing(
    config: str, tmp_path: Path, prefect_server: str
) -> None:
    store = str(tmp_path / "store")
    done = coder_eval(
        "run", config, "--json", "--set", "methods=[clip, coder]", CODER_STORE=store, PREFECT_API_URL=prefect_server
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1
    told = json.loads(done.stdout)
    assert set(told) == {"run_id", "metrics", "comparisons"}
    assert {row["method"] for row in told["metrics"]} == {"clip", "coder"}
    assert {"method", "metric", "value", "n", "ci_low", "ci_high"} <= set(told["metrics"][0])
    assert "Finished in state Completed()" in done.stderr
    again = coder_eval("run", config, "--set", "methods=[clip, coder]", "--engine", "inline", CODER_STORE=store)
    assert "embedded 0 texts" in again.stdout
    assert "and 0 images" in again.stdout
    rows = Warehouse(Store(store)).query("SELECT run_id FROM runs ORDER BY started_at").rows
    assert rows[0] == (told["run_id"],)
    assert len(rows) == 2


@pytest.mark.slow
def test_an_unusable_input_ends_with_3_and_is_told_once(
    world: World, config: str, tmp_path: Path, prefect_server: str
) -> None:
    rewrite_features(world, labels=np.full(120, 7))
    store = str(tmp_path / "store")
    done = coder_eval("run", config, "--json", "--store", store, PREFECT_API_URL=prefect_server)
    assert done.returncode == 3
    assert "row 0 has label 7, not in 0..3 (120 rows do)" in last_error(done)
    assert done.stderr.count("row 0 has label 7") == 1


@pytest.mark.slow
def test_an_unwritable_store_ends_with_4(config: str, tmp_path: Path, prefect_server: str) -> None:
    (tmp_path / "file").write_text("")
    done = coder_eval("run", config, "--store", str(tmp_path / "file" / "store"), PREFECT_API_URL=prefect_server)
    assert done.returncode == 4
    assert "The store cannot be written" in last_error(done)


@pytest.mark.slow
@pytest.mark.thorough
def test_prefect_starts_a_temporary_server_where_it_is_asked_for(config: str, tmp_path: Path) -> None:
    """On a fresh database, which takes up to half a minute on a slow machine."""
    home = str(tmp_path / "prefect")
    done = coder_eval("run", config, "--engine", "prefect", "--store", str(tmp_path / "store"), PREFECT_HOME=home)
    assert done.returncode == 0, done.stderr
    assert "coder" in done.stdout
    assert "Finished in state Completed()" in done.stderr
    assert "Stopping temporary server" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "told"),
    [
        pytest.param(
            {"PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "1", "PREFECT_SERVER_DATABASE_TIMEOUT": "600"},
            "--engine prefect: Prefect's temporary server does not start: it does not answer after 1 s",
            marks=pytest.mark.thorough,
        ),
        (
            {"PREFECT_SERVER_EPHEMERAL_ENABLED": "false"},
            "no Prefect server is named, and PREFECT_SERVER_EPHEMERAL_ENABLED forbids a temporary one",
        ),
    ],
)
def test_a_temporary_server_that_does_not_start_is_told_in_one_line(
    config: str, tmp_path: Path, settings: dict[str, str], told: str
) -> None:
    home, store = str(tmp_path / "prefect"), str(tmp_path / "store")
    (tmp_path / "prefect").mkdir()
    with closing(sqlite3.connect(tmp_path / "prefect" / "prefect.db", isolation_level=None)) as database:
        database.execute("BEGIN EXCLUSIVE")  # which a server waits for, however fast the machine is
        done = coder_eval("run", config, "--engine", "prefect", "--store", store, PREFECT_HOME=home, **settings)
    assert done.returncode == 7, done.stderr
    assert told in last_error(done)
    assert last_error(done).endswith("or use --engine inline.")
    assert processes_of(Path(home)) == []


@pytest.mark.slow
@pytest.mark.thorough
def test_an_error_that_only_a_step_can_find_is_told_once_under_prefect(
    photos: World, tmp_path: Path, prefect_server: str
) -> None:
    for file in (photos.folder / "images").rglob("*.png"):
        file.write_bytes(b"no image")
    config = photos.folder / "config.yaml"
    config.write_text(yaml.safe_dump(photos.settings))
    done = coder_eval("run", str(config), "--store", str(tmp_path / "store"), PREFECT_API_URL=prefect_server)
    assert done.returncode == 3
    assert "none of 20 images can be read" in last_error(done)
    assert done.stderr.count("none of 20 images can be read") == 1
    assert "Finished in state Failed(): the error below says why" in done.stderr
