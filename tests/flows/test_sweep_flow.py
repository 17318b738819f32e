"""The flow `sweep` as a deployment calls it: looked at first, a wrong cell told before anything runs, and one page."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from coder_core.errors import ConfigError
from coder_core.recipes.sweep import CellsFailedError
from coder_core.specs import Runtime
from flows.sweep import sweep
from tests.fixtures_inputs import NAMES, write_world

from .conftest import Query, artifacts_of

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    """A sweep of two sound data sets and a wrong one, with a published figure."""
    datasets: dict[str, Any] = {}
    for number in (2, 3):
        world = write_world(tmp_path / f"w{number}", NAMES[:number], images_per_class=8)
        datasets[f"w{number}"] = {key: world.settings[key] for key in ("dataset", "encoder", "texts")}
    datasets["gone"] = {**datasets["w2"], "dataset": {"kind": "features", "path": str(tmp_path / "gone.npz")}}
    row = {"source": "Them, table 1", "method": "clip", "top1_percent": {"w2": 50.0}}
    return {"name": "flown", "datasets": datasets, "methods": ["clip", "coder"], "published": [row]}


def test_nothing_runs_where_a_cell_cannot_work_unless_it_is_said(
    settings: dict[str, Any], runtime: Runtime, query: Query
) -> None:
    with pytest.raises(ConfigError, match=r"1 of 3 cells cannot work, and nothing was run: flown\.gone: "):
        sweep(config=settings, runtime=runtime)
    assert not list(Path(runtime.store).glob("**/runs/*"))
    with pytest.raises(CellsFailedError, match="1 of 3 cells have no result"):
        sweep(config=settings, keeps_going=True, runtime=runtime)
    assert query("SELECT name FROM runs ORDER BY name") == [("flown.w2",), ("flown.w3",)]
    (page,) = artifacts_of("flown-sweep")
    assert "beside published figures" in str(page.data)
    assert "cannot work" in str(page.data)
    done = sweep(config=settings, datasets=["w2", "w3"], runtime=runtime)
    assert sorted(done) == ["flown.w2", "flown.w3"]
    assert query("SELECT count(*) FROM runs") == [(2,)], "what is published is not run again"


def test_a_sweep_needs_one_thing_to_run(settings: dict[str, Any], runtime: Runtime, tmp_path: Path) -> None:
    for wrong in ({}, {"config": settings, "cells": {}}):
        with pytest.raises(ConfigError, match="either `config` or `cells`"):
            sweep(**wrong, runtime=runtime)
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump({**settings, "modells": {}}))
    with pytest.raises(ConfigError, match="Did you mean 'models'"):
        sweep(config=str(tmp_path / "sweep.yaml"), runtime=runtime)
