"""What one-to-one texts are worth on the demonstration: replacing stage 1, added to it, and with the batch's evidence.

The pair score of an image's two best classes, `x . (o_ij - o_ji)`, may replace the first stage's margin (the paper), be
added to it, or be read on a scale that the unlabelled batch gives: 0 half-way between the two classes' mean images, 1
at the mean of the first. On that scale the same is done with other directions, to see whether the texts are needed.
Developed on `--seed 11` and `12`; docs/rerank.md has seed 1.
"""

import argparse
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import torch

from coder_core.coder.heuristic import fold_classifier
from coder_core.config import load_spec
from coder_core.pipeline.context import Context
from coder_core.pipeline.runner import inline_runner
from coder_core.recipes.evaluate import embed_inputs
from coder_core.specs import Runtime
from coder_core.steps.embed_texts import EmbedTexts, read_text_embeddings
from coder_core.steps.load_dataset import read_labels
from coder_core.steps.predict_images import read_vectors, usable_images
from coder_core.steps.write_texts import WriteTexts, read_text_table
from coder_core.texts.kinds import DESCRIPTIVE_KINDS, TextKind
from coder_core.texts.text_layout import build_layout

WEIGHTS = (1, 2, 3, 5, 8)
LEAST_REACH = 0.005
"""A direction along which two classes' mean images lie closer than this says nothing about them."""


class Problem(NamedTuple):
    """One batch of images after stage 1."""

    images: np.ndarray
    labels: np.ndarray
    best: np.ndarray
    margins: np.ndarray
    means: np.ndarray
    class_texts: np.ndarray
    pair_texts: dict[tuple[int, int], np.ndarray]


Direction = Callable[[Problem, tuple[int, int]], np.ndarray]


def main() -> None:
    """Print how many decisions each use of the pairs changes, for better and for worse."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default="configs/flags.yaml")
    parser.add_argument("--store", default="./store")
    parser.add_argument("--seed", type=int, default=1, help="of the demonstration's images")
    arguments = parser.parse_args()
    problem = prepare(arguments.config, arguments.store, arguments.seed)
    raw = np.array([pair_score(problem, row) for row in range(len(problem.images))])
    print(f"stage 1: {100 * np.mean(problem.best[:, 0] == problem.labels):.1f} % of {len(problem.labels)} images\n")
    print("| use of the pair score | weights or gates: top-1 (better, worse) |\n|---|---|")
    for gate in (0.1, 0.3):
        replaced = np.where(gaps(problem) < gate, raw, 0.0)
        report(problem, f"replaces stage 1 where its gap is below {gate}", {"": np.where(replaced < 0, -1.0, 1.0)})
    report(problem, "added to stage 1", {f"{w}": problem.margins + w * raw for w in (3, 10, 30)})
    for name, direction in DIRECTIONS.items():
        scaled = np.array([batch_score(problem, row, direction) for row in range(len(problem.images))])
        report(problem, f"batch scale, {name}", {f"{w}": problem.margins + w * scaled for w in WEIGHTS})


def prepare(config: str, store: str, seed: int) -> Problem:
    """Embed images and texts, and run CODER."""
    spec = load_spec(config, [f"dataset.seed={seed}", "matrix.write=false"])
    runtime = Runtime(store=store, device="cpu")
    with inline_runner(runtime) as run:
        inputs, context = embed_inputs(spec, run), Context.open(runtime)
        write = WriteTexts(
            classes=inputs.dataset.classes,
            bank=inputs.bank,
            domain=spec.texts.domain,
            domains=spec.texts.domains,
            kinds=(TextKind.ONE_TO_ONE,),
            label="write_pair_texts",
        )
        pair_table = run(write)
        pairs = run(EmbedTexts(texts=pair_table, encoder=inputs.encoder, label="embed_pair_texts"))
        parts = [usable_images(context, inputs.images, part.name) for part in context.parts(inputs.images)]
        images = np.vstack([read_vectors(context, inputs.encoder, part).numpy() for part in parts])
        ids = [image_id for part in parts for image_id in part.column("image_id").to_pylist()]
        labels = read_labels(context, inputs.dataset.labels, "test").label_ids_of(ids)
        layout = build_layout(read_text_table(context, inputs.texts))
        texts = read_text_embeddings(context, inputs.text_embeddings, inputs.encoder)
        pair_layout = build_layout(read_text_table(context, pair_table))
        pair_vectors = read_text_embeddings(context, pairs, inputs.encoder)
    logits = fold_classifier(torch.from_numpy(texts), layout).logits(torch.from_numpy(images)).numpy()
    chances = np.exp(logits - logits.max(axis=1, keepdims=True))
    chances /= chances.sum(axis=1, keepdims=True)
    best = np.argsort(-logits, axis=1, kind="stable")[:, :2]
    top = np.take_along_axis(logits, best, axis=1)
    described = [texts[layout.columns(label, DESCRIPTIVE_KINDS)].mean(axis=0) for label in range(layout.class_count)]
    means = (chances.T @ images) / chances.sum(axis=0)[:, None]
    found = {pair: pair_vectors[columns].mean(axis=0) for pair, columns in pair_layout.by_pair.items()}
    unit = np.stack(described) / np.linalg.norm(described, axis=1, keepdims=True)
    return Problem(images, labels, best, top[:, 0] - top[:, 1], means, unit, found)


def gaps(problem: Problem) -> np.ndarray:
    """About the difference of the two best probabilities: what the two alone would have."""
    return np.tanh(problem.margins / 2)


def pair_score(problem: Problem, row: int) -> float:
    """The paper's score of the best class against the second; 0 without texts in both directions."""
    first, second = problem.best[row].tolist()
    if not {(first, second), (second, first)} <= problem.pair_texts.keys():
        return 0.0
    return float(problem.images[row] @ (problem.pair_texts[first, second] - problem.pair_texts[second, first]))


def batch_score(problem: Problem, row: int, direction: Direction) -> float:
    """The same on the batch's scale, where there are texts about the pair."""
    first, second = problem.best[row].tolist()
    low, high = min(first, second), max(first, second)
    if not {(low, high), (high, low)} <= problem.pair_texts.keys():
        return 0.0
    along = direction(problem, (low, high))
    reach = float(along @ (problem.means[low] - problem.means[high]))
    if reach < LEAST_REACH:
        return 0.0
    middle = float(along @ (problem.means[low] + problem.means[high])) / 2
    score = (float(along @ problem.images[row]) - middle) / reach
    return score if first == low else -score


def report(problem: Problem, name: str, scores: dict[str, np.ndarray]) -> None:
    """Print accuracy, gains and losses: a score below 0 puts the second class first."""
    was_right, cells = problem.best[:, 0] == problem.labels, []
    for label, score in scores.items():
        is_right = np.where(score < 0, problem.best[:, 1], problem.best[:, 0]) == problem.labels
        better, worse = int((is_right & ~was_right).sum()), int((~is_right & was_right).sum())
        cells.append(f"{label + ': ' if label else ''}{100 * is_right.mean():.1f} (+{better}, -{worse})")
    print(f"| {name} | {'; '.join(cells)} |")


def _difference(of: Callable[[Problem], np.ndarray], problem: Problem, pair: tuple[int, int]) -> np.ndarray:
    return np.asarray(of(problem)[pair[0]] - of(problem)[pair[1]])


def _pair_texts(problem: Problem, pair: tuple[int, int]) -> np.ndarray:
    return np.asarray(problem.pair_texts[pair] - problem.pair_texts[pair[1], pair[0]])


def _other_pair(problem: Problem, pair: tuple[int, int]) -> np.ndarray:
    """The texts about another pair: the next but ten of those in both directions."""
    pairs = [(a, b) for a, b in problem.pair_texts if a < b and (b, a) in problem.pair_texts]
    return _pair_texts(problem, pairs[(pairs.index(pair) + 10) % len(pairs)])


DIRECTIONS: dict[str, Direction] = {
    "one-to-one texts": _pair_texts,
    "one-to-one texts of another pair": _other_pair,
    "descriptions of the two classes": partial(_difference, lambda problem: problem.class_texts),
    "the batch's own class means": partial(_difference, lambda problem: problem.means),
}


if __name__ == "__main__":
    main()
