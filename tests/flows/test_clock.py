"""A clock that goes backwards during a run and between runs: nothing fails, and no duration is negative."""

from datetime import datetime, timedelta, tzinfo

import pytest

from bench.store_identity import find_damage
from coder_core.specs import Runtime
from coder_core.steps import publish_run
from coder_core.storage import artifact_writer
from coder_core.storage.store import Store
from flows.coder_eval import coder_eval
from tasks import prefect_runner
from tests.fixtures_inputs import World

from .conftest import Query

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]


class BackwardsClock(datetime):
    """Each look is an hour before the one before."""

    looks = 0

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        cls.looks += 1
        return datetime.now(tz) - timedelta(hours=cls.looks)


@pytest.mark.thorough
def test_runs_while_the_clock_goes_backwards_end_well(
    world: World, runtime: Runtime, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (prefect_runner, publish_run, artifact_writer):
        monkeypatch.setattr(module, "datetime", BackwardsClock)
    first = coder_eval(world.settings, [], runtime)
    second = coder_eval(world.settings, ["logit_scale=50"], runtime)
    assert BackwardsClock.looks > 4
    assert first.run_id != second.run_id
    assert (second.texts_embedded, second.images_embedded) == (0, 0)
    assert query("SELECT count(*) FROM runs WHERE finished_at < started_at") == [(0,)]
    assert query("SELECT count(*) FROM timings WHERE seconds < 0") == [(0,)]
    assert query("SELECT count(DISTINCT run_id) FROM metrics") == [(2,)]
    assert find_damage(Store(runtime.store)) == []
