"""An exported classifier over many images: images a second beside embedding alone, and memory over a long stream.

    python bench/predict.py [--images 300] [--architecture ViT-B-32] [--rounds 3] [--size 500x375]
    python bench/predict.py --stream 100000 --images 2000 --size 128x96 --checkpoint demo:micro-clip

Both sides read the same files of this disk; weights are random and photographs rendered, so nothing is downloaded. The
sides take turns. `--stream` asks about the same files again and again, every time read and decoded anew, prints rate
and memory after 1,000, 10,000 and 100,000 of them (and at the end), and embeds the same files alone before and after.
"""

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import yaml

from bench.random_clip import write_clip, write_photographs
from coder_core import evaluate, load_classifier
from coder_core.pipeline.runner import inline_runner
from coder_core.portable.classifier import PortableClassifier
from coder_core.recipes.export_classifier import export_classifier
from coder_core.recipes.published_runs import open_run
from coder_core.specs import Runtime
from coder_core.steps.embed_images import EmbedImages
from coder_core.steps.load_dataset import ListNewImages
from coder_core.steps.preflight import IdentifyEncoder
from coder_core.storage.store import Store

CLASSES = 100
MARKS = (1_000, 10_000, 100_000)
"""Images of a stream after which its memory is told."""


def main() -> None:
    """Print both rates, or the memory of a long stream."""
    options = parsed()
    width, _, height = options.size.partition("x")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checkpoint = options.checkpoint or str(write_clip(folder / "clip", options.architecture))
        made = write_photographs(folder / "photographs", options.images, (int(width), int(height)))
        files = [str(path) for path in made]
        classifier = export(folder, checkpoint, files)
        if options.stream:
            stream(folder, checkpoint, classifier, files, options)
        else:
            compare(folder, checkpoint, classifier, files, options)


def parsed() -> argparse.Namespace:
    """What was typed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--architecture", default="ViT-B-32")
    parser.add_argument("--checkpoint", help="instead of random weights")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--stream", type=int, default=0)
    parser.add_argument("--size", default="500x375", help="width and height of the photographs")
    return parser.parse_args()


def export(folder: Path, checkpoint: str, files: list[str]) -> PortableClassifier:
    """A classifier of many classes from names alone, made by the ordinary way."""
    for number in range(2):
        (folder / "test" / f"thing {number}").mkdir(parents=True)
        (folder / "test" / f"thing {number}" / "a.jpg").write_bytes(Path(files[number]).read_bytes())
    (folder / "classes.txt").write_text("".join(f"thing {number}\n" for number in range(CLASSES)))
    settings = {
        "name": "bench",
        "dataset": {"kind": "folder", "path": "test", "classes": {"kind": "file", "path": "classes.txt"}},
        "encoder": {"kind": "open_clip", "checkpoint": checkpoint},
        "methods": ["clip"],
    }
    (folder / "bench.yaml").write_text(yaml.safe_dump(settings))
    runtime = Runtime(store=str(folder / "store"), settle_seconds=0.0)
    result = evaluate(str(folder / "bench.yaml"), store=runtime.store, settle_seconds=0.0)
    with inline_runner(runtime) as run:
        export_classifier(open_run(Store(runtime.store), result.run_id), folder / "out", run, method="clip")
    return load_classifier(folder / "out")


def compare(
    folder: Path, checkpoint: str, classifier: PortableClassifier, files: list[str], options: argparse.Namespace
) -> None:
    """Embed into an empty store, and predict; in turns."""
    rates: dict[str, list[float]] = {"embedding": [], "predict": []}
    for number in range(options.rounds + 1):
        seconds = {
            "embedding": embed(folder, checkpoint, files, number, options.workers),
            "predict": predict(classifier, files, options.workers),
        }
        for name, taken in seconds.items() if number else ():  # the first round loads the model
            rates[name].append(len(files) / taken)
    for name, found in rates.items():
        shown = ", ".join(f"{rate:.0f}" for rate in found)
        print(f"{name:10} {statistics.median(found):6.0f} images/s (rounds: {shown})")
    ratio = statistics.median(rates["predict"]) / statistics.median(rates["embedding"])
    print(f"predict / embedding: {ratio:.2f}; {len(files)} JPEGs of {options.size}, {CLASSES} classes")


def embed(folder: Path, checkpoint: str, files: list[str], number: int, workers: int) -> float:
    """Seconds to embed files into a store of their own, as a run does."""
    from coder_core.specs import OpenClipEncoder

    runtime = Runtime(store=str(folder / f"store-{number}"), workers=workers)
    with inline_runner(runtime) as run:
        encoder = run(IdentifyEncoder(encoder=OpenClipEncoder(kind="open_clip", checkpoint=checkpoint)))
        listed = run(ListNewImages(locations=tuple(files)))
        start = time.perf_counter()
        run(EmbedImages(images=listed.images, encoder=encoder))
        return time.perf_counter() - start


def predict(classifier: PortableClassifier, files: list[str], workers: int) -> float:
    """Seconds to answer for files."""
    start = time.perf_counter()
    count = sum(answer.problem is None for answer in classifier.stream(files, workers=workers))
    assert count == len(files)
    return time.perf_counter() - start


def stream(
    folder: Path, checkpoint: str, classifier: PortableClassifier, files: list[str], options: argparse.Namespace
) -> None:
    """Print rate and memory of a long stream, and how it stands to embedding alone."""
    embed(folder, checkpoint, files[:64], 0, options.workers)  # loads the model
    alone = [len(files) / embed(folder, checkpoint, files, 1, options.workers)]
    rate = watch_memory(classifier, files, options.stream, options.workers)
    alone.append(len(files) / embed(folder, checkpoint, files, 2, options.workers))
    shown = ", ".join(f"{found:.0f}" for found in alone)
    print(f"embedding alone, before and after: {shown} images/s of {len(files)} files")
    print(f"stream / embedding: {rate / statistics.mean(alone):.2f}; JPEGs of {options.size}, {CLASSES} classes")


def watch_memory(classifier: PortableClassifier, files: list[str], count: int, workers: int) -> float:
    """Print rate and memory at the marks and at the end; images/s over all."""
    images: Iterator[str] = itertools.islice(itertools.cycle(files), count)
    process, start = psutil.Process(), time.perf_counter()
    rate = 0.0
    for number, answer in enumerate(classifier.stream(images, workers=workers), start=1):
        assert answer.problem is None, answer.problem
        if number in (*MARKS, count):
            rate, memory = number / (time.perf_counter() - start), process.memory_info().rss / 1e6
            print(f"{number:8,} images  {rate:6.0f} images/s  {memory:6.0f} MB", flush=True)
    return rate


if __name__ == "__main__":
    main()
