"""What one class more costs: calls, texts and images embedded, and seconds, against the run over all classes.

    python bench/new_class.py [--classes 1000 --images 10 --latency-ms 50]

Folders of small random images, a CLIP of ViT-B/32's architecture with random weights, and texts from a language model
on loopback. Three runs of `coder-eval run` in one store: all classes, the same again (what any run costs), and one
class more. Prints each with its seconds by step. Random weights make all texts alike, so the filter that asks again for
analogues too like the class is off.
"""

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from bench.run_processes import run_whole
from bench.scenes import Scene, make_scene, prefect_for_runs
from coder_core.results.warehouse import Warehouse
from coder_core.storage.store import Store
from tests.coder_core.atg.llm_server import LlmServer, serving

VIT_B_32 = {
    "embed_dim": 512,
    "vision_cfg": {"image_size": 224, "layers": 12, "width": 768, "patch_size": 32},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 12},
}
PREPROCESS = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "shortest"}
GENERATOR = {"model": "test-model", "kinds": ["attribute", "analogous_class"], "max_similarity": 1.0}
SIDE = 64
COUNTS = "SELECT run_id, texts_embedded, images_embedded FROM runs ORDER BY started_at DESC LIMIT 1"
STEPS = "SELECT step, seconds FROM timings WHERE run_id = ? ORDER BY seconds DESC LIMIT 6"


class Cost(NamedTuple):
    """What one run cost."""

    calls: int
    texts: int
    images: int
    seconds: float
    steps: list[tuple[str, float]]

    def __str__(self) -> str:
        steps = ", ".join(f"{step} {seconds:.1f}" for step, seconds in self.steps)
        return (
            f"{self.calls} calls, {self.texts} texts and {self.images} images embedded, {self.seconds:.1f} s ({steps})"
        )


def write_checkpoint(folder: Path, model: dict[str, Any]) -> None:
    """Write a CLIP with random weights, in open_clip's layout."""
    import torch
    from safetensors.torch import save_file

    from coder_core.encoders.text_tower import build_clip

    folder.mkdir()
    torch.manual_seed(0)
    save_file(build_clip(model).state_dict(), folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": model, "preprocess_cfg": PREPROCESS}))


def write_class(root: Path, number: int, images: int) -> None:
    """Write a class folder of random images."""
    folder = root / f"class {number:04}"
    folder.mkdir(parents=True)
    generator = np.random.default_rng(number)
    for image in range(images):
        pixels = generator.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{image:02}.png")


def measure_run(scene: Scene, server: LlmServer, log: str) -> Cost:
    """Run, and read from the tables what it made itself."""
    calls = len(server.calls)
    outcome = run_whole(scene.command("store", log=log))
    warehouse = Warehouse(Store(str(scene.folder / "store")))
    ((run_id, texts, images),) = warehouse.query(COUNTS).rows
    steps = warehouse.query(STEPS.replace("?", f"'{run_id}'")).rows
    return Cost(len(server.calls) - calls, texts, images, outcome.seconds, [(step, sec) for step, sec in steps])


def measure(folder: Path, classes: int, images: int, *, latency_ms: float, model: dict[str, Any]) -> list[Cost]:
    """Three runs: all classes, nothing new, one class more; prints as it goes."""
    for number in range(classes):
        write_class(folder / "images", number, images)
    write_checkpoint(folder / "clip", model)
    settings = {
        "name": "growing",
        "dataset": {"kind": "folder", "path": str(folder / "images")},
        "encoder": {"kind": "open_clip", "checkpoint": str(folder / "clip")},
        "texts": {"generator": GENERATOR},
        "methods": ["clip", "coder"],
    }
    with serving(LlmServer(delay_seconds=latency_ms / 1000)) as server:
        scene = make_scene(folder, settings, CODER_LLM_BASE_URL=server.url, OPENAI_API_KEY="sk-not-checked")
        full = measure_run(scene, server, "full")
        print(f"{classes} classes: {full}", flush=True)
        same = measure_run(scene, server, "same")
        print(f"nothing new:  {same}", flush=True)
        write_class(folder / "images", classes, images)
        more = measure_run(scene, server, "more")
        print(f"one class more: {more}", flush=True)
    return [full, same, more]


def describe(full: Cost, same: Cost, more: Cost) -> str:
    """The ratios."""
    return (
        f"one class more / all: calls {more.calls / full.calls:.3%}, texts {more.texts / full.texts:.3%}, "
        f"images {more.images / full.images:.3%}, seconds {more.seconds / full.seconds:.2%}, of which "
        f"{same.seconds / full.seconds:.2%} are any run's and {(more.seconds - same.seconds) / full.seconds:.2%} the "
        "class's own"
    )


def main() -> int:
    """Read the command line, start a Prefect server, and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--images", type=int, default=10, help="images per class")
    parser.add_argument("--latency-ms", type=float, default=50.0, help="of each answer of the language model")
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="new-class-"))
    with prefect_for_runs(folder):
        print(describe(*measure(folder, asked.classes, asked.images, latency_ms=asked.latency_ms, model=VIT_B_32)))
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
