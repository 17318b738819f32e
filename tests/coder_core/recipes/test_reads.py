"""How often a run reads what is in the store: counted on a real file system that writes down every open."""

import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from coder_core.specs import EvalSpec, Runtime
from coder_core.steps import embed_images, load_dataset
from coder_core.storage.store import Store
from tests.fixtures_inputs import World, write_world

from .runs import forget_files, forget_ledgers, run_spec

DRAWS = 20
PARTS = 10
LEDGER_PARTS = -(-PARTS // embed_images.FEATURE_PARTS)


class CountedFileSystem(MemoryFileSystem):
    """Files in memory; counts what is opened, read whole and listed."""

    protocol = "counted"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    opened: ClassVar[Counter[str]] = Counter()
    listed: ClassVar[Counter[str]] = Counter()

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        if "r" in mode:
            self.opened[path.strip("/")] += 1
        return super()._open(path, mode, **options)

    def cat_file(self, path: str, *bounds: Any, **options: Any) -> bytes:
        self.opened[path.strip("/")] += 1
        return bytes(super().cat_file(path, *bounds, **options))

    def find(self, path: str, *depth: Any, **options: Any) -> Any:
        self.listed[path.strip("/")] += 1
        return super().find(path, *depth, **options)


fsspec.register_implementation("counted", CountedFileSystem, clobber=True)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    """A store on a file system that counts; listings are cut into parts of five images."""
    monkeypatch.setattr(load_dataset, "LISTING_ROWS", 5)
    root = uuid.uuid4().hex
    yield Runtime(store=f"counted://{root}", device="cpu")
    forget_files(CountedFileSystem, root)


def start_counting() -> None:
    """Count from here, as a new process that knows no ledger would see it."""
    forget_ledgers()
    CountedFileSystem.opened.clear()
    CountedFileSystem.listed.clear()


def opens(runtime: Runtime, prefix: str) -> dict[str, int]:
    """How often each file below a folder was opened."""
    root = runtime.store.removeprefix("counted://")
    return {path: CountedFileSystem.opened[f"{root}/{path}"] for path in Store(runtime.store).list(prefix)}


def listings(runtime: Runtime, prefix: str) -> int:
    root = runtime.store.removeprefix("counted://")
    return sum(count for path, count in CountedFileSystem.listed.items() if path.startswith(f"{root}/{prefix}"))


class Draws:
    """Few-shot over a pool whose vectors lie in ten parts of a ledger."""

    def __init__(self, world: World, pool: World) -> None:
        self._world, self._pool = world, pool

    def spec(self, draws: int) -> EvalSpec:
        few_shot = {
            "pool": self._pool.settings["dataset"],
            "shots": [1],
            "draws": draws,
            "methods": ["nearest_mean"],
            "zero_shot": "none",
            "validation_per_class": 0,
        }
        return self._world.spec(methods=["clip"], matrix={"write": False}, few_shot=few_shot)


@pytest.fixture
def draws(tmp_path: Path) -> Draws:
    pool = write_world(tmp_path / "pool", images_per_class=12, first_image=500)
    return Draws(write_world(tmp_path / "world", images_per_class=1), pool)


@pytest.mark.slow
def test_every_draw_reads_vectors_and_only_the_first_reads_keys(draws: Draws, counted: Runtime) -> None:
    run_spec(draws.spec(1), counted, "run-1")
    start_counting()
    more = run_spec(draws.spec(1 + DRAWS), counted, "run-2")
    assert [record.computed > 0 for record in more.records("fit_few_shot")] == [False] + [True] * DRAWS
    assert listings(counted, "ledgers/image_embeddings") == 2, "test images and pool ask once each what is there"
    parts = opens(counted, "ledgers/image_embeddings")
    assert len(parts) == LEDGER_PARTS + 1
    assert set(parts.values()) == {1 + DRAWS}, "keys once; vectors once by every fit, or by every prediction"


def test_a_repeated_run_opens_each_part_of_a_ledger_once(draws: Draws, counted: Runtime) -> None:
    run_spec(draws.spec(2), counted, "run-1")
    start_counting()
    assert run_spec(draws.spec(2), counted, "run-2").computed == {}
    assert set(opens(counted, "ledgers").values()) == {1}
    manifests = opens(counted, "artifacts/classifier") | opens(counted, "artifacts/few_shot_fits")
    assert {count for path, count in manifests.items() if path.endswith("manifest.json")} == {1}
    said = {path: count for path, count in opens(counted, "artifacts/predictions").items() if "/part-" in path}
    assert set(said.values()) == {1}, "for the table of predictions; measurements are found"


@pytest.mark.slow
def test_a_further_method_reads_each_vector_once_for_all_new_methods(tmp_path: Path, counted: Runtime) -> None:
    world = write_world(tmp_path / "world", images_per_class=5)
    run_spec(world.spec(methods=["clip"], matrix={"write": False}), counted, "run-1")
    start_counting()
    run_spec(world.spec(methods=["clip", "vcd", "coder", "coder_softmax"], matrix={"write": False}), counted, "run-2")
    parts = opens(counted, "ledgers/image_embeddings")
    assert list(parts.values()) == [1 + embed_images.FEATURE_PARTS], (
        "keys, and vectors in one pass for three methods; four parts of the listing lie in one of the ledger"
    )
