"""One class more costs its own calls, texts and images, and nothing of the old classes'."""

from pathlib import Path

import pytest

from bench.new_class import measure
from bench.run_processes import prepare_processes
from tests.fixtures_inputs import TINY_CLIP


@pytest.mark.slow
@pytest.mark.thorough
def test_one_class_more_costs_one_class(tmp_path: Path, prefect_server: str) -> None:
    prepare_processes(prefect_server, tmp_path / "prefect")
    full, same, more = measure(tmp_path, 8, 2, latency_ms=0.0, model=TINY_CLIP)
    # so few images are all in the sample that is looked at before the model is paid: no run embeds them again
    assert (full.calls, full.images) == (8 * 2, 0)
    assert (same.calls, same.texts, same.images) == (0, 0, 0)
    assert (more.calls, more.images) == (2, 0)
    assert more.texts * 8 == full.texts
