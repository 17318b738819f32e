"""An accelerator in six minutes without a network: bare forward rates, the pipeline's rate, where the time goes.

    python bench/gpu.py [--architectures ViT-B-32 ViT-L-14] [--images 12000] [--device auto] [--minutes 5]

Weights are random and photographs rendered here. For each architecture, in float32, under bfloat16 autocast, with
bfloat16 weights, and with these compiled: the bare forward rate (the tower alone, its inputs on the device, one pass
after the other, all devices side by side); then the pipeline's rate from JPEG files on the disk, its share of the
smaller of the two bounds (decoding alone, forward alone; on a CPU, whose cores both share, of the two together), and
what the work waited for. Begins no measurement when its minutes are over, and takes no more images for one than twenty
seconds are enough for. On a CPU it runs in small: 64 images and ViT-B-32, unless told otherwise.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import torch

from bench.images import bare
from bench.random_clip import commented, encoder_at, write_clip, write_photographs
from coder_core.embedding.batch_sizes import CPU_IMAGES, DEVICE_IMAGES

SIZE = (500, 375)
DISTINCT = 500
"""Photographs that are rendered; more are the same files with another comment, so that every content is another."""
PIPELINE_SECONDS = 20.0
"""The bound tells how many images are enough for so long."""
FORWARD_SECONDS = 2.0
PASSES = 8
"""That are waited for together: so many keep an accelerator busy, and none waits for the host."""


class Side(NamedTuple):
    """What a model computes in, and whether it is compiled."""

    precision: str
    is_compiled: bool = False

    def __str__(self) -> str:
        return f"{self.precision}, compiled" if self.is_compiled else self.precision


SIDES = (Side("float32"), Side("autocast_bfloat16"), Side("bfloat16"), Side("bfloat16", is_compiled=True))


class Scene(NamedTuple):
    """What is measured, where, and until when."""

    folder: Path
    files: list[Path]
    device: str
    workers: int
    until: float

    @property
    def is_cpu(self) -> bool:
        """Whether decoding and the model share the cores."""
        return self.device == "cpu"

    @property
    def pass_size(self) -> int:
        """Images of one pass, as the rule of the project has it."""
        return CPU_IMAGES if self.is_cpu else DEVICE_IMAGES

    @property
    def compile_mode(self) -> str:
        """CUDA graphs where there is CUDA."""
        return "reduce-overhead" if self.device.startswith("cuda") else "default"


def main() -> None:
    """Print some lines per architecture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--architectures", nargs="+", help="default: ViT-B-32, and ViT-L-14 but on a CPU")
    parser.add_argument("--images", type=int, help="default: 12000, on a CPU 64")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 2)
    parser.add_argument("--minutes", type=float, default=5.0, help="no measurement is begun later")
    options = parser.parse_args()
    until = time.monotonic() + 60 * options.minutes
    from coder_core.encoders.device import choose_device, device_name, list_devices

    device = choose_device(options.device)
    count = len(list_devices(device))
    several = f"{count} x " if count > 1 else ""
    print(f"{several}{device_name(device)}, {options.workers} threads, torch {torch.__version__}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        os.environ["XDG_CACHE_HOME"] = name  # what is found out here is nobody else's
        images = options.images or (64 if device == "cpu" else 12_000)
        files = many_photographs(Path(name) / "images", images)
        scene = Scene(Path(name), files, device, options.workers, until)
        for architecture in options.architectures or ["ViT-B-32", *(["ViT-L-14"] if device != "cpu" else [])]:
            measure(scene, architecture)


def measure(scene: Scene, architecture: str) -> None:
    """All numbers of one architecture, while there is time."""
    checkpoint = write_clip(scene.folder / architecture, architecture)
    decoding = None
    for side in SIDES:
        name = f"{architecture} {side}"
        if time.monotonic() > scene.until:
            print(f"{name}: left out, the minutes are over", flush=True)
            continue
        models = load(scene, checkpoint, side.precision)
        prepared = [bare(file.read_bytes(), models[0]) for file in scene.files[: scene.pass_size]]
        compiling = f" ({compile_all(scene, models, prepared):.0f} s for it)" if side.is_compiled else ""
        forward = forward_rate(models, prepared)
        print(f"{name}{compiling}: bare forward {forward:.1f} images/s", flush=True)
        decoding = decoding or decode_rate(scene, models[0])
        print(f"{name}: {pipeline_line(scene, checkpoint, side, forward, decoding)}", flush=True)


def load(scene: Scene, checkpoint: Path, precision: str) -> Sequence[Any]:
    """The loaded encoder, once for every device."""
    from coder_core.encoders.registry import load_on_devices

    return load_on_devices(encoder_at(checkpoint, precision=precision), device=scene.device)


def compile_all(scene: Scene, models: Sequence[Any], prepared: list[Any]) -> float:
    """Have the towers compiled; gives the seconds that the first passes take."""
    started = time.perf_counter()
    for model in models:
        model.compile_images(scene.compile_mode)
        for _ in range(3):  # CUDA graphs are recorded in the second pass
            model.encode_images(prepared)
    return time.perf_counter() - started


def forward_rate(models: Sequence[Any], prepared: list[Any]) -> float:
    """Images a second through the towers alone, warm, for two seconds at least."""
    pixels = [torch.stack(prepared).to(model._passes.device) for model in models]

    def compute(times: int) -> None:
        for _ in range(times):
            made = [tower(model, held) for model, held in zip(models, pixels, strict=True)]
        for rows in made:
            rows[-1:].cpu()  # waits for all that was put into the queue before

    compute(3)
    times = PASSES if models[0]._passes.device.type == "cuda" else 1
    started, count = time.perf_counter(), 0
    while not count or time.perf_counter() - started < FORWARD_SECONDS:
        compute(times)
        count += times * len(prepared) * len(models)
    return count / (time.perf_counter() - started)


@torch.inference_mode()
def tower(model: Any, pixels: torch.Tensor) -> torch.Tensor:
    """One pass as the model makes it, and nothing around it."""
    with model._passes._autocast():
        rows: torch.Tensor = model._forward_images({"pixels": pixels})
    return rows


def decode_rate(scene: Scene, model: Any) -> float:
    """Images a second decoded and prepared by all threads."""
    some = scene.files[:1000]
    started = time.perf_counter()
    with ThreadPoolExecutor(scene.workers) as pool:
        for _ in pool.map(lambda file: bare(file.read_bytes(), model), some):
            pass
    return len(some) / (time.perf_counter() - started)


def pipeline_line(scene: Scene, checkpoint: Path, side: Side, forward: float, decoding: float) -> str:
    """The pipeline's rate from files into the ledger, the model loaded before, beside its bounds; and its waits."""
    from coder_core.embedding.image_stream import ImageItem, embed_images
    from coder_core.pipeline.context import Context
    from coder_core.specs import Runtime

    bound = 1 / (1 / forward + 1 / decoding) if scene.is_cpu else min(forward, decoding)
    some = scene.files[: max(scene.pass_size, int(bound * PIPELINE_SECONDS))]
    runtime = Runtime(
        store=str(scene.folder / f"store-{checkpoint.name}-{side}"),
        device=scene.device,
        workers=scene.workers,
        compile_mode=scene.compile_mode if side.is_compiled else None,
    )
    context = Context.open(runtime)
    items = (ImageItem(number, str(file)) for number, file in enumerate(some))
    started = time.perf_counter()
    found = list(embed_images(context, encoder_at(checkpoint, precision=side.precision), items))
    rate = len(found) / (time.perf_counter() - started)
    assert all(image.problem is None for image in found)
    of_what = "both bounds together" if scene.is_cpu else "the smaller bound"
    return (
        f"pipeline {rate:.1f} images/s from {len(some)} JPEG files, decoding alone {decoding:.1f}: "
        f"{rate / bound:.2f} of {of_what}; {shares(context)}"
    )


def shares(context: Any) -> str:
    """Where the time went."""
    total = context.pace.total
    waits = ", ".join(f"{what} {total.share(name) or 0.0:.0%}" for name, what in WAITS.items())
    return f"device busy {total.share('device') or 0.0:.0%} of the time; waited for {waits}"


WAITS = {"decode": "decoding", "read": "reading", "write": "writing"}


def many_photographs(folder: Path, count: int) -> list[Path]:
    """JPEG files of different content: rendered ones, then the same with another comment each."""
    rendered = write_photographs(folder, min(count, DISTINCT), SIZE)
    files = list(rendered)
    for number in range(len(rendered), count):
        path = folder / f"{number:05d}.jpg"
        path.write_bytes(commented(rendered[number % len(rendered)].read_bytes(), number))
        files.append(path)
    return files


if __name__ == "__main__":
    main()
