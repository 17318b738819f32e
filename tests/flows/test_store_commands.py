"""`coder-eval store` in processes of its own, and the job `compact`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner

from coder_core.specs import Runtime
from coder_core.storage.artifacts import ArtifactPayload, ArtifactStore
from coder_core.storage.ledger import Ledger
from coder_core.storage.store import Store
from flows.cli import main
from flows.compact import compact

pytestmark = pytest.mark.slow

PRINT_LOADED = """
import atexit, sys
atexit.register(lambda: print([name for name in ("torch", "prefect") if name in sys.modules], file=sys.stderr))
from flows.cli import main
main()
"""


def coder_eval(*arguments: str, store: Store) -> "subprocess.CompletedProcess[str]":
    """Type a command; the last line of standard error tells what heavy libraries it has loaded."""
    return subprocess.run(
        [sys.executable, "-c", PRINT_LOADED, "store", *arguments],
        env={**os.environ, "CODER_STORE": store.root},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An artifact that no run refers to, and three ledger parts."""
    store = Store(str(tmp_path / "store"))
    writer = ArtifactStore(store).writer(ArtifactPayload(kind="texts", step_version=1, spec={}))
    writer.write_part("part-0", pa.table({"row": [1]}))
    writer.commit()
    for key in "abc":
        Ledger(store, "completions", "all").append(pa.table({"key": [key]}))
    return store


def test_verify_ends_with_4_when_something_is_damaged_and_repair_with_0(store: Store) -> None:
    clean = coder_eval("verify", store=store)
    assert (clean.returncode, clean.stderr.splitlines()) == (0, ["[]"])
    assert "0 damaged" in clean.stdout
    path = store.list("ledgers")[0]
    store.write_bytes(path, store.read_bytes(path)[:-9])
    found = coder_eval("verify", store=store)
    assert found.returncode == 4
    assert found.stdout.splitlines()[0].startswith(f"damage    {path}: ")
    assert found.stderr.startswith(f"error: {store.root}: 1 file is damaged.")
    told = coder_eval("verify", "--json", store=store)
    assert told.returncode == 4
    assert [finding["path"] for finding in json.loads(told.stdout)["findings"]] == [path]
    repaired = coder_eval("verify", "--repair", store=store)
    assert (repaired.returncode, repaired.stderr.splitlines()) == (0, ["[]"])
    assert "moved to damaged/" in repaired.stdout
    assert coder_eval("verify", store=store).returncode == 0


def test_compact_prints_what_it_does(store: Store) -> None:
    assert "would merge 3 of 3 parts into 1" in coder_eval("compact", "--dry-run", store=store).stdout
    assert len(store.list("ledgers")) == 3
    done = coder_eval("compact", "--json", store=store)
    assert (done.returncode, done.stderr.splitlines()) == (0, ["[]"])
    assert json.loads(done.stdout)["partitions"][0]["merged"] == 3
    assert len(store.list("ledgers")) == 1


def test_gc_removes_nothing_unless_asked(store: Store) -> None:
    before = store.list()
    for arguments in (["--older-than", "30d"], ["--older-than", "30d", "--delete"], ["--older-than", "0m", "--force"]):
        done = coder_eval("gc", *arguments, store=store)
        assert (done.returncode, done.stderr.splitlines()) == (0, ["[]"])
        assert store.list() == before
    assert "add --delete" in done.stdout
    removed = coder_eval("gc", "--older-than", "0m", "--force", "--delete", "--json", store=store)
    assert [len(item["files"]) for item in json.loads(removed.stdout)["collected"]] == [2]
    assert store.list() == store.list("ledgers")


@pytest.mark.parametrize(("age", "code"), [("12h", 4), ("30", 2), ("-3d", 2), ("a month", 2)])
def test_gc_refuses_an_age_that_is_unsafe_or_none(store: Store, age: str, code: int) -> None:
    typed = ["store", "gc", f"--older-than={age}", "--delete"]
    done = CliRunner().invoke(main, typed, env={"CODER_STORE": store.root})
    assert done.exit_code == code
    assert "Traceback" not in done.output
    assert len(store.list()) == 5


@pytest.mark.usefixtures("prefect_server")
def test_the_job_compacts_the_store_that_its_runtime_names(store: Store) -> None:
    runtime = Runtime(store=store.root)
    assert compact(runtime, is_dry_run=True).partitions[0].merged == 3
    assert len(store.list("ledgers")) == 3
    assert compact(runtime).partitions[0].merged == 3
    assert len(store.list("ledgers")) == 1
