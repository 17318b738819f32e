"""Augmented views of few-shot support images: forward passes and seconds, as the released code works and as we do.

    python bench/few_shot_views.py [--shots 1 2 4 8 16] [--draws 1] [--views 10] [--classes 47]

Photographs are those of ../shared/data/images/dtd10, else rendered ones; where more are needed than there are, the same
ones count again as other files. Weights are random, so nothing is downloaded. Three ways, one after the other, on the
same photographs, weights and cores:

* as released: for each number of shots and each draw anew, one epoch per view; an epoch reads, decodes, crops and
  embeds every support image, in batches of 256 (Tip-Adapter's `build_cache_model`, which CODER's few-shot code keeps).
* one image at a time: an image is decoded once and its views are one pass; every draw anew (this project at first).
* ours: views of all support images fill passes across images, beside reading and decoding, and what the ledger holds
  is not embedded again: within a seed a larger support holds the smaller ones.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench.images import bare
from bench.random_clip import commented, encoder_at, write_clip, write_photographs

PHOTOGRAPHS = Path(__file__).parents[2] / "shared" / "data" / "images" / "dtd10"
RELEASED_BATCH = 256
"""Of the data loader of the cache, in the released configurations."""

Support = list[Path]


class Scene(NamedTuple):
    """What every way works on."""

    supports: list[Support]
    encoder: Any
    model: Any
    views: int
    folder: Path
    workers: int


class Passes:
    """Counts the forward passes of a model's image tower, and the views in them."""

    def __init__(self, model: Any) -> None:
        self.count = self.views = 0
        self.hook = model._model.visual.register_forward_pre_hook(self._take)

    def _take(self, _tower: Any, inputs: tuple[Any, ...]) -> None:
        self.count += 1
        self.views += len(inputs[0])


def main() -> None:
    """Print a line per way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shots", type=int, nargs="+", default=[16])
    parser.add_argument("--draws", type=int, default=1)
    parser.add_argument("--views", type=int, default=10)
    parser.add_argument("--classes", type=int, default=47)
    parser.add_argument("--architecture", default="ViT-B-32")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=tuple(WAYS), default=tuple(WAYS))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        measure(Path(name), options)


def measure(folder: Path, options: argparse.Namespace) -> None:
    """All ways on one scene."""
    from coder_core.encoders.registry import load_encoder

    encoder = encoder_at(write_clip(folder / "clip", options.architecture))
    model = load_encoder(encoder, device="cpu")
    supports, kind = draw_supports(folder / "photographs", options)
    scene = Scene(supports, encoder, model, options.views, folder, options.workers)
    asked = sum(map(len, supports)) * options.views
    print(
        f"{options.views} views of {options.shots} shots x {options.classes} classes, {options.draws} draws: {asked:,} "
        f"views asked for, of {kind} photographs; {options.architecture}, random weights, CPU, "
        f"{options.workers} threads",
        flush=True,
    )
    bare_pass(scene)  # the first one is slow
    for name in options.only:
        report(name, WAYS[name], scene)


def report(name: str, way: Callable[[Scene], None], scene: Scene) -> None:
    """Do it, and print passes, views and seconds."""
    passes = Passes(scene.model)
    started, busy = time.perf_counter(), time.process_time()
    way(scene)
    took, busy = time.perf_counter() - started, time.process_time() - busy
    passes.hook.remove()
    print(
        f"{name:>20}: {passes.count:6,} passes, {passes.views:8,} views embedded, {took:7.1f} s, {busy:7.1f} s of CPU",
        flush=True,
    )


def as_released(scene: Scene) -> None:
    """Every draw and every view is an epoch of its own over the support."""
    for number, support in enumerate(scene.supports):
        for view in range(scene.views):
            for start in range(0, len(support), RELEASED_BATCH):
                batch = support[start : start + RELEASED_BATCH]
                scene.model.encode_images([prepared(path, scene.model, [(number, view)])[0] for path in batch])


def image_by_image(scene: Scene) -> None:
    """Every image of every draw is a pass of its own views."""
    for number, support in enumerate(scene.supports):
        for path in support:
            views = [(number, view) for view in range(scene.views)]
            scene.model.encode_images(prepared(path, scene.model, views))


def ours(scene: Scene) -> None:
    """The embedding service, draw after draw into one ledger."""
    from coder_core.embedding.image_stream import ImageItem, embed_images
    from coder_core.pipeline.context import Context
    from coder_core.specs import Runtime

    context = Context.open(Runtime(store=str(scene.folder / "store"), device="cpu", workers=scene.workers))
    for support in scene.supports:
        items = (ImageItem(path.name, str(path), scene.views) for path in support)
        found = list(embed_images(context, scene.encoder, items))
        assert all(image.problem is None for image in found)


def prepared(path: Path, model: Any, views: Sequence[tuple[int, int]]) -> list[Any]:
    """Decode an image once, and crop and prepare some views of it."""
    from coder_core.images.augmentation import augment
    from coder_core.images.decoding import decode_image

    image = decode_image(path.read_bytes(), draft_side=None)
    return [model.prepare_image(augment(image, seed=int(path.stem) * 1000 + 10 * view[0] + view[1])) for view in views]


def bare_pass(scene: Scene) -> None:
    """One pass over one image."""
    scene.model.encode_images([bare(scene.supports[0][0].read_bytes(), scene.model)])


WAYS: dict[str, Callable[[Scene], None]] = {
    "as released": as_released,
    "one image at a time": image_by_image,
    "ours": ours,
    "ours, run again": ours,
}


def draw_supports(folder: Path, options: argparse.Namespace) -> tuple[list[Support], str]:
    """Support sets of every number of shots and draw, of a pool half as large again as the largest."""
    from coder_core.few_shot.draws import draw_examples

    per_class = max(options.shots) * 3 // 2 + 1
    files, kind = write_pool(folder, per_class * options.classes)
    labels = np.repeat(np.arange(options.classes), per_class)
    draws = [
        draw_examples(labels, shots=shots, seed=seed).support
        for seed in range(1, options.draws + 1)
        for shots in options.shots
    ]
    return [[files[row] for row in rows.tolist()] for rows in draws], kind


def write_pool(folder: Path, count: int) -> tuple[list[Path], str]:
    """So many files of photographs, no two of the same content, and what they are."""
    real = sorted(PHOTOGRAPHS.glob("*/*.jpg"))
    rendered = [] if real else write_photographs(folder / "rendered", min(count, 200), (500, 375))
    found = real or rendered
    folder.mkdir(exist_ok=True)
    files = [folder / f"{number:05d}.jpg" for number in range(count)]
    for number, file in enumerate(files):
        file.write_bytes(commented(found[number % len(found)].read_bytes(), number))
    return files, f"{len(found)} real" if real else f"{len(found)} rendered"


if __name__ == "__main__":
    main()
