"""Stores of their own, and two finished evaluations that tests only read."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from coder_core.pipeline.context import Context
from coder_core.specs import FewShotMethodName, Runtime
from tests.coder_core.atg.llm_server import LlmServer, serving
from tests.fixtures_inputs import World, write_image_class

from .runs import (
    CONTROLS,
    FIRST_STAGE,
    VARIANTS,
    Run,
    forget_files,
    paired_world,
    run_spec,
    write_flag_images,
    write_flags,
)

LLM_KEY = "sk-test-that-must-not-be-shown"
GENERATED_NAMES = ("red kite", "blue tit", "wren")


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
def runtime() -> Iterator[Runtime]:
    """A store of its own, in memory: a disk is waited for at every write, and `any_store` tries one."""
    root = uuid.uuid4().hex
    yield Runtime(store=f"memory://{root}", device="cpu")
    forget_files(MemoryFileSystem, root)


@pytest.fixture(scope="session")
def features_run(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Features of four classes: first stage, a variant, the rerank, ablation and the explicit matrix."""
    folder = tmp_path_factory.mktemp("features-run")
    methods = (*FIRST_STAGE, "coder_top_m", "coder_rerank")
    ablation = {"draws": 3, "texts_per_class": [1, 2]}
    world = paired_world(folder / "world", methods=methods, ablation=ablation, matrix={"write": True})
    runtime = Runtime(store="memory://features-run", device="cpu")
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
        few_shot={"pool": pool, "shots": [1, 3], "draws": 1, "methods": get_args(FewShotMethodName)},
        ablation={"draws": 1, "texts_per_class": [2]},
    )
    images = world.folder / "images"
    (images / "Italy" / "broken.png").write_bytes(b"no image")
    (images / "Italy" / "notes.txt").write_text("no image either")
    runtime = Runtime(store=str(folder / "store"), device="cpu")
    return Finished(world, runtime, run_spec(world.spec(), runtime, "flags-20260101T000000-a"))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LlmServer]:
    """A language model on loopback that takes one key."""
    monkeypatch.setenv("OPENAI_API_KEY", LLM_KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with serving(LlmServer(key=LLM_KEY)) as started:
        yield started


@pytest.fixture
def settings(tmp_path: Path, tiny_clip: Path) -> dict[str, Any]:
    """Three classes of images, a tiny CLIP, and a language model that writes the texts."""
    for name in GENERATED_NAMES:
        write_image_class(tmp_path / "images", name, 2)
    return {
        "name": "generated",
        "dataset": {"kind": "folder", "path": str(tmp_path / "images")},
        "encoder": {"kind": "open_clip", "checkpoint": str(tiny_clip)},
        # A tiny random CLIP finds everything alike: no analogue may be dropped for that.
        "texts": {"generator": {"model": "test-model", "max_similarity": 1.0}},
    }
