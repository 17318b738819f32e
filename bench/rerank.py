"""Benchmark: the folded one-to-one rerank against the obvious loop over images.

    python bench/rerank.py [--images 50000 --loop-images 50000 --classes 1000 --pairs 20000 --texts 5] [--json]

Random unit vectors from a seed, every image gated: the arithmetic does not care. Classes lie on a ring, each has texts
against its nearest neighbours (`--pairs` unordered pairs, `--texts` texts in each direction), and an image's five
candidates are neighbours, so that every comparison it asks for can be made. Both sides get the same text embeddings,
candidates and gate, and decide the same images; decisions are compared image by image. Sorting the texts by pair
(for the loop) and folding them (for the rerank) is done once per set of texts and timed apart.

Prints the seconds of the loop (once, on the first `--loop-images` images), of the rerank on those very images and on
all of them (medians of `--repeats`), of folding the texts; the ratio like with like, by the median and by the fastest
run, and with the folding; and how far memory rises while all images are reranked. Nothing is extrapolated. The loop's
small steps run on one thread, the rerank's on all: where others use the machine (see the load) its threads wait for
each other, and the median falls behind the fastest run, by a factor of ten at worst.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from coder_core.coder.pairs import CANDIDATES
from coder_core.coder.reranking import FoldedPairs, fold_pairs, rerank
from coder_core.texts.bank import ClassPair
from coder_core.texts.text_layout import TextLayout


class Sizes(NamedTuple):
    """How large the problem is."""

    images: int
    loop_images: int
    classes: int
    pairs: int
    texts: int
    dim: int
    repeats: int
    seed: int = 0


class Problem(NamedTuple):
    """Random unit vectors, pairs of neighbours with texts, candidates that are neighbours."""

    image_embeddings: Float[Tensor, "images dim"]
    text_embeddings: Float[Tensor, "texts dim"]
    layout: TextLayout
    candidates: Int[Tensor, "images candidates"]


def build_problem(sizes: Sizes) -> Problem:
    """Make a problem: the pairs are those of neighbours at distance 1, 2, ... on the ring of classes."""
    generator = torch.Generator().manual_seed(sizes.seed)
    rng = np.random.default_rng(sizes.seed)
    reach = sizes.pairs // sizes.classes
    if not CANDIDATES <= reach + 1 <= sizes.classes // 2:
        raise SystemExit(f"{sizes.pairs} pairs do not fit {sizes.classes} classes: give 4 to half as many per class.")
    near = [(a, (a + step) % sizes.classes) for step in range(1, reach + 1) for a in range(sizes.classes)]
    ordered = sorted(pair for a, b in near for pair in ((a, b), (b, a)))
    columns = np.arange(len(ordered) * sizes.texts).reshape(-1, sizes.texts)
    layout = TextLayout(sizes.classes, columns.size, by_kind={}, by_pair=dict(zip(ordered, columns, strict=True)))
    steps = np.argsort(rng.random((sizes.images, reach + 1)), axis=1)[:, :CANDIDATES]
    candidates = (rng.integers(0, sizes.classes, size=(sizes.images, 1)) + steps) % sizes.classes
    texts = _unit_rows(columns.size, sizes.dim, generator)
    return Problem(_unit_rows(sizes.images, sizes.dim, generator), texts, layout, torch.from_numpy(candidates))


def loop_winners(
    problem: Problem, count: int, texts_of: Mapping[ClassPair, Float[Tensor, "texts dim"]]
) -> Int[Tensor, " images"]:
    """Rerank image by image, candidate by candidate, rival by rival, as one writes it first (so does the reference)."""
    winners = []
    for image, candidates in zip(problem.image_embeddings[:count], problem.candidates[:count].tolist(), strict=True):
        scores = []
        for one in candidates:
            gains = [
                (texts_of[one, rival] @ image).mean() - (texts_of[rival, one] @ image).mean()
                for rival in candidates
                if rival != one
            ]
            scores.append(float(sum(gains)) / len(gains))
        winners.append(candidates[max(range(len(candidates)), key=scores.__getitem__)])
    return torch.tensor(winners)


def folded_winners(problem: Problem, count: int, pairs: FoldedPairs) -> Int[Tensor, " images"]:
    """Rerank all at once, from folded texts."""
    candidates = problem.candidates[:count]
    gated = torch.ones(count, dtype=torch.bool)
    order = rerank(problem.image_embeddings[:count], candidates, gated, pairs).order
    return candidates.gather(1, order)[:, 0]


def timed(function: Callable[[], Tensor], *, repeats: int) -> tuple[list[float], Tensor]:
    """Seconds of several runs, ascending, and the last result."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = function()
        seconds.append(time.perf_counter() - start)
    return sorted(seconds), result


def peak_rise_mib(function: Callable[[], Tensor]) -> float:
    """How far the memory of this process rises while a function runs (Linux: the peak is reset first)."""
    Path("/proc/self/clear_refs").write_text("5")
    before = _status_mib("VmRSS")
    function()
    return _status_mib("VmHWM") - before


def measure(sizes: Sizes) -> dict[str, float]:
    """Run both sides; one number per name."""
    problem = build_problem(sizes)
    pairs = fold_pairs(problem.text_embeddings, problem.layout)
    rise = peak_rise_mib(lambda: folded_winners(problem, sizes.images, pairs))
    every, _ = timed(lambda: folded_winners(problem, sizes.images, pairs), repeats=sizes.repeats)
    same, folded = timed(lambda: folded_winners(problem, sizes.loop_images, pairs), repeats=sizes.repeats)
    folding, _ = timed(lambda: fold_pairs(problem.text_embeddings, problem.layout).keys, repeats=sizes.repeats)
    columns_of = problem.layout.by_pair
    texts_of = {pair: problem.text_embeddings[torch.from_numpy(columns)] for pair, columns in columns_of.items()}
    (loop,), looped = timed(lambda: loop_winners(problem, sizes.loop_images, texts_of), repeats=1)
    return {
        "loop_seconds": loop,
        "folded_seconds_same_images": statistics.median(same),
        "folded_seconds_all_images": statistics.median(every),
        "folding_seconds": statistics.median(folding),
        "ratio": loop / statistics.median(same),
        "ratio_fastest": loop / same[0],
        "ratio_with_folding": loop / (statistics.median(same) + statistics.median(folding)),
        "differing_decisions": int((looped != folded).sum()),
        "peak_rise_mib": rise,
        "load_average": os.getloadavg()[0],
    }


def main() -> None:
    """Parse the sizes, measure, print."""
    parser = argparse.ArgumentParser(description="Folded one-to-one rerank against the loop over images.")
    defaults = Sizes(50_000, 50_000, 1_000, 20_000, 5, 512, 9)
    for name, default in defaults._asdict().items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=default)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = vars(parser.parse_args())
    is_json = given.pop("json")
    sizes = Sizes(**given)
    figures = measure(sizes)
    if is_json:
        print(json.dumps({**sizes._asdict(), "threads": torch.get_num_threads(), **figures}))
        return
    print(f"{sizes}, {torch.get_num_threads()} threads")
    for name, value in figures.items():
        print(f"{name:28}{value:12.4g}")


def _status_mib(field: str) -> float:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024


def _unit_rows(rows: int, dim: int, generator: torch.Generator) -> Float[Tensor, "rows dim"]:
    vectors = torch.randn(rows, dim, generator=generator)
    return vectors.div_(torch.linalg.vector_norm(vectors, dim=1, keepdim=True))


if __name__ == "__main__":
    main()
