"""SIGKILL at three moments of the whole flow; bench/kill_resume.py does it at fifty.

After one clean run the store must say what it would have said without the kill, to the last digit.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.killed_runs import KillPoint, KillReport, kill_and_resume
from bench.scenes import Scene, Undisturbed, run_undisturbed
from tests.coder_core.atg.llm_server import LlmServer

from .disturbed import disturbed_scene

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def staged(
    tmp_path_factory: pytest.TempPathFactory, tiny_clip: Path, prefect_server: str
) -> Iterator[tuple[Scene, LlmServer]]:
    with disturbed_scene(tmp_path_factory.mktemp("killed"), tiny_clip, prefect_server) as staged:
        yield staged


@pytest.fixture(scope="module")
def undisturbed(staged: tuple[Scene, LlmServer]) -> Undisturbed:
    return run_undisturbed(staged[0])


def points(undisturbed: Undisturbed, share: float, what: str) -> Iterator[KillPoint]:
    """The moment after a share of the run; where a run is faster than the undisturbed one, earlier and earlier ones."""
    assert undisturbed.outcome.writes is not None
    if what == "writes":
        yield KillPoint(write=1 + int(share * undisturbed.outcome.writes))
    else:
        yield from (KillPoint(seconds=share * undisturbed.outcome.seconds * 0.8**tries) for tries in range(20))


@pytest.mark.parametrize(("share", "what"), [(0.35, "writes"), (0.5, "time"), (0.95, "writes")])
@pytest.mark.thorough
def test_after_a_kill_one_run_gives_what_an_undisturbed_run_gives(
    staged: tuple[Scene, LlmServer], undisturbed: Undisturbed, share: float, what: str
) -> None:
    scene, server = staged

    def attempt(number: int, point: KillPoint) -> KillReport | None:
        server.good.clear()
        return kill_and_resume(scene, f"{what}-{share}-{number}", point, undisturbed)

    reports = (attempt(number, point) for number, point in enumerate(points(undisturbed, share, what)))
    report = next(report for report in reports if report is not None)
    assert report.differences == []
    assert report.texts_embedded + report.remains.texts <= undisturbed.texts
    assert report.images_embedded + report.remains.images == undisturbed.images == 20
    assert set(server.good.values()) <= ({1} if share > 0.9 else {1, 2}), (
        "an answer that was stored is not bought again"
    )
