"""Images through an encoder: the pipeline against what bare decoding and a bare forward pass allow together.

    python bench/images.py [--images 300] [--large 24] [--architecture ViT-B-32] [--device cpu]

Weights are random and photographs rendered here, so nothing is downloaded. Every comparison interleaves its sides, and
prints the numbers of both. On the CPU decoding and the model share the cores, so the bound is the sum of both times; on
an accelerator it is the larger of the two.
"""

import argparse
import io
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bench.random_clip import GRAIN, encoder_at, write_clip, write_photographs

SMALL, LARGE = (500, 375), (4000, 3000)
ROUNDS = 3
MODE = "default"
"""Of `torch.compile`."""
SMOOTH = 1.0
"""Grain of photographs that hardly have any: their files are much smaller."""
BATCHES = (8, 16, 32, 64, 128, 256)
TOO_MANY = 8
"""Times the cores: the threads that torch starts in a container which may use an eighth of its machine."""

PARTS = ("bound", "batches", "threads", "half", "compiled", "draft")


def main() -> None:
    """Print the comparisons."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--large", type=int, default=24, help="photographs of 12 megapixels")
    parser.add_argument("--architecture", default="ViT-B-32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", nargs="+", default=list(PARTS))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        os.environ["XDG_CACHE_HOME"] = name  # what is found out here is nobody else's
        bench = Bench(Path(name), options.architecture, options.device, options.workers)
        for part in options.only:
            bench.parts[part](options)


class Bench:
    """One model and its photographs."""

    def __init__(self, folder: Path, architecture: str, device: str, workers: int) -> None:
        self.folder, self.device, self.workers = folder, device, workers
        self.checkpoint = write_clip(folder / "clip", architecture)
        self._stores = 0
        self.parts: dict[str, Callable[[Any], None]] = {
            "bound": self.bound,
            "batches": self.batches,
            "threads": self.threads,
            "half": self.half,
            "compiled": self.compiled,
            "draft": self.draft,
        }

    def model(self, **settings: Any) -> Any:
        """The loaded encoder."""
        from coder_core.encoders.registry import load_encoder

        return load_encoder(encoder_at(self.checkpoint, **settings), device=self.device)

    def another_model(self, **settings: Any) -> Any:
        """The encoder, loaded once more: what is done to it is not done to the other."""
        from coder_core.encoders.registry import find_family

        encoder = encoder_at(self.checkpoint, **settings)
        return find_family(encoder.spec.kind).load(encoder.spec, device=self.device)

    def library_forward(self) -> Callable[[Sequence[Any]], object]:
        """A pass of prepared images through the same weights as open_clip loads and calls them."""
        import open_clip
        import torch

        library = open_clip.create_model(f"local-dir:{self.checkpoint}", device=self.device).eval()

        def forward(batch: Sequence[Any]) -> Any:
            with torch.inference_mode():  # what the pixels' numbers are takes no time
                pixels = torch.stack(list(batch)).to(self.device).permute(0, 3, 1, 2)
                return library.encode_image(pixels.float().contiguous() / 255).cpu()

        return forward

    def photographs(self, count: int, size: tuple[int, int], grain: float = GRAIN) -> list[bytes]:
        """The bytes of photographs, made once."""
        folder = self.folder / f"{size[0]}-{count}-{grain}"
        files = sorted(folder.iterdir()) if folder.is_dir() else write_photographs(folder, count, size, grain=grain)
        return [file.read_bytes() for file in files]

    def bound(self, options: Any) -> None:
        """The pipeline against bare decoding and bare forward passes: its own, and open_clip's as they are."""
        images, model = self.photographs(options.images, SMALL), self.model()
        prepared = self.decode(images, model)
        library = self.library_forward()
        decoding, forward, alone, pipeline = interleaved(
            lambda: self.decode(images, model),
            lambda: forward_all(model, prepared, self.batch_size()),
            lambda: [library(batch) for batch in passes(prepared, self.batch_size())],
            lambda: self.pipeline(images),
        )
        bound = decoding + forward if self.device == "cpu" else max(decoding, forward)
        print(
            f"{len(images)} photographs of {SMALL[0]} x {SMALL[1]}, {self.device}, {self.workers} threads: decoding "
            f"{decoding:.1f} s, forward {forward:.1f} s, bound {bound:.1f} s; pipeline {pipeline:.1f} s "
            f"({len(images) / pipeline:.1f} images/s): {bound / pipeline:.3f} of the bound; open_clip's forward "
            f"{alone:.1f} s, {alone / forward:.2f} times as long as ours and {alone / pipeline:.2f} as the pipeline",
            flush=True,
        )

    def batches(self, options: Any) -> None:
        """Forward passes by batch size."""
        model = self.model()
        prepared = self.decode(self.photographs(options.images, SMALL), model)
        sides = [lambda size=size: forward_all(model, prepared, size) for size in BATCHES]
        for size, seconds in zip(BATCHES, interleaved(*sides), strict=True):
            print(f"batch {size:>3}: {len(prepared) / seconds:.1f} images/s forward", flush=True)

    def threads(self, options: Any) -> None:
        """Images, from JPEG to vector, with the threads that are found, against torch's own and against too many.

        Nothing is tried with `OMP_NUM_THREADS` in the environment.
        """
        from coder_core.cores import usable_cores
        from coder_core.embedding.thread_counts import TORCH, ThreadCount

        images, torch_has = self.photographs(options.images, SMALL), TORCH.usual
        many = TOO_MANY * usable_cores()
        first, found, own, most = interleaved(
            lambda: self.without_memory(images),
            lambda: self.pipeline(images),
            lambda: self.pipeline(images, threads=torch_has),
            lambda: self.pipeline(images, threads=many),
        )
        count = ThreadCount(self.runtime(), encoder_at(self.checkpoint), "images").now
        print(
            f"{usable_cores()} cores, threads of a pass: {count}, as found, {found:.1f} s (and trials: {first:.1f} s); "
            f"{torch_has}, torch's own, {own:.1f} s, {own / found:.2f} times as long; {many}, as in a container with a "
            f"quota, {most:.1f} s, {most / found:.2f} times as long",
            flush=True,
        )

    def without_memory(self, images: Sequence[bytes]) -> None:
        """Embed, and find out again how many threads are best."""
        from coder_core.embedding.thread_counts import FASTEST

        FASTEST.forget()
        FASTEST.file.unlink(missing_ok=True)
        self.pipeline(images)

    def half(self, options: Any) -> None:
        """Half precision against float32: speed, and what becomes of vectors and of the nearest text.

        Speed of the forward passes alone, and end to end: from JPEG files in memory to vectors in a ledger.
        """
        images = self.photographs(options.images, SMALL)
        prepared = self.decode(images, self.model())
        names = ("float32", "autocast_bfloat16", "bfloat16")
        models = {name: self.model(precision=name) for name in names}
        size = self.batch_size()
        seconds = interleaved(*(lambda m=model: forward_all(m, prepared, size) for model in models.values()))
        vectors = {name: forward_rows(model, prepared, size) for name, model in models.items()}
        whole = interleaved(*(lambda name=name: self.pipeline(images, precision=name) for name in names))
        for name, took, end_to_end in zip(names, seconds, whole, strict=True):
            print(
                f"{name:>18}: {len(prepared) / took:.1f} images/s forward ({seconds[0] / took:.2f} times float32), "
                f"{len(images) / end_to_end:.1f} end to end ({whole[0] / end_to_end:.2f} times), "
                f"{compare(vectors['float32'], vectors[name])}",
                flush=True,
            )

    def compiled(self, options: Any) -> None:
        """The image tower compiled against as it is, the time of compiling apart."""
        plain = self.model()
        prepared = self.decode(self.photographs(options.images, SMALL), plain)
        size = self.batch_size()
        expected = forward_rows(plain, prepared[:size], size)
        tower = self.another_model()
        tower.compile_images(MODE)
        started = time.perf_counter()
        found = forward_rows(tower, prepared[:size], size)
        compiling = time.perf_counter() - started
        seconds = interleaved(lambda: forward_all(plain, prepared, size), lambda: forward_all(tower, prepared, size))
        rates = [len(prepared) / took for took in seconds]
        print(
            f"compiled ({MODE}, {compiling:.0f} s for it): {rates[1]:.1f} images/s forward, as it is {rates[0]:.1f}: "
            f"{rates[1] / rates[0]:.2f} times; largest difference {np.abs(expected - found).max():.1e}",
            flush=True,
        )

    def draft(self, options: Any) -> None:
        """JPEG draft decoding of 12-megapixel photographs against whole decoding, one core; of two sizes of file.

        Whole decoding costs by the pixel, and a draft by the byte: every one of them has to be unpacked.
        """
        for grain in (GRAIN, SMOOTH):
            self.draft_of(self.photographs(options.large, LARGE, grain))

    def draft_of(self, images: list[bytes]) -> None:
        """The same for some photographs."""
        whole, drafted = self.model(), self.model(jpeg_draft=True)
        slow, fast = interleaved(
            lambda: [prepare(content, whole) for content in images],
            lambda: [prepare(content, drafted) for content in images],
        )
        rows = [forward_rows(model, [prepare(content, model) for content in images], 32) for model in (whole, drafted)]
        rates = [len(images) / took for took in (slow, fast)]
        print(
            f"{len(images)} JPEGs of 12 megapixels, {np.mean([len(content) for content in images]) / 1e6:.1f} MB each, "
            f"one core: whole {rates[0]:.1f} a second, draft {rates[1]:.1f} ({slow / fast:.1f} times); "
            f"{compare(*rows)}",
            flush=True,
        )

    def decode(self, images: Sequence[bytes], model: Any) -> list[Any]:
        """Decode and prepare in threads, as bare as it goes."""
        with ThreadPoolExecutor(self.workers) as pool:
            return list(pool.map(lambda content: bare(content, model), images))

    def batch_size(self) -> int:
        """What the rule gives on this device."""
        from coder_core.embedding.batch_sizes import CPU_IMAGES, DEVICE_IMAGES

        return CPU_IMAGES if self.device == "cpu" else DEVICE_IMAGES

    def runtime(self, **settings: Any) -> Any:
        """Where and how, with a store that nobody has used."""
        from coder_core.specs import Runtime

        self._stores += 1
        store = str(self.folder / f"store{self._stores}")
        return Runtime(store=store, device=self.device, workers=self.workers, **settings)

    def pipeline(self, images: Sequence[bytes], threads: int | None = None, **settings: Any) -> None:
        """Embed into a fresh store."""
        from coder_core.embedding.image_stream import ImageItem, embed_images
        from coder_core.pipeline.context import Context

        items = (ImageItem(number, content) for number, content in enumerate(images))
        context = Context.open(self.runtime(threads=threads))
        found = list(embed_images(context, encoder_at(self.checkpoint, **settings), items))
        assert all(image.problem is None for image in found)


def bare(content: bytes, model: Any) -> Any:
    """Decode with Pillow and prepare: nothing is checked."""
    return model.prepare_image(Image.open(io.BytesIO(content)).convert("RGB"))


def prepare(content: bytes, model: Any) -> Any:
    """Decode and prepare as the pipeline does."""
    from coder_core.images.decoding import decode_image

    return model.prepare_image(decode_image(content, draft_side=model.draft_side))


def passes(prepared: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Cut into batches."""
    return (prepared[start : start + size] for start in range(0, len(prepared), size))


def forward_rows(model: Any, prepared: Sequence[Any], size: int) -> np.ndarray:
    """Embed prepared images, several passes on their way."""
    started, rows = [], []
    for batch in passes(prepared, size):
        if len(started) >= model.in_flight:
            rows.append(started.pop(0).result())
        started.append(model.start_images(batch))
    return np.concatenate(rows + [pending.result() for pending in started])


def forward_all(model: Any, prepared: Sequence[Any], size: int) -> None:
    """Embed prepared images, and keep nothing."""
    forward_rows(model, prepared, size)


def interleaved(*sides: Callable[[], object]) -> list[float]:
    """The best of some rounds of each side, one after the other in every round: load on the machine meets all."""
    best = [float("inf")] * len(sides)
    for _ in range(ROUNDS):
        for number, side in enumerate(sides):
            started = time.perf_counter()
            side()
            best[number] = min(best[number], time.perf_counter() - started)
    return best


def compare(expected: np.ndarray, found: np.ndarray) -> str:
    """Cosines of the same images, and how often the nearest of 100 random directions is the same one."""
    cosines = (expected * found).sum(axis=1)
    directions = np.random.default_rng(0).standard_normal((expected.shape[1], 100)).astype(np.float32)
    centre = expected.mean(axis=0)
    same = ((expected - centre) @ directions).argmax(axis=1) == ((found - centre) @ directions).argmax(axis=1)
    return f"smallest cosine {cosines.min():.5f}, same choice of 100 {same.mean():.1%}"


if __name__ == "__main__":
    main()
