"""Few-shot methods on real CLIP features: three data sets, five numbers of shots, every method, as Markdown.

Support and validation images are drawn from each set's validation split, scores are of its test split. `--seed` moves
the draws: methods were developed on seeds from 11 on (the older ones from 101 on), the figures in docs/few-shot.md are
of seeds 1 to 10. Every table of a method that reads texts stands twice: with the text bank as it is, and with the names
of the tested set's own classes purged from it.

`--tables batch` adds the unlabelled test images: a few-shot method (`--stage1`) is moved by `batch_discriminant`, the
support being images whose class is known. What every batch was taken for is printed below the table.
"""

import argparse
import json
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from coder_core.coder.classifier import Classifier, LinearClassifier
from coder_core.evaluation.labels import LabelTable
from coder_core.few_shot.draws import Draw, draw_examples
from coder_core.few_shot.few_shot_methods import FEW_SHOT_METHODS, plan_methods
from coder_core.few_shot.pool import Pool, build_pool, select_methods
from coder_core.few_shot.probabilities import calibrate_scores
from coder_core.few_shot.text_metric import MetricSpace, fit_metric
from coder_core.texts.vocabulary import plain_name
from coder_core.transduction.fit_batch import METRIC_LEVEL, fit_batch
from coder_core.transduction.image_batch import KnownRows, in_parts

DATASETS = ("dtd", "caltech101", "oxford_pets")
SHOTS = (1, 2, 4, 8, 16)
FEATURES = Path(__file__).parents[2] / "shared" / "data" / "features"
BANKS = ("names in", "names purged")
RIVALS = ("nearest_mean_coder", "lda", "gda", "hard_cut_lda", "text_discriminant")
FUSED_RIVALS = ("tip_adapter", "coder_adapter", "coder_adapter_min_max", "gda", "proker", "text_discriminant")
BEST = "text_pool"
OURS = "batch_discriminant_on_"

Place = tuple[str, str, bool, int, int]
"""Data set, bank, whether zero-shot logits stand beside, shots, seed."""


class Result(NamedTuple):
    """Top-1 accuracy of one method on one draw, in percent; of a transduction, what it took the batch for."""

    dataset: str
    bank: str
    is_fused: bool
    method: str
    shots: int
    seed: int
    top1: float
    taken_for: str = ""


class Images(NamedTuple):
    """The images of one data set."""

    pool: Pool
    queries: torch.Tensor
    truth: torch.Tensor
    class_names: tuple[str, ...]


def main() -> None:
    """Print all tables."""
    arguments = _arguments()
    known = _read_results(arguments.keep)
    chosen = "the support itself" if arguments.leave_one_out else "validation images"
    print(f"{arguments.draws} draws from seed {arguments.seed}, settings chosen on {chosen};")
    print("top-1 %, mean ± standard deviation over draws\n")
    for bank in arguments.banks:
        if "alone" in arguments.tables:
            _print_alone(arguments, bank, known)
        if "fused" in arguments.tables:
            fused = list(evaluate(arguments, "dtd", bank, known, is_fused=True))
            _print_table(f"dtd, with zero-shot logits, {bank}", fused)
            _print_gains(fused, FUSED_RIVALS)
        if "batch" in arguments.tables:
            _print_batch(arguments, bank, known)


def _print_alone(arguments: argparse.Namespace, bank: str, known: dict[tuple[object, ...], Result]) -> None:
    alone = [row for name in arguments.datasets for row in evaluate(arguments, name, bank, known, is_fused=False)]
    for name in arguments.datasets:
        _print_table(f"{name}, images alone, {bank}", [result for result in alone if result.dataset == name])
    _print_table(f"mean of {len(arguments.datasets)} sets, images alone, {bank}", alone)
    _print_gains(alone, RIVALS)


def _print_batch(arguments: argparse.Namespace, bank: str, known: dict[tuple[object, ...], Result]) -> None:
    rows = [row for name in arguments.datasets for row in evaluate_batch(arguments, name, bank, known)]
    for name in arguments.datasets:
        own = [result for result in rows if result.dataset == name]
        _print_table(f"{name}, with the unlabelled test images, {bank}", own)
    _print_table(f"mean of {len(arguments.datasets)} sets, with the unlabelled test images, {bank}", rows)
    kinds = Counter((row.dataset, row.shots, row.taken_for) for row in rows if row.taken_for)
    for (name, shots, kind), times in sorted(kinds.items()):
        print(f"* {name}, {shots} shots: {kind} {times}")
    print()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--features", type=Path, default=FEATURES, help="folder of the .npz files")
    parser.add_argument("--shots", type=int, nargs="+", default=SHOTS, help="support images per class")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1, help="of the first draw")
    parser.add_argument("--leave-one-out", action="store_true", help="choose settings on the support itself")
    parser.add_argument("--methods", nargs="+", choices=tuple(FEW_SHOT_METHODS), default=tuple(FEW_SHOT_METHODS))
    parser.add_argument("--datasets", nargs="+", choices=DATASETS, default=DATASETS)
    parser.add_argument("--banks", nargs="+", choices=BANKS, default=BANKS)
    parser.add_argument("--tables", nargs="+", choices=("alone", "fused", "batch"), default=("alone", "fused"))
    parser.add_argument("--stage1", nargs="+", choices=tuple(FEW_SHOT_METHODS), default=(BEST,), help="of the batch")
    parser.add_argument(
        "--keep", type=Path, default=None, help="a file of results: what it holds is not computed again"
    )
    return parser.parse_args()


def evaluate(
    arguments: argparse.Namespace, name: str, bank: str, known: dict[tuple[object, ...], Result], *, is_fused: bool
) -> Iterator[Result]:
    """Score every method on every draw of one data set; what is known already is not computed again."""
    images = load_images(arguments.features, name)
    texts = load_texts(arguments.features, images.class_names if bank == "names purged" else ())
    zero_shot = load_zero_shot(arguments.features) if is_fused else None

    def score(missing: Sequence[str], place: Place) -> list[Result]:
        return _score(images, texts, zero_shot, missing, place, arguments.leave_one_out)

    rows = {method: (method,) for method in arguments.methods}
    return _every_draw(arguments, (name, bank, is_fused), rows, known, score)


def _every_draw(
    arguments: argparse.Namespace,
    table: tuple[str, str, bool],
    rows: Mapping[str, tuple[str, ...]],
    known: dict[tuple[object, ...], Result],
    score: Callable[[Sequence[str], Place], list[Result]],
) -> Iterator[Result]:
    """The rows that each method makes, draw after draw; `score` makes those that are not known yet."""
    for shots in arguments.shots:
        for seed in range(arguments.seed, arguments.seed + arguments.draws):
            place = (*table, shots, seed)
            missing = [method for method, made in rows.items() if any((*place, row) not in known for row in made)]
            found = score(missing, place) if missing else []
            known |= {_key_of(result): result for result in found}
            _keep_results(arguments.keep, found)
            yield from (known[(*place, row)] for made in rows.values() for row in made)


def _score(
    images: Images,
    texts: torch.Tensor,
    zero_shot: LinearClassifier | None,
    methods: Sequence[str],
    place: Place,
    leave_one_out: bool,
) -> list[Result]:
    name, bank, is_fused, shots, seed = place
    draw = _draw(images, shots, seed, leave_one_out)
    planned = plan_methods(methods, texts, zero_shot=zero_shot)
    found = []
    for method, selected in select_methods(images.pool, draw, planned, zero_shot=zero_shot).items():
        hits = (selected.classifier.logits(images.queries).argmax(dim=1) == images.truth).double().mean()
        found.append(Result(name, bank, is_fused, method, shots, seed, 100 * float(hits)))
    return found


def _draw(images: Images, shots: int, seed: int, leave_one_out: bool) -> Draw:
    draw = draw_examples(images.pool.label_ids, shots=shots, seed=seed, allow_fewer=True)
    return draw._replace(validation=draw.validation[:0]) if leave_one_out else draw


def evaluate_batch(
    arguments: argparse.Namespace, name: str, bank: str, known: dict[tuple[object, ...], Result]
) -> Iterator[Result]:
    """Score few-shot methods of images alone, and the same after the test images, without labels, have moved them."""
    images = load_images(arguments.features, name)
    texts = load_texts(arguments.features, images.class_names if bank == "names purged" else ())
    space = fit_metric(texts).saturating(METRIC_LEVEL)

    def score(missing: Sequence[str], place: Place) -> list[Result]:
        return _score_batch(images, texts, space, missing, place, arguments.leave_one_out)

    rows = {method: (method, OURS + method) for method in arguments.stage1}
    return _every_draw(arguments, (name, bank, False), rows, known, score)


def _score_batch(
    images: Images,
    texts: torch.Tensor,
    space: MetricSpace,
    methods: Sequence[str],
    place: Place,
    leave_one_out: bool,
) -> list[Result]:
    name, bank, is_fused, shots, seed = place
    draw = _draw(images, shots, seed, leave_one_out)
    support = images.pool.support(draw)
    known = KnownRows(support.embeddings, support.label_ids)
    found = []
    planned = plan_methods(methods, texts, zero_shot=None)
    for method, selected in select_methods(images.pool, draw, planned, zero_shot=None).items():
        stage1 = _calibrated(selected.classifier, images.pool, draw)
        moved = fit_batch(in_parts(images.queries), stage1, space=space, known=known)
        for row, classifier, kind in ((method, stage1, ""), (OURS + method, moved.classifier, str(moved.kind))):
            hits = (classifier.logits(images.queries).argmax(dim=1) == images.truth).double().mean()
            found.append(Result(name, bank, is_fused, row, shots, seed, 100 * float(hits), kind))
    return found


def _calibrated(classifier: Classifier, pool: Pool, draw: Draw) -> Classifier:
    """With the temperature that a run gives it, where there are validation images (`steps.fit_few_shot`)."""
    validation = pool.validation(draw)
    if validation is None:
        return classifier
    return calibrate_scores(classifier, validation)


def load_images(folder: Path, name: str) -> Images:
    """The validation images of a set as the pool, its test images as the queries."""
    arrays = _load(folder / f"{name}.npz")
    ids = tuple(map(str, range(len(arrays["val_labels"]))))
    labels = LabelTable(ids, arrays["val_labels"].astype(np.int64), "validation")
    class_names = tuple(arrays["class_names"].tolist())
    pool = build_pool(ids, _unit(arrays["val_features"]), labels, class_count=len(class_names))
    truth = torch.from_numpy(arrays["test_labels"].astype(np.int64))
    return Images(pool, _unit(arrays["test_features"]), truth, class_names)


def load_texts(folder: Path, purged: Sequence[str]) -> torch.Tensor:
    """The bank of generic nouns, without those of some names; case, hyphens and underscores make no other name."""
    arrays = _load(folder / "text_bank.npz")
    unwanted = {plain_name(name) for name in purged}
    kept = [plain_name(name) not in unwanted for name in arrays["names"].tolist()]
    return _unit(arrays["features"][kept])


def load_zero_shot(folder: Path) -> LinearClassifier:
    """CLIP on DTD, by class name."""
    return LinearClassifier(_unit(_load(folder / "dtd_zero_shot_weights.npz")["features"]))


def _key_of(result: Result) -> tuple[object, ...]:
    return (result.dataset, result.bank, result.is_fused, result.shots, result.seed, result.method)


def _read_results(path: Path | None) -> dict[tuple[object, ...], Result]:
    if path is None or not path.exists():
        return {}
    found = (Result(**json.loads(line)) for line in path.read_text().splitlines())
    return {_key_of(result): result for result in found}


def _keep_results(path: Path | None, results: Sequence[Result]) -> None:
    if path is not None and results:
        with path.open("a") as file:
            file.writelines(json.dumps(result._asdict()) + "\n" for result in results)


def _print_table(title: str, results: list[Result]) -> None:
    shots_tried = sorted({result.shots for result in results})
    print(f"### {title}\n\n| method | {' | '.join(f'{shots} shots' for shots in shots_tried)} |")
    print("|---|" + "---|" * len(shots_tried))
    for method in dict.fromkeys(result.method for result in results):
        cells = []
        for shots in shots_tried:
            by_set: dict[str, list[float]] = defaultdict(list)
            for result in results:
                if (result.method, result.shots) == (method, shots):
                    by_set[result.dataset].append(result.top1)
            draws = [statistics.fmean(scores) for scores in zip(*by_set.values(), strict=True)]
            spread = statistics.stdev(draws) if len(draws) > 1 else 0.0
            cells.append(f"{statistics.fmean(draws):.1f} ± {spread:.1f}")
        print(f"| {method} | {' | '.join(cells)} |")
    print()


def _print_gains(results: list[Result], rivals: Sequence[str]) -> None:
    """Print by how many points the best method is ahead of others, for every number of shots."""
    groups: dict[tuple[str, int], list[float]] = defaultdict(list)
    for result in results:
        groups[result.method, result.shots].append(result.top1)
    shots_tried = sorted({result.shots for result in results})
    for other in rivals:
        if (BEST, shots_tried[0]) in groups and (other, shots_tried[0]) in groups:
            means = {place: statistics.fmean(found) for place, found in groups.items()}
            gains = ", ".join(f"{means[BEST, shots] - means[other, shots]:+.2f}" for shots in shots_tried)
            print(f"{BEST} against {other}: {gains} points at {', '.join(map(str, shots_tried))} shots")
    print()


def _load(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def _unit(rows: np.ndarray) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.from_numpy(rows.astype(np.float32)), dim=1)


if __name__ == "__main__":
    main()
