"""Text selection on real CLIP features: which of a class's texts stay, with controls under the same selection.

No encoder is here, so texts are those whose features are: a class's name, and as analogues the nouns of the bank that
lie nearest to it (of the analogous classes that a language model has written for DTD, the bank holds 14 of 250).
Controls have as many nouns per class, taken at random, and go the same way. DTD: support from its validation images,
scores on its test images. SUN397 has ten images per class: half are support, half are tested.

    python -m bench.text_selection --draws 5
"""

import argparse
import statistics
import sys
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from coder_core.coder.classifier import Classifier
from coder_core.coder.heuristic import fold_classifier
from coder_core.coder.text_selection import select_texts
from coder_core.evaluation.comparisons import mcnemar_p
from coder_core.evaluation.score_intervals import paired_interval
from coder_core.few_shot.examples import Support
from coder_core.few_shot.text_choice import SHARES as CHOSEN_AMONG
from coder_core.few_shot.text_choice import choose_texts
from coder_core.texts.kinds import TextKind
from coder_core.texts.text_layout import Segments, TextLayout
from coder_core.texts.vocabulary import plain_name

DATA = Path(__file__).parents[2] / "shared" / "data"
SHARES = (0.75, 0.5, 0.25)
SHOTS = {"dtd": (1, 4, 16), "sun397": (1, 4)}
FORCED = {"": CHOSEN_AMONG, ", a quarter forced": (0.25,)}
RANDOM_CHOICES = 5
CANDIDATES = 12
"""Nouns per class to choose among: about as many texts as a language model writes."""


class Texts(NamedTuple):
    """Text vectors, and which are whose."""

    vectors: Tensor
    layout: TextLayout


class Images(NamedTuple):
    """Labelled images to learn from, and images under test."""

    pool: Tensor
    pool_labels: NDArray[np.int64]
    test: Tensor
    test_labels: NDArray[np.int64]


def read_images(dataset: str, seed: int) -> Images:
    """DTD's splits; of SUN397's only split, half of every class to learn from."""
    if dataset == "dtd":
        with np.load(DATA / "features" / "dtd.npz") as file:
            parts = {name: file[name] for name in ("val_features", "val_labels", "test_features", "test_labels")}
        return Images(
            _unit(parts["val_features"]), parts["val_labels"], _unit(parts["test_features"]), parts["test_labels"]
        )
    with np.load(DATA / "features" / "sun397_val.npz") as file:
        names = sorted(file.files)
        features, labels = (next(file[name] for name in names if end in name) for end in ("features", "labels"))
    order = np.random.default_rng(seed).permutation(len(labels))
    rank = np.zeros(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        own = order[labels[order] == label]
        rank[own] = np.arange(len(own))
    is_pool = rank < 5
    return Images(_unit(features[is_pool]), labels[is_pool], _unit(features[~is_pool]), labels[~is_pool])


def read_texts(dataset: str) -> tuple[Texts, Texts]:
    """Names with their nearest nouns, and names with nouns taken at random."""
    with np.load(DATA / "features" / f"{dataset}_zero_shot_weights.npz") as file:
        names, weights = [plain_name(str(name)) for name in file["class_names"]], _unit(file["features"])
    with np.load(DATA / "features" / "text_bank.npz") as file:
        nouns, features = [plain_name(str(name)) for name in file["names"]], file["features"]
    place_of = {noun: place for place, noun in enumerate(nouns) if noun not in set(names)}
    bank = _unit(features[list(place_of.values())])
    centred = [normalize(rows - rows.mean(dim=0), dim=1) for rows in (weights, bank)]
    nearest = (centred[0] @ centred[1].T).topk(CANDIDATES, dim=1).indices.tolist()
    rng = np.random.default_rng(0)
    drawn = [rng.choice(len(bank), CANDIDATES, replace=False).tolist() for _ in names]
    return _lay_out(weights, bank, nearest), _lay_out(weights, bank, drawn)


def _lay_out(weights: Tensor, bank: Tensor, columns: list[list[int]]) -> Texts:
    used = sorted({column for own in columns for column in own})
    place_of = {column: len(weights) + place for place, column in enumerate(used)}
    offsets = np.concatenate([[0], np.cumsum([len(own) for own in columns])]).astype(np.int64)
    flat = np.array([place_of[column] for own in columns for column in own], dtype=np.int64)
    none = Segments(np.empty(0, dtype=np.int64), np.zeros(len(weights) + 1, dtype=np.int64))
    by_kind = {kind: none for kind in TextKind if kind is not TextKind.ONE_TO_ONE}
    by_kind[TextKind.CLASS_NAME] = Segments(np.arange(len(weights)), np.arange(len(weights) + 1))
    by_kind[TextKind.ANALOGOUS_CLASS] = Segments(flat, offsets)
    layout = TextLayout(len(weights), len(weights) + len(used), by_kind, {})
    return Texts(torch.cat([weights, bank[used]]), layout)


def _unit(rows: NDArray[np.floating]) -> Tensor:
    return normalize(torch.from_numpy(rows.astype(np.float32)), dim=1)


def draw_support(images: Images, shots: int, seed: int, class_count: int) -> Support:
    """Some images of every class."""
    rng = np.random.default_rng(seed)
    rows = np.concatenate(
        [rng.permutation(np.flatnonzero(images.pool_labels == label))[:shots] for label in range(class_count)]
    )
    return Support(images.pool[rows], torch.from_numpy(images.pool_labels[rows].astype(np.int64)), class_count)


def selections(dataset: str, texts: Texts, images: Images, draws: int) -> Iterator[tuple[str, list[Classifier]]]:
    """Every selection by name, in every draw."""
    vectors, layout = texts
    yield "all texts", [fold_classifier(vectors, layout)]
    for kept in SHARES:
        chosen = select_texts(vectors, layout, kept=kept)
        yield f"{kept:.0%}, by texts", [fold_classifier(vectors, chosen)]
        places = [torch.randn(layout.class_count, vectors.shape[1]) for _ in range(RANDOM_CHOICES)]
        thinned = [select_texts(vectors, layout, kept=kept, class_places=place) for place in places]
        yield f"{kept:.0%}, at random", [fold_classifier(vectors, own) for own in thinned]
    supports = {
        shots: [draw_support(images, shots, seed, layout.class_count) for seed in range(1, draws + 1)]
        for shots in SHOTS[dataset]
    }
    for (shots, drawn), (how, shares) in product(supports.items(), FORCED.items()):
        if shots > 1 or not how:  # of one image a class nothing is chosen, and a stated share is kept
            found = [choose_texts(vectors, layout, support, shares=shares) for support in drawn]
            kept_shares = ", ".join(f"{share:.0%}" for share in sorted({own.kept for own in found}))
            yield f"by {shots} images a class{how} (kept {kept_shares})", [own.classifier for own in found]


def hits_of(classifiers: list[Classifier], images: Images) -> list[NDArray[np.bool_]]:
    """Whether every image is right, by every classifier."""
    return [own.logits(images.test).argmax(dim=1).numpy() == images.test_labels for own in classifiers]


def report(dataset: str, draws: int) -> None:
    """Print one data set's table: the method, the control, and the paired difference of their first draws."""
    images, (own, control) = read_images(dataset, 1), read_texts(dataset)
    sys.stdout.write(
        f"\n### {dataset}: {len(images.test_labels)} test images, {own.layout.class_count} classes\n\n"
        "| texts | nearest nouns | nouns at random | difference, paired [95 %] | p |\n|---|---|---|---|---|\n"
    )
    by_name = hits_of([fold_classifier(*_names_alone(own))], images)[0]
    sys.stdout.write(f"| names alone | {100 * by_name.mean():.1f} | | | |\n")
    controls: Mapping[str, list[Classifier]] = {
        name.split(" (")[0]: found for name, found in selections(dataset, control, images, draws)
    }
    for name, found in selections(dataset, own, images, draws):
        hits, others = hits_of(found, images), hits_of(controls[name.split(" (")[0]], images)
        gained, lost = int((hits[0] & ~others[0]).sum()), int((others[0] & ~hits[0]).sum())
        low, high = paired_interval(gained, lost, len(hits[0]))
        difference = f"{100 * (gained - lost) / len(hits[0]):+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"
        cells = (f"{100 * statistics.mean(float(one.mean()) for one in both):.1f}" for both in (hits, others))
        sys.stdout.write(f"| {name} | {' | '.join(cells)} | {difference} | {float(mcnemar_p(gained, lost)):.2g} |\n")


def _names_alone(texts: Texts) -> Texts:
    none = Segments(np.empty(0, dtype=np.int64), np.zeros(texts.layout.class_count + 1, dtype=np.int64))
    by_kind = {**texts.layout.by_kind, TextKind.ANALOGOUS_CLASS: none}
    return Texts(texts.vectors, TextLayout(texts.layout.class_count, texts.layout.text_count, by_kind, {}))


def main() -> None:
    """Print a table per data set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=5, help="Supports of every size.")
    options = parser.parse_args()
    torch.manual_seed(0)
    for dataset in SHOTS:
        report(dataset, options.draws)


if __name__ == "__main__":
    main()
