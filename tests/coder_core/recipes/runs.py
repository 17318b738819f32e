"""Whole evaluations in this process, without a workflow engine, and short ways to ask what they left in the store."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import permutations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from fsspec.implementations.memory import MemoryFileSystem
from PIL import Image

from coder_core.demo.flag_images import render_pattern
from coder_core.demo.patterns import flag_designs
from coder_core.embedding import ledgers
from coder_core.embedding.pass_queue import start_images, start_texts
from coder_core.encoders import registry
from coder_core.evaluation.predictions import Predictions
from coder_core.llm.llm_runtime import LlmRuntime
from coder_core.packaged import read_packaged
from coder_core.pipeline.artifact_types import PredictionsArtifact
from coder_core.pipeline.context import Context
from coder_core.pipeline.eval_result import EvalResult
from coder_core.pipeline.run_manifest import RunManifest
from coder_core.pipeline.runner import inline_runner
from coder_core.pipeline.step import StepRecord
from coder_core.recipes.evaluate import evaluate
from coder_core.recipes.published_runs import open_run
from coder_core.results.warehouse import Warehouse
from coder_core.specs import EvalSpec, Runtime
from coder_core.steps.predict_images import read_predictions
from coder_core.storage.store import Store
from tests.coder_core.atg.llm_server import LlmServer
from tests.fixtures_inputs import NAMES, World, rewrite_features, write_world

ALL_PAIRS = tuple(permutations(NAMES, 2))
FLAGS = ("France", "Ireland", "Italy", "Ivory Coast", "Netherlands", "Russia")
"""Flags of three stripes: the model takes one for another, and texts tell them apart. Sorted, as their folders are."""
FLAG_PIXELS = 12
"""So small that the model is often wrong."""
FIRST_STAGE = ("clip", "clip_ensemble", "vcd", "coder")
VARIANTS = (
    "coder_top_m",
    "coder_softmax",
    "coder_euclidean",
    "coder_mahalanobis",
    "coder_shrunk",
    "coder_second_round",
    "coder_selected",
)
CONTROLS = ("waffle", "characters", "shuffled", "repeated_names", "nameless")


class Run(NamedTuple):
    """A published run: what came back, and what it was made of, as the store has it."""

    result: EvalResult
    manifest: RunManifest

    def records(self, beginning: str) -> list[StepRecord]:
        """What the steps did whose names begin so, in order."""
        found = [record for record in self.result.records if record.step.startswith(beginning)]
        assert found, f"no step is called {beginning}...: {[record.step for record in self.result.records]}"
        return found

    def record(self, step: str) -> StepRecord:
        """What the one step of a name did."""
        (found,) = [record for record in self.result.records if record.step == step]
        return found

    @property
    def computed(self) -> dict[str, int]:
        """Step -> rows computed, for every step that made something in this run."""
        return {record.step: record.computed for record in self.result.records if record.computed}

    @property
    def predictions(self) -> dict[str, PredictionsArtifact]:
        """Method -> its predictions, in the order of the tables."""
        return {record.method: record.predictions for record in self.manifest.methods}


def run_spec(spec: EvalSpec, runtime: Runtime, run_id: str = "run-1") -> Run:
    """Evaluate, and read the run back."""
    with inline_runner(runtime, run_id=run_id) as run:
        result = evaluate(spec, run)
    return Run(result, open_run(Store(runtime.store), run_id))


def rows(runtime: Runtime, sql: str) -> list[tuple[Any, ...]]:
    """Ask the result tables."""
    return Warehouse(Store(runtime.store)).query(sql).rows


def predicted(runtime: Runtime, run_id: str = "run-1") -> list[tuple[object, ...]]:
    """What every method said, in words of ids."""
    sql = f"SELECT method, image_id, predicted, top5, probability FROM predictions WHERE run_id = '{run_id}'"
    return sorted(rows(runtime, sql), key=repr)


def contents(run: Run, runtime: Runtime) -> dict[str, tuple[str, str]]:
    """Method -> key and content of its predictions."""
    context = Context.open(runtime)
    return {
        method: (artifact.key, repr(context.read(artifact).to_pylist())) for method, artifact in run.predictions.items()
    }


def said(run: Run, runtime: Runtime, method: str) -> Predictions:
    """The stored predictions of a method."""
    return read_predictions(Context.open(runtime), run.predictions[method], method)


def copy_store(source: Runtime, target: Runtime, *, without: str = "nothing") -> None:
    """Copy every file of a store, but those below a folder."""
    files, copies = Store(source.store), Store(target.store)
    for path in files.list():
        if not path.startswith(without):
            copies.write_bytes(path, files.read_bytes(path))


def forget_files(filesystem: type[MemoryFileSystem], root: str) -> None:
    """Take everything out of memory whose path begins so: each look at such a file system goes through all files."""
    for path in [path for path in filesystem.store if path.startswith(f"/{root}")]:
        del filesystem.store[path]
    filesystem.pseudo_dirs[:] = [path for path in filesystem.pseudo_dirs if not path.startswith(f"/{root}")]


def permute_labels(world: World) -> None:
    """Other labels for the same features."""
    with np.load(world.folder / "images.npz") as file:
        labels = file["labels"]
    rewrite_features(world, labels=np.random.default_rng(1).permutation(labels))


def paired_world(folder: Path, pairs: Sequence[tuple[str, str]] = ALL_PAIRS, **changes: Any) -> World:
    """Features, and a bank that tells pairs of classes apart; most images are uncertain."""
    world = write_world(folder, pairs=pairs)
    settings = {"methods": ["clip", "coder", "coder_rerank"], "matrix": {"write": False}, "rerank": {"threshold": 0.9}}
    return World(world.folder, {**world.settings, **settings, **changes})


def write_flag_images(folder: Path, images_per_class: int, seed: int) -> str:
    """Class folders of rendered photographs of some flags that resemble each other."""
    designs = flag_designs()
    for label_id, name in enumerate(FLAGS):
        (folder / name).mkdir(parents=True)
        for number in range(images_per_class):
            pixels = render_pattern(designs[name], np.random.default_rng([seed, label_id, number]), size=FLAG_PIXELS)
            Image.fromarray(pixels).save(folder / name / f"{number:03d}.png")
    return str(folder)


def write_flags(folder: Path, **changes: Any) -> World:
    """Photographs of flags, their texts, and the packaged model, which knows what it sees."""
    bank = yaml.safe_load(read_packaged("demo/flag_texts.yaml"))
    bank["classes"] = [entry for entry in bank["classes"] if entry["name"] in FLAGS]
    bank["one_to_one"] = [entry for entry in bank["one_to_one"] if {entry["class"], entry["rival"]} <= set(FLAGS)]
    folder.mkdir(parents=True)
    (folder / "bank.yaml").write_text(yaml.safe_dump(bank))
    settings = {
        "name": "flags",
        "dataset": {"kind": "folder", "path": write_flag_images(folder / "images", 4, seed=1)},
        "encoder": {"kind": "open_clip", "checkpoint": "demo:micro-clip"},
        "texts": {"bank": str(folder / "bank.yaml"), "domain": "flag"},
        "methods": list(FIRST_STAGE),
    }
    return World(folder, {**settings, **changes})


def llm_runtime(server: LlmServer, folder: Path, **llm: Any) -> Runtime:
    """Settings for a language model on loopback: short pauses, chunks of two classes."""
    settings = {"max_attempts": 2, "backoff_seconds": 0.01, **llm}
    asked = LlmRuntime(base_url=server.url, **settings)
    return Runtime(store=str(folder / "store"), device="cpu", classes_per_task=2, llm=asked)


class Passes:
    """Counts forward passes and what went through them."""

    def __init__(self) -> None:
        self.texts: list[int] = []
        self.images: list[int] = []


@contextmanager
def counted_passes() -> Iterator[Passes]:
    """Count every forward pass of every model in the block; a model is wrapped and not replaced."""
    counted, load = Passes(), registry._load

    class Counting:
        def __init__(self, model: Any) -> None:
            self._model = model

        def __getattr__(self, name: str) -> Any:
            return getattr(self._model, name)

        def start_texts(self, tokens: Any, places: np.ndarray) -> Any:
            counted.texts.append(len(places))
            return start_texts(self._model, tokens, places)

        def start_images(self, prepared: Sequence[Any]) -> Any:
            counted.images.append(len(prepared))
            return start_images(self._model, prepared)

    registry._load = lambda *which: Counting(load(*which))  # type: ignore[assignment]
    try:
        yield counted
    finally:
        registry._load = load


def forget_ledgers() -> None:
    """Let the next step open its ledgers as a new process would."""
    ledgers._open.cache_clear()
