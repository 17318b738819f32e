"""Four runs at once on one store, each in a process of its own: every one ends as if it were alone.

bench/concurrent_runs.py does it with any number.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.concurrent_runs import run_together
from bench.scenes import Scene, Undisturbed, run_undisturbed

from .disturbed import disturbed_scene

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, tiny_clip: Path, prefect_server: str) -> Iterator[Scene]:
    with disturbed_scene(tmp_path_factory.mktemp("together"), tiny_clip, prefect_server) as (scene, _server):
        yield scene


@pytest.fixture(scope="module")
def undisturbed(scene: Scene) -> Undisturbed:
    return run_undisturbed(scene)


RUNS = 4


@pytest.mark.thorough
def test_runs_at_once_end_as_if_each_were_alone(scene: Scene, undisturbed: Undisturbed) -> None:
    together = run_together(scene, "together", RUNS, undisturbed)
    assert together.differences == []
    assert len(together.seconds) == RUNS
    assert undisturbed.images == together.images_stored == 20  # a lease lets one run embed, and the others wait
