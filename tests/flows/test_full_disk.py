"""A disk of a few megabytes that fills up at one write after another of a run: one line, and a rerun like any other."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from coder_core import evaluate
from coder_core.care.verifying import verify_store
from coder_core.errors import CoderError, StoreError
from coder_core.results.warehouse import Warehouse
from coder_core.specs import Runtime
from coder_core.storage.store import Store
from tests.coder_core.recipes.store_snapshot import COUNTS, ledger_rows, result_rows
from tests.fixtures_inputs import World

WITHOUT = frozenset(COUNTS | {"engine"})
SOME_WRITES = 10
"""Of those of a run, in the shorter tests."""


class Disk:
    """A small file system, and what fills it at a chosen write below it."""

    def __init__(self, root: Path) -> None:
        self.root, self.writes, self.full_at = root, 0, -1

    def heed(self, event: str, details: tuple[Any, ...]) -> None:
        """Python's audit hook: the disk is full from the chosen write on."""
        if event != "open" or not isinstance(details[0], str | bytes | os.PathLike):
            return
        is_writing = isinstance(details[2], int) and details[2] & (os.O_WRONLY | os.O_RDWR)
        path = os.fsdecode(details[0])
        if is_writing and path.startswith(str(self.root)) and not path.endswith("filler"):
            self.writes += 1
            if self.writes == self.full_at:
                self.fill()

    def fill(self) -> None:
        try:
            with (self.root / "filler").open("wb", buffering=0) as filler:
                while filler.write(bytes(4096)):
                    pass
        except OSError:
            return

    def reset(self, full_at: int) -> None:
        (self.root / "filler").unlink(missing_ok=True)
        self.writes, self.full_at = 0, full_at


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disk]:
    root = tmp_path_factory.mktemp("disk")
    mount = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(root)]
    if sys.platform != "linux" or os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("a file system can be mounted by root only, and not in every container")
    found = Disk(root)
    sys.addaudithook(lambda event, details: found.heed(event, details) if found.full_at >= 0 else None)
    yield found
    found.full_at = -1
    subprocess.run(["umount", "--lazy", str(root)], check=True)


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    from coder_core.pipeline import runner

    monkeypatch.setattr(runner, "_wait", lambda _seconds: None)


def settings_of(photos: World) -> dict[str, Any]:
    return {**photos.settings, "methods": ["clip", "coder"]}


def run(settings: dict[str, Any], store: str, engine: str) -> str:
    if engine == "inline":
        return evaluate(settings, store=store).run_id
    from flows.coder_eval import coder_eval

    return coder_eval(settings, [], Runtime(store=store)).run_id


def refusal(settings: dict[str, Any], store: str, engine: str) -> tuple[str, CoderError | None]:
    try:
        return run(settings, store, engine), None
    except CoderError as error:
        return "", error


def fill_at(points: range, disk: Disk, settings: dict[str, Any], expected: Any, engine: str) -> int:
    """Run with a disk that is full from a write on, and again; gives how often the run was stopped by it."""
    stopped = 0
    for point in points:
        store = str(disk.root / f"store-{engine}-{point}")
        disk.reset(point)
        run_id, error = refusal(settings, store, engine)
        disk.reset(0)
        if error is not None:
            stopped += 1
            assert isinstance(error, StoreError), repr(error)
            assert (error.exit_code, "\n" in str(error), "Free some space" in str(error)) == (4, False, True), str(
                error
            )
            assert Warehouse(Store(store)).query("SELECT count(*) FROM runs").rows == [(0,)]
            run_id = run(settings, store, engine)
        assert verify_store(Store(store)).damage == []
        assert found_in(store, run_id) == expected
        subprocess.run(["rm", "-r", store], check=True)
    return stopped


@pytest.fixture
def expected(photos: World, tmp_path: Path) -> Any:
    store = str(tmp_path / "undisturbed")
    run_id = evaluate(settings_of(photos), store=store).run_id
    return found_in(store, run_id)


def found_in(store: str, run_id: str) -> Any:
    """Rows of all tables and ledgers; the hashes of files that were read once are kept for speed only."""
    ledgers = {name: rows for name, rows in ledger_rows(store).items() if "image_files" not in name}
    return result_rows(store, run_id, without=WITHOUT), ledgers


def writes_of(disk: Disk, settings: dict[str, Any]) -> int:
    disk.reset(10**9)
    store = str(disk.root / "counted")
    evaluate(settings, store=store)
    subprocess.run(["rm", "-r", store], check=True)
    return disk.writes


@pytest.mark.slow
@pytest.mark.thorough
def test_a_disk_that_fills_up_at_a_write_is_one_line_and_a_rerun_is_like_any_other(
    photos: World, disk: Disk, expected: Any
) -> None:
    count = writes_of(disk, settings_of(photos))
    assert count > 30
    points = range(1, count + 1, count // SOME_WRITES)
    assert fill_at(points, disk, settings_of(photos), expected, "inline") >= len(points) - 2


@pytest.mark.thorough
@pytest.mark.timeout(900)
def test_the_same_at_every_write(photos: World, disk: Disk, expected: Any) -> None:
    count = writes_of(disk, settings_of(photos))
    assert fill_at(range(1, count + 1), disk, settings_of(photos), expected, "inline") > 0.8 * count


@pytest.mark.thorough
@pytest.mark.timeout(900)  # Prefect waits before it tries a task again
@pytest.mark.usefixtures("prefect_server")
def test_the_same_under_prefect(photos: World, disk: Disk, expected: Any) -> None:
    count = writes_of(disk, settings_of(photos))
    points = range(9, count + 1, count // 4)
    assert fill_at(points, disk, settings_of(photos), expected, "prefect") >= len(points) - 1
