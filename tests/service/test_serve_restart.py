"""A server of `serve` that dies: everything stops and says so, and the next start goes on."""

import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.fixtures_deployment import processes_of

from .held_runs import HELD_SECONDS, HeldScene
from .served import Served

STOP_SECONDS = 30.0
"""On slow cores that other tests share; five on a machine that does nothing else (docs/operations.md)."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.mark.thorough
def test_a_server_that_dies_ends_everything_and_the_next_start_goes_on(
    scene: HeldScene, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    served = Served(tmp_path_factory.mktemp("restarted"))
    try:
        served.start()
        run_id = scene.start_held(served.place, tmp_path / "store", HELD_SECONDS)
        name = served.place.read_run(run_id).name
        served.find_part("server").kill()
        assert served.wait() == 7
        assert "the server has ended with status -9" in served.told
        assert processes_of(served.home) == []

        served.start()
        assert f"Reported as ended, because nobody works on them any more: {name}." in served.told
        assert served.place.read_run(run_id).state.is_crashed()
        scene.resume(served.place, tmp_path / "store")

        last = scene.start_held(served.place, tmp_path / "last", HELD_SECONDS)
        started = time.monotonic()
        assert served.end(signal.SIGTERM) == 128 + signal.SIGTERM, served.told
        assert time.monotonic() - started < STOP_SECONDS
        assert "what has not ended then is killed." in served.told, "it says what it waits for"
        assert processes_of(served.home) == []
    finally:
        served.kill_all()
    with closing(sqlite3.connect(served.home / "prefect.db")) as database:
        (state,) = database.execute("SELECT state_type FROM flow_run WHERE id = ?", [str(last)]).fetchone()
    assert state == "CANCELLED"
