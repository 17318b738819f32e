"""An accelerator in six minutes without a network: bare forward rates, the pipeline's rate, where the time goes.

    python bench/gpu.py [--architectures ViT-B-32 ViT-L-14] [--images 4000] [--device auto] [--minutes 5]

Weights are random and photographs rendered here. For each architecture: the bare forward rate in float32, under
bfloat16 autocast, with bfloat16 weights and compiled, from inputs that lie in host memory; then the pipeline's rate
from JPEG files on the disk, its share of the smaller of the two bounds (decoding alone, forward alone), and what the
work waited for. Stops measuring when its minutes are over, and takes no more images for a measurement than half a
minute is enough for. It runs on a CPU, too.
"""

import argparse
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from bench.images import bare, forward_all
from bench.random_clip import commented, encoder_at, write_clip, write_photographs
from coder_core.embedding.batch_sizes import CPU_IMAGES, DEVICE_IMAGES

SIZE = (500, 375)
DISTINCT = 500
"""Photographs that are rendered; more are the same files with another comment, so that every content is another."""
PIPELINE_SECONDS = 30.0
"""The bound tells how many images are enough for so long."""
PRECISIONS = ("float32", "autocast_bfloat16", "bfloat16")


def main() -> None:
    """Print one line per measurement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--architectures", nargs="+", default=["ViT-B-32", "ViT-L-14"])
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 2)
    parser.add_argument("--minutes", type=float, default=5.0, help="no measurement is begun later")
    options = parser.parse_args()
    until = time.monotonic() + 60 * options.minutes
    from coder_core.encoders.device import choose_device, device_name

    device = choose_device(options.device)
    print(f"{device_name(device)}, {options.workers} threads, torch {torch.__version__}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = many_photographs(folder / "images", options.images)
        for architecture in options.architectures:
            measure(folder, architecture, files, device, options.workers, until)


def measure(folder: Path, architecture: str, files: list[Path], device: str, workers: int, until: float) -> None:
    """All numbers of one architecture, while there is time."""
    checkpoint = write_clip(folder / architecture, architecture)
    decoding = None
    for precision in PRECISIONS:
        if time.monotonic() > until:
            print(f"{architecture}: {precision} left out, the minutes are over", flush=True)
            continue
        model = load(checkpoint, device, precision)
        prepared = [bare(file.read_bytes(), model) for file in files[: pass_size(device)]]
        forward = forward_rate(model, prepared, device)
        decoding = decoding or decode_rate(model, files, workers)
        print(f"{architecture} {precision}: bare forward {forward:.0f} images/s", flush=True)
        bound = min(forward, decoding) if device != "cpu" else 1 / (1 / forward + 1 / decoding)
        some = files[: max(pass_size(device), int(bound * PIPELINE_SECONDS))]
        rate, pace = pipeline_rate(folder, checkpoint, precision, some, device, workers)
        of_what = "both bounds together" if device == "cpu" else "the smaller bound"
        print(
            f"{architecture} {precision}: decoding {decoding:.0f}, pipeline {rate:.0f} images/s from {len(some)} JPEG "
            f"files, {rate / bound:.2f} of {of_what}; {pace}",
            flush=True,
        )
    if device == "cpu":
        print(f"{architecture} compiled: measured on CUDA only", flush=True)
    elif time.monotonic() < until:
        print(f"{architecture} bfloat16, compiled: {compiled_rate(checkpoint, device):.0f} images/s", flush=True)


def pass_size(device: str) -> int:
    """Images of one pass, as the rule of the project has it."""
    return CPU_IMAGES if device == "cpu" else DEVICE_IMAGES


def load(checkpoint: Path, device: str, precision: str) -> Any:
    """The loaded encoder."""
    from coder_core.encoders.registry import load_encoder

    return load_encoder(encoder_at(checkpoint, precision=precision), device=device)


def forward_rate(model: Any, prepared: list[Any], device: str) -> float:
    """Images a second through the model, warm, for two seconds at least."""
    size = pass_size(device)
    forward_all(model, prepared[:size], size)
    started, count = time.perf_counter(), 0
    while not count or time.perf_counter() - started < 2:
        forward_all(model, prepared, size)
        count += len(prepared)
    return count / (time.perf_counter() - started)


def decode_rate(model: Any, files: list[Path], workers: int) -> float:
    """Images a second decoded and prepared by all threads."""
    some = files[: min(len(files), 1000)]
    started = time.perf_counter()
    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(lambda file: bare(file.read_bytes(), model), some):
            pass
    return len(some) / (time.perf_counter() - started)


def pipeline_rate(
    folder: Path, checkpoint: Path, precision: str, files: list[Path], device: str, workers: int
) -> tuple[float, str]:
    """Images a second from files into the ledger, the model loaded before, and the meter's account."""
    from coder_core.embedding.image_stream import ImageItem, embed_images
    from coder_core.pipeline.context import Context
    from coder_core.specs import Runtime

    store = folder / f"store-{checkpoint.name}-{precision}"
    context = Context.open(Runtime(store=str(store), device=device, workers=workers))
    items = (ImageItem(number, str(file)) for number, file in enumerate(files))
    started = time.perf_counter()
    found = sum(1 for _ in embed_images(context, encoder_at(checkpoint, precision=precision), items))
    return found / (time.perf_counter() - started), context.pace.describe()


def compiled_rate(checkpoint: Path, device: str) -> float:
    """Images a second through the image tower alone, compiled with CUDA graphs, inputs on the device."""
    from coder_core.encoders.open_clip_model import load_open_clip
    from coder_core.specs import OpenClipEncoder

    loaded = load_open_clip(OpenClipEncoder(kind="open_clip", checkpoint=str(checkpoint)))
    model = loaded.model.to(device, torch.bfloat16)
    images = torch.rand((256, 3, *model.visual.image_size), device=device, dtype=torch.bfloat16)
    encode = torch.compile(model.encode_image, mode="reduce-overhead")
    with torch.inference_mode():
        for _ in range(3):
            encode(images)
        torch.cuda.synchronize(device)
        started, count = time.perf_counter(), 0
        while time.perf_counter() - started < 2:
            encode(images)
            count += len(images)
            torch.cuda.synchronize(device)
    return count / (time.perf_counter() - started)


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
