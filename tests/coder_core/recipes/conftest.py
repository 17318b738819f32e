"""Stores of their own, and two finished evaluations that tests only read."""

from pathlib import Path
from typing import NamedTuple

import pytest

from coder_core.pipeline.context import Context
from coder_core.specs import Runtime
from tests.fixtures_inputs import World

from .runs import CONTROLS, FIRST_STAGE, VARIANTS, Run, paired_world, run_spec, write_flag_images, write_flags


class Finished(NamedTuple):
    """An evaluation that is over. Tests must not write to its store."""

    world: World
    runtime: Runtime
    run: Run

    @property
    def context(self) -> Context:
        """Its store."""
        return Context.open(self.runtime)


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    """A store of its own."""
    return Runtime(store=str(tmp_path / "store"), device="cpu")


@pytest.fixture(scope="session")
def features_run(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Features of four classes: first stage, a variant, the rerank, ablation and the explicit matrix."""
    folder = tmp_path_factory.mktemp("features-run")
    methods = (*FIRST_STAGE, "coder_top_m", "coder_rerank")
    ablation = {"draws": 3, "texts_per_class": [1, 2]}
    world = paired_world(folder / "world", methods=methods, ablation=ablation, matrix={"write": True})
    runtime = Runtime(store=str(folder / "store"), device="cpu")
    return Finished(world, runtime, run_spec(world.spec(), runtime))


@pytest.fixture(scope="session")
def flags_run(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Photographs of six flags, one file broken and a note among them: every method that can classify an image.

    Methods of the first stage, every variant, the rerank, every control, and
    every few-shot method with two numbers of shots.
    """
    folder = tmp_path_factory.mktemp("flags-run")
    pool = {"kind": "folder", "path": write_flag_images(folder / "pool", 5, seed=2)}
    world = write_flags(
        folder / "flags",
        methods=[*FIRST_STAGE, *VARIANTS, "coder_rerank"],
        controls=list(CONTROLS),
        rerank={"threshold": 0.5},
        logit_scale=20.0,
        few_shot={"pool": pool, "shots": [1, 3], "draws": 1},
        ablation={"draws": 1, "texts_per_class": [2]},
    )
    images = world.folder / "images"
    (images / "Italy" / "broken.png").write_bytes(b"no image")
    (images / "Italy" / "notes.txt").write_text("no image either")
    runtime = Runtime(store=str(folder / "store"), device="cpu")
    return Finished(world, runtime, run_spec(world.spec(), runtime, "flags-20260101T000000-a"))
