"""A whole evaluation at scale: seconds, peak memory and the slowest steps, at several numbers of images.

Synthetic unit vectors stand in for an encoder (its speed is the model's); everything else is what `coder_core.evaluate`
does: listing, ledgers, folded classifiers, predictions, intervals, result tables. Each size is evaluated three times,
each time by a fresh process, as by a user: everything, the same again, and with one image more. What an image costs is
what the time grows by from one size to the next, so that imports and the like are no part of it.

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

STEPS_SHOWN = 6
INPUTS, FIRST, AGAIN, MORE = "inputs", "first run", "unchanged", "one image more"
RUNS = (FIRST, AGAIN, MORE)

Found = dict[str, Any]


def main() -> None:
    """Print some lines per size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, nargs="+", default=[50_000, 200_000])
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--texts-per-class", type=int, default=20)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--methods", nargs="+", default=["clip", "vcd", "coder"])
    parser.add_argument("--folder", type=Path, help="where inputs and stores lie meanwhile")
    parser.add_argument("--inner", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inner:
        what, place = options.inner
        print(json.dumps(work(what, Path(place), options)))
        return
    smaller: Found | None = None
    for images in options.images:
        with tempfile.TemporaryDirectory(dir=options.folder) as name:
            found = {what: run_alone(what, name, images, options) for what in (INPUTS, *RUNS)}
        print_found(images, options.classes, found, smaller)
        smaller = {**found, "images": images}


def run_alone(what: str, folder: str, images: int, options: argparse.Namespace) -> Found:
    """Do one piece in a process of its own."""
    command = [sys.executable, __file__, "--inner", what, folder, "--images", str(images)]
    command += ["--classes", str(options.classes), "--texts-per-class", str(options.texts_per_class)]
    command += ["--dim", str(options.dim), "--methods", *options.methods]
    made = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603
    found: Found = json.loads(made)
    return found


def print_found(images: int, classes: int, found: Found, smaller: Found | None) -> None:
    """One size: what each run takes, and what a further image costs since the size before."""
    first = found[FIRST]
    print(f"{images:>11,} images x {first['texts']:,} texts x {classes:,} classes, {found[MORE]['files']:,} files")
    for name in RUNS:
        run, more = found[name], ""
        if smaller is not None:
            grown = {key: run[key] - smaller[name][key] for key in ("seconds", "cpu_seconds")}
            per_image = {key: 1e6 * value / (images - smaller["images"]) for key, value in grown.items()}
            more = f"; an image {per_image['seconds']:.1f} us, {per_image['cpu_seconds']:.1f} us of CPU"
        print(
            f"{'':11} {name}: {run['seconds']:.1f} s, {run['cpu_seconds']:.1f} s of CPU, peak {run['peak_gib']:.2f} GiB"
            f"{more} ({', '.join(f'{step} {seconds:.1f} s' for step, seconds in run['steps'])})",
            flush=True,
        )


def work(what: str, folder: Path, options: argparse.Namespace) -> Found:
    """One piece: the inputs, or one of the runs."""
    if what == INPUTS:
        (images,) = options.images
        settings = write_inputs(folder, images, options.classes, options.texts_per_class, options.dim)
        (folder / "config.yaml").write_text(yaml.safe_dump({**settings, "methods": options.methods}))
        return {}
    if what == MORE:
        add_image(folder / "images.npz")
    from coder_core import evaluate

    started, cpu = time.monotonic(), time.process_time()
    result = evaluate(str(folder / "config.yaml"), store=str(folder / "store"))
    took = {"seconds": time.monotonic() - started, "cpu_seconds": time.process_time() - cpu}
    assert result.image_count == options.images[0] + (what == MORE)
    slowest = sorted(result.records, key=lambda record: -record.seconds)[:STEPS_SHOWN]
    return {
        **took,
        "texts": next(record.rows for record in result.records if record.step == "embed_texts"),
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "files": sum(1 for path in (folder / "store").rglob("*") if path.is_file()),
        "steps": [[record.step, record.seconds] for record in slowest],
    }


def add_image(path: Path) -> None:
    """Append one image to the features file; by another process, whose memory does not count."""
    code = (
        "import sys, numpy as np; path = sys.argv[1]; held = dict(np.load(path)); features = held['features']; "
        "held['features'] = np.concatenate([features, features[:1][:, ::-1]]); "
        "held['labels'] = np.append(held['labels'], held['labels'][0]); np.savez(path, **held)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)  # noqa: S603


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
    }


if __name__ == "__main__":
    main()
