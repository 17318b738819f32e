"""Benchmark: the folded heuristic classifier against the obvious loop over classes.

    python bench/heuristic.py [--images 10000 --texts 14445 --classes 1000 --dim 512 --repeats 5] [--json]

The default sizes are ImageNet's class list with its published texts. Random unit vectors from a seed: the arithmetic
does not care. Both are timed in turns; prints the median seconds of both, the median of their ratios, the largest logit
difference, and how far peak memory rises while the folded classifier is built and scores, for the given number of texts
and four times as many (each in a process of its own): it must not grow with images x texts.
"""

import argparse
import json
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from coder_core.coder.heuristic import fold_classifier, heuristic_logits
from coder_core.texts.kinds import DESCRIPTIVE_KINDS, NAMING_KINDS, TextKind
from coder_core.texts.text_layout import Segments, TextLayout

MORE_TEXTS = 4
"""How many times as many texts the second memory measurement takes."""


class Sizes(NamedTuple):
    """How large the problem is."""

    images: int
    texts: int
    classes: int
    dim: int
    seed: int = 0


class Problem(NamedTuple):
    """Random unit vectors and a layout that spreads the texts over the classes."""

    image_embeddings: Float[Tensor, "images dim"]
    text_embeddings: Float[Tensor, "texts dim"]
    layout: TextLayout


def build_problem(sizes: Sizes) -> Problem:
    """Make a problem: per class one name, 0 to 3 synonyms, all other texts attributes of a random class."""
    generator = torch.Generator().manual_seed(sizes.seed)
    rng = np.random.default_rng(sizes.seed)
    synonyms = rng.integers(0, 4, size=sizes.classes)
    rest = sizes.texts - sizes.classes - int(synonyms.sum())
    if rest < 0:
        raise SystemExit(f"{sizes.texts} texts are too few for {sizes.classes} classes: give at least 4 per class.")
    attributes = rng.multinomial(rest, np.full(sizes.classes, 1 / sizes.classes))
    by_kind = dict.fromkeys(TextKind, _segments(np.zeros(sizes.classes, dtype=np.int64), 0))
    by_kind[TextKind.CLASS_NAME] = _segments(np.ones(sizes.classes, dtype=np.int64), 0)
    by_kind[TextKind.SYNONYM] = _segments(synonyms, sizes.classes)
    by_kind[TextKind.ATTRIBUTE] = _segments(attributes, sizes.texts - rest)
    return Problem(
        _unit_rows(sizes.images, sizes.dim, generator),
        _unit_rows(sizes.texts, sizes.dim, generator),
        TextLayout(class_count=sizes.classes, text_count=sizes.texts, by_kind=by_kind, by_pair={}),
    )


def loop_logits(problem: Problem) -> Float[Tensor, "images classes"]:
    """Score class after class from explicit similarities, as one writes it first (and as the reference does)."""
    scores = []
    for class_id in range(problem.layout.class_count):
        descriptive = problem.text_embeddings[torch.from_numpy(problem.layout.columns(class_id, DESCRIPTIVE_KINDS))]
        naming = problem.text_embeddings[torch.from_numpy(problem.layout.columns(class_id, NAMING_KINDS))]
        best_name = (problem.image_embeddings @ naming.T).amax(dim=1, keepdim=True)
        similarities = torch.cat([problem.image_embeddings @ descriptive.T, best_name], dim=1)
        scores.append(similarities.mean(dim=1))
    return 100 * torch.stack(scores, dim=1)


def folded_logits(problem: Problem) -> Float[Tensor, "images classes"]:
    """Fold and score: both count."""
    return heuristic_logits(problem.image_embeddings, fold_classifier(problem.text_embeddings, problem.layout))


def side_by_side(problem: Problem, *, repeats: int) -> tuple[list[float], list[float]]:
    """Time both in turns after a warm-up, so that a busy machine is busy for both: seconds of loop and fold."""
    for function in (loop_logits, folded_logits):
        function(problem)
    pairs = [(_seconds(loop_logits, problem), _seconds(folded_logits, problem)) for _ in range(repeats)]
    return [loop for loop, _ in pairs], [folded for _, folded in pairs]


def _seconds(function: Callable[[Problem], Tensor], problem: Problem) -> float:
    start = time.perf_counter()
    function(problem)
    return time.perf_counter() - start


def peak_rise_mib(sizes: Sizes) -> float:
    """Measure in this process how far folding and scoring raise the peak above the inputs, in MiB."""
    problem = build_problem(sizes)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    folded_logits(problem)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def measure(sizes: Sizes, repeats: int) -> dict[str, float]:
    """Run everything; one number per name."""
    # Memory first: a new process starts with its parent's peak as its own.
    peak, peak_more = (_in_new_process(sizes._replace(texts=factor * sizes.texts)) for factor in (1, MORE_TEXTS))
    problem = build_problem(sizes)
    loop, folded = side_by_side(problem, repeats=repeats)
    difference = (loop_logits(problem) - folded_logits(problem)).abs().max()
    return {
        "loop_seconds": statistics.median(loop),
        "folded_seconds": statistics.median(folded),
        "ratio": statistics.median(one / other for one, other in zip(loop, folded, strict=True)),
        "max_logit_difference": float(difference),
        "peak_rise_mib": peak,
        "peak_rise_mib_more_texts": peak_more,
        "explicit_matrix_mib": sizes.images * sizes.texts * 4 / 2**20,
        "logits_mib": sizes.images * sizes.classes * 4 / 2**20,
    }


def main() -> None:
    """Parse the sizes, measure, print."""
    parser = argparse.ArgumentParser(description="Folded heuristic classifier against the loop over classes.")
    for name, default in (("images", 10_000), ("texts", 14_445), ("classes", 1_000), ("dim", 512), ("repeats", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args()
    sizes = Sizes(given.images, given.texts, given.classes, given.dim)
    figures = measure(sizes, given.repeats)
    if given.json:
        print(json.dumps({**sizes._asdict(), "threads": torch.get_num_threads(), **figures}))
        return
    print(f"{sizes}, {torch.get_num_threads()} threads, median of {given.repeats}")
    for name, value in figures.items():
        print(f"{name:26}{value:12.4g}")


def _segments(counts: np.ndarray, first_column: int) -> Segments:
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Segments(columns=first_column + np.arange(offsets[-1], dtype=np.int64), offsets=offsets)


def _unit_rows(rows: int, dim: int, generator: torch.Generator) -> Float[Tensor, "rows dim"]:
    vectors = torch.randn(rows, dim, generator=generator)
    return vectors.div_(torch.linalg.vector_norm(vectors, dim=1, keepdim=True))


def _in_new_process(sizes: Sizes) -> float:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(peak_rise_mib, sizes).result()


if __name__ == "__main__":
    main()
