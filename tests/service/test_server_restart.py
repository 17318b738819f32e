"""A Prefect server that restarts while a run is going: the run waits for it and ends well."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from tests.fixtures_deployment import (
    Deployed,
    answers,
    processes_of,
    start_prefect,
    stop_process,
    wait_until,
)

from .held_runs import HeldScene, held_scene, wait_for_end

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def scene(tmp_path: Path, tiny_clip: Path) -> Iterator[HeldScene]:
    with held_scene(tmp_path, tiny_clip) as scene:
        yield scene


def kill_server(home: Path) -> None:
    """Without a warning, as a machine that loses power does."""
    found = [psutil.Process(pid) for pid in processes_of(home)]
    parts = [part for part in found if part.cmdline()[1:5] == ["-m", "prefect", "server", "start"]]
    for part in parts:
        for child in part.children(recursive=True):
            child.kill()
        part.kill()
    psutil.wait_procs(parts, timeout=30)


def test_a_run_outlives_its_server(deployed: Deployed, scene: HeldScene, tmp_path: Path) -> None:
    home, port = Path(deployed.environment["PREFECT_HOME"]), str(urlsplit(deployed.api_url).port)
    run_id = scene.start_held(deployed, tmp_path / "store", 25.0)
    kill_server(home)
    server = start_prefect(deployed, home, "server", "start", "--host", "127.0.0.1", "--port", port, "--no-ui")
    try:
        wait_until(lambda: answers(deployed.api_url, server))
        run = wait_for_end(deployed, run_id)
        assert run.state.is_completed(), run.state
        scene.resume(deployed, tmp_path / "store")
    finally:
        stop_process(server)
