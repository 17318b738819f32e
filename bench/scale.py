"""A whole evaluation at scale: seconds, peak memory and the slowest steps, at two numbers of images.

Synthetic unit vectors stand in for an encoder (its speed is the model's); everything else is what `coder_core.evaluate`
does: listing, ledgers, folded classifiers, predictions, intervals, result tables. Peak memory is read from a fresh
process for each size, of the first of three runs: everything, the same again, and one image more.

    python bench/scale.py --images 50000 200000 --classes 1000 --texts-per-class 20
    python bench/scale.py --images 10000 100000 1000000 --classes 10 --texts-per-class 3 --dim 8 --methods clip
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import yaml

STEPS_SHOWN = 5


def main() -> None:
    """Print one line per size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, nargs="+", default=[50_000, 200_000])
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--texts-per-class", type=int, default=20)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--methods", nargs="+", default=["clip", "vcd", "coder"])
    parser.add_argument("--inner", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inner:
        print(json.dumps(measure(options.inner, options)))
        return
    for images in options.images:
        command = [sys.executable, __file__, "--inner", str(images), "--classes", str(options.classes)]
        command += ["--texts-per-class", str(options.texts_per_class), "--dim", str(options.dim)]
        command += ["--methods", *options.methods]
        made = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603
        print_found(images, options.classes, json.loads(made))


def print_found(images: int, classes: int, found: dict[str, Any]) -> None:
    """One size: cost of a row, memory, files, and what a further run costs."""
    first = found["runs"]["first"]
    print(
        f"{images:>10,} images x {found['texts']:,} texts x {classes:,} classes: {first['seconds']:.1f} s, "
        f"{first['cpu_seconds']:.1f} s of CPU ({1e6 * first['cpu_seconds'] / images:.1f} us an image), peak "
        f"{found['peak_gib']:.2f} GiB (writing the inputs: {found['inputs_gib']:.2f}), {found['files']:,} files"
    )
    for name in ("unchanged", "one image more"):
        run = found["runs"][name]
        print(f"{'':10} {name}: {run['seconds']:.1f} s, {run['cpu_seconds']:.1f} s of CPU")
    print(
        f"{'':10} slowest steps: " + ", ".join(f"{step} {seconds:.1f} s" for step, seconds in found["steps"]),
        flush=True,
    )


def measure(images: int, options: argparse.Namespace) -> dict[str, Any]:
    """Write the inputs, evaluate, evaluate again, and once more with another image; say what each took."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = write_inputs(folder, images, options.classes, options.texts_per_class, options.dim)
        settings["methods"] = options.methods
        before = peak_gib()
        result, first = timed(settings, folder)
        peak = peak_gib()
        _, unchanged = timed(settings, folder)
        add_image(folder / "images.npz")
        more, added = timed(settings, folder)
        files = sum(1 for path in (folder / "store").rglob("*") if path.is_file())
    assert (result.image_count, more.image_count) == (images, images + 1)
    slowest = sorted(result.records, key=lambda record: -record.seconds)[:STEPS_SHOWN]
    return {
        "texts": next(record.rows for record in result.records if record.step == "embed_texts"),
        "runs": {"first": first, "unchanged": unchanged, "one image more": added},
        "peak_gib": peak,
        "inputs_gib": before,
        "files": files,
        "steps": [[record.step, record.seconds] for record in slowest],
    }


def timed(settings: dict[str, Any], folder: Path) -> tuple[Any, dict[str, float]]:
    """Evaluate; seconds on the clock, and of CPU, which other programs on the machine do not lengthen."""
    from coder_core import evaluate

    started, cpu = time.monotonic(), time.process_time()
    result = evaluate(settings, store=str(folder / "store"))
    return result, {"seconds": time.monotonic() - started, "cpu_seconds": time.process_time() - cpu}


def add_image(path: Path) -> None:
    """Append one image to the features file."""
    with np.load(path) as held:
        arrays = dict(held)
    arrays["features"] = np.concatenate([arrays["features"], arrays["features"][:1][:, ::-1]])
    arrays["labels"] = np.append(arrays["labels"], arrays["labels"][0])
    np.savez(path, **arrays)


def write_inputs(folder: Path, images: int, classes: int, texts_per_class: int, dim: int) -> dict[str, Any]:
    """A bank and two files of random features, and the config that reads them."""
    rng = np.random.default_rng(0)
    names = [f"class {number}" for number in range(classes)]
    phrases = [f"mark {number}" for number in range(texts_per_class - 1)]
    bank = {"format": "coder-text-bank/1", "classes": [{"name": name, "attributes": phrases} for name in names]}
    (folder / "bank.yaml").write_text(yaml.safe_dump(bank))
    sentences = [f"{name}: {phrase}" for name in names for phrase in phrases] + names
    vectors = rng.standard_normal((len(sentences), dim)).astype(np.float16)
    np.savez(folder / "texts.npz", texts=np.array(sentences), features=vectors)
    features = rng.standard_normal((images, dim), dtype=np.float32).astype(np.float16)
    np.savez(
        folder / "images.npz", features=features, labels=rng.integers(classes, size=images), class_names=np.array(names)
    )
    sentence = {"class_name": "{class}", "attribute": "{class}: {attribute}"}
    return {
        "name": "scale",
        "dataset": {"kind": "features", "path": str(folder / "images.npz")},
        "encoder": {"kind": "precomputed", "texts": [{"path": str(folder / "texts.npz")}]},
        "texts": {"bank": str(folder / "bank.yaml"), "domain": "bare", "domains": {"bare": sentence}},
        "methods": ["clip", "vcd", "coder"],
    }


def peak_gib() -> float:
    """Peak resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    main()
