"""The report of a large run: bytes of the file, seconds and peak memory to make it, milliseconds until it answers.

Synthetic features of classes that lie in groups, so that they are confused as classes are: the best method gets 87 of
100 images right. Six methods, 1,000 classes, 50,000 images; every picture of the gallery is noise, which JPEG cannot
make small. The evaluation runs first, in a process of its own; the report is made in a fresh one, whose peak is what
counts. The browser is Chromium without a window, where it is installed.

    python bench/report.py --images 50000 --classes 1000
"""

import argparse
import io
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))  # the browser of the tests

METHODS = ("clip", "vcd", "coder", "coder_top_m", "coder_softmax", "coder_shrunk")
GROUP = 10
"""Classes that are near each other."""
LIMITS = {"MB": 8.0, "seconds": 60.0, "GiB": 2.0, "ready ms": 2000.0}


def main() -> None:
    """Print what was measured beside what it may be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--keep", type=Path, help="Keep store and report in this folder; a store there is used again.")
    parser.add_argument("--inner", choices=("evaluate", "report"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inner == "evaluate":
        print(json.dumps(evaluate(options.keep, options.images, options.classes)))
    elif options.inner == "report":
        print(json.dumps(write(options.keep)))
    else:
        with tempfile.TemporaryDirectory() as name:
            measure(options.keep or Path(name), options)


def measure(folder: Path, options: argparse.Namespace) -> None:
    """Evaluate, write the report, open it."""
    folder.mkdir(exist_ok=True)
    if not (folder / "store").exists():
        made = inner("evaluate", folder, options)
        print(f"evaluation: {made['seconds']:.1f} s, best {made['best']:.1%}", flush=True)
    found = inner("report", folder, options)
    found |= open_page(folder / "report.html")
    size = f"{options.images:,} images x {options.classes:,} classes x {len(METHODS)} methods"
    print(f"{size}, {found['pictures']} pictures")
    for name, limit in LIMITS.items():
        if name in found:
            print(f"  {name:>9} {found[name]:10.2f}  limit {limit:g}{'' if found[name] < limit else '  MISSED'}")
    print(f"  {found['cpu']:.1f} s of CPU, which other programs on the machine do not lengthen")
    if "drawn ms" in found:
        print(f"  all charts drawn after {found['drawn ms']:.0f} ms")


def inner(part: str, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Do one part in a fresh process."""
    command = [sys.executable, __file__, "--inner", part, "--keep", str(folder)]
    command += ["--images", str(options.images), "--classes", str(options.classes)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603
    return dict(json.loads(done.stdout.splitlines()[-1]))


def evaluate(folder: Path, images: int, classes: int) -> dict[str, Any]:
    """Write the inputs and evaluate."""
    from coder_core import evaluate as run

    settings = write_inputs(folder, images, classes)
    started = time.monotonic()
    result = run(settings, store=str(folder / "store"))
    best = max(row.value for row in result.metrics if row.metric == "top1")
    return {"seconds": time.monotonic() - started, "best": best}


def write(folder: Path) -> dict[str, Any]:
    """Write the report, with noise for pictures."""
    started, cpu = time.monotonic(), time.process_time()
    from coder_core.config import load_runtime
    from coder_core.pipeline.context import Context
    from coder_core.recipes.published_runs import find_run
    from coder_core.report.html.make_report import make_report

    context = Context.open(load_runtime(store=str(folder / "store")))
    run_id = find_run(context.artifacts.store, "latest")
    page = make_report(context, [run_id], read_pictures=noise).encode("utf-8")
    seconds, cpu = time.monotonic() - started, time.process_time() - cpu
    (folder / "report.html").write_bytes(page)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {
        "seconds": seconds,
        "cpu": cpu,
        "MB": len(page) / 1e6,
        "GiB": peak,
        "pictures": page.count(b"data:image/jpeg"),
    }


def noise(image_ids: Sequence[str]) -> dict[str, bytes]:
    """A picture of noise for every image."""
    found = {}
    for number, name in enumerate(dict.fromkeys(image_ids)):
        pixels = np.random.default_rng(number).integers(0, 255, (320, 240, 3), dtype=np.uint8)
        target = io.BytesIO()
        Image.fromarray(pixels).save(target, format="JPEG", quality=90)
        found[name] = target.getvalue()
    return found


def open_page(page: Path) -> dict[str, float]:
    """Milliseconds until the page has built its tables and listens, and until all charts are drawn."""
    from tests.fixtures_deployment import wait_until
    from tests.service.browser import CHROMIUM, browsing

    if CHROMIUM is None:
        print("no Chromium here: not opened")
        return {}
    with tempfile.TemporaryDirectory() as profile, browsing(Path(profile)) as tab:
        tab.open(page.resolve().as_uri())
        wait_until(lambda: tab.evaluate("document.documentElement.dataset.drawn === 'all'") or None)
        ready, drawn = (tab.evaluate(f"document.documentElement.dataset.{name}") for name in ("ready", "drawnAt"))
    return {"ready ms": float(ready), "drawn ms": float(drawn)}


def write_inputs(folder: Path, images: int, classes: int) -> dict[str, Any]:
    """Features of images and texts around the directions of their classes, which lie around those of their groups."""
    rng, dim, phrases = np.random.default_rng(0), 512, 19
    groups = rng.standard_normal((classes // GROUP + 1, dim))
    means = groups[np.arange(classes) // GROUP] + 0.45 * rng.standard_normal((classes, dim))
    names = [f"species number {number}" for number in range(classes)]
    said = [f"mark {number} of the body" for number in range(phrases)]
    bank = {"format": "coder-text-bank/1", "classes": [{"name": name, "attributes": said} for name in names]}
    (folder / "bank.yaml").write_text(yaml.safe_dump(bank))
    sentences = [f"{name}: {phrase}" for name in names for phrase in said] + names
    owners = np.concatenate([np.repeat(np.arange(classes), phrases), np.arange(classes)])
    texts = means[owners] + 2.0 * rng.standard_normal((len(owners), dim))
    labels = rng.integers(classes, size=images)
    features = means[labels] + 2.4 * rng.standard_normal((images, dim), dtype=np.float32)
    np.savez(folder / "texts.npz", texts=np.array(sentences), features=texts.astype(np.float16))
    arrays = {"features": features.astype(np.float16), "labels": labels, "class_names": np.array(names)}
    np.savez(folder / "images.npz", **arrays)
    return {
        "name": "large",
        "dataset": {"kind": "features", "path": str(folder / "images.npz")},
        "encoder": {"kind": "precomputed", "texts": [{"path": str(folder / "texts.npz")}]},
        "texts": {
            "bank": str(folder / "bank.yaml"),
            "domain": "bare",
            "domains": {"bare": {"class_name": "{class}", "attribute": "{class}: {attribute}"}},
        },
        "methods": list(METHODS),
    }


if __name__ == "__main__":
    main()
