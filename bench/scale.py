"""A whole evaluation at scale: seconds, peak memory and the slowest steps, at two numbers of images.

Synthetic unit vectors stand in for an encoder (its speed is the model's); everything else is what `coder_core.evaluate`
does: listing, ledgers, folded classifiers, predictions, intervals, result tables. Peak memory is read from a fresh
process for each size.

    python bench/scale.py --images 50000 200000 --classes 1000 --texts-per-class 20
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
    parser.add_argument("--inner", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inner:
        print(json.dumps(measure(options.inner, options.classes, options.texts_per_class, options.dim)))
        return
    for images in options.images:
        command = [sys.executable, __file__, "--inner", str(images), "--classes", str(options.classes)]
        command += ["--texts-per-class", str(options.texts_per_class), "--dim", str(options.dim)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)  # noqa: S603
        matrix = images * found["texts"] * 4 / 2**30
        print(
            f"{images:>9,} images x {found['texts']:,} texts x {options.classes:,} classes: {found['seconds']:7.1f} s, "
            f"peak {found['peak_gib']:.2f} GiB (writing the inputs: {found['inputs_gib']:.2f} GiB; "
            f"the matrix would be {matrix:.1f} GiB)"
        )
        print(f"{'':9} slowest steps: " + ", ".join(f"{step} {seconds:.1f} s" for step, seconds in found["steps"]))


def measure(images: int, classes: int, texts_per_class: int, dim: int) -> dict[str, Any]:
    """Write the inputs, evaluate, and say what it took."""
    from coder_core import evaluate

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = write_inputs(folder, images, classes, texts_per_class, dim)
        before = peak_gib()
        started = time.monotonic()
        result = evaluate(settings, store=str(folder / "store"))
        seconds = time.monotonic() - started
    assert result.image_count == images
    slowest = sorted(result.records, key=lambda record: -record.seconds)[:STEPS_SHOWN]
    return {
        "texts": next(record.rows for record in result.records if record.step == "embed_texts"),
        "seconds": seconds,
        "peak_gib": peak_gib(),
        "inputs_gib": before,
        "steps": [[record.step, record.seconds] for record in slowest],
    }


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
