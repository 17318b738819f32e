"""Few-shot methods on real CLIP features: three data sets, five numbers of shots, every method, as Markdown.

Support and validation images are drawn from each set's validation split, scores are of its test split. `--seed` moves
the draws: methods were developed on seeds from 11 on (the older ones from 101 on), the figures in docs/few-shot.md are
of seeds 1 to 10. Every table of a method that reads texts stands twice: with the text bank as it is, and with the names
of the tested set's own classes purged from it.

`--tables batch` adds the unlabelled test images: a few-shot method (`--stage1`) is moved by `batch_discriminant`, the
support being images whose class is known. What every batch was taken for is printed below the table.

A draw is the unit of work. What draws share (images, texts and their metrics) is made once; a method that stands in
several tables is fitted once, and one that reads no text once for both banks; `--processes` share the draws. What each
method costs stands at the end. `--keep FILE` keeps every result, and a run that was cut short goes on where it was.
"""

import argparse
import json
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import torch

from bench.few_shot_sets import (
    BANKS,
    DATASETS,
    FEATURES,
    Images,
    load_images,
    load_space,
    load_zero_shot,
    plan_shared,
)
from coder_core.coder.classifier import Classifier
from coder_core.few_shot.draws import Draw, draw_examples
from coder_core.few_shot.few_shot_methods import FEW_SHOT_METHODS
from coder_core.few_shot.pool import Pool, select_methods
from coder_core.few_shot.probabilities import calibrate_scores
from coder_core.transduction.fit_batch import fit_batch
from coder_core.transduction.image_batch import KnownRows, in_parts

SHOTS = (1, 2, 4, 8, 16)
RIVALS = ("nearest_mean_coder", "lda", "gda", "hard_cut_lda", "text_discriminant")
FUSED_RIVALS = ("tip_adapter", "coder_adapter", "coder_adapter_min_max", "gda", "proker", "text_discriminant")
TEXTLESS = ("nearest_mean", "tip_adapter", "lda", "gda")
"""The same with every bank, hence computed with the first."""

BEST = "text_pool"
OURS = "batch_discriminant_on_"

Key = tuple[object, ...]


class Place(NamedTuple):
    """One draw of one data set, whether zero-shot logits stand beside, and what texts there are."""

    dataset: str
    bank: str
    is_fused: bool
    shots: int
    seed: int


class Job(NamedTuple):
    """What is to be computed on one draw: methods to fit, and which of these the test images are to move."""

    place: Place
    methods: tuple[str, ...]
    moved: tuple[str, ...]


class Result(NamedTuple):
    """Top-1 accuracy of one method on one draw, in percent; of a transduction, what it took the batch for.

    `seconds` of processor time to fit it, to choose its settings, and to score the test images.
    """

    dataset: str
    bank: str
    is_fused: bool
    method: str
    shots: int
    seed: int
    top1: float
    taken_for: str = ""
    seconds: float = 0.0


def main() -> None:
    """Compute what is missing, and print all tables."""
    arguments = _arguments()
    known = _read_results(arguments.keep)
    for found in _compute(arguments, list(_missing(arguments, known))):
        known |= {_key_of(result): result for result in found}
        _keep_results(arguments.keep, found)
    chosen = "the support itself" if arguments.leave_one_out else "validation images"
    print(f"{arguments.draws} draws from seed {arguments.seed}, settings chosen on {chosen};")
    print("top-1 %, mean ± standard deviation over draws\n")
    for bank in arguments.banks:
        _print_bank(arguments, bank, known)
    _print_costs(known)


def _print_bank(arguments: argparse.Namespace, bank: str, known: Mapping[Key, Result]) -> None:
    if "alone" in arguments.tables:
        alone = list(_rows(arguments, bank, known, arguments.methods))
        _print_sets(arguments.datasets, f"images alone, {bank}", alone)
        _print_gains(arguments.best, alone, RIVALS)
    if "fused" in arguments.tables:
        fused = list(_rows(arguments, bank, known, arguments.methods, is_fused=True))
        _print_table(f"dtd, with zero-shot logits, {bank}", fused)
        _print_gains(arguments.best, fused, FUSED_RIVALS)
    if "batch" in arguments.tables:
        methods = [row for method in arguments.stage1 for row in (method, OURS + method)]
        batch = list(_rows(arguments, bank, known, methods))
        _print_sets(arguments.datasets, f"with the unlabelled test images, {bank}", batch)
        kinds = Counter((row.dataset, row.shots, row.taken_for) for row in batch if row.taken_for)
        for (name, shots, kind), times in sorted(kinds.items()):
            print(f"* {name}, {shots} shots: {kind} {times}")
        print()


def _print_sets(datasets: Sequence[str], title: str, rows: list[Result]) -> None:
    for name in datasets:
        _print_table(f"{name}, {title}", [result for result in rows if result.dataset == name])
    _print_table(f"mean of {len(datasets)} sets, {title}", rows)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=Path, default=FEATURES, help="folder of the .npz files")
    parser.add_argument("--shots", type=int, nargs="+", default=SHOTS, help="support images per class")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1, help="of the first draw")
    parser.add_argument("--leave-one-out", action="store_true", help="choose settings on the support itself")
    parser.add_argument("--methods", nargs="+", choices=tuple(FEW_SHOT_METHODS), default=tuple(FEW_SHOT_METHODS))
    parser.add_argument("--best", choices=tuple(FEW_SHOT_METHODS), default=BEST, help="how far it is ahead of others")
    parser.add_argument("--datasets", nargs="+", choices=DATASETS, default=DATASETS)
    parser.add_argument("--banks", nargs="+", choices=BANKS, default=BANKS)
    parser.add_argument("--tables", nargs="+", choices=("alone", "fused", "batch"), default=("alone", "fused"))
    parser.add_argument("--stage1", nargs="+", choices=tuple(FEW_SHOT_METHODS), default=(BEST,), help="of the batch")
    parser.add_argument(
        "--keep", type=Path, default=None, help="a file of results: what it holds is not computed again"
    )
    parser.add_argument("--processes", type=int, default=1, help="that share the draws, each of one thread")
    parser.add_argument(
        "--words",
        type=Path,
        default=None,
        help="a vocabulary file: of the bank, only its words and the set's own names",
    )
    return parser.parse_args()


def _missing(arguments: argparse.Namespace, known: Mapping[Key, Result]) -> Iterator[Job]:
    """A job for every draw that something is not known of; banks one after the other, textless methods in the first."""
    planned: set[Key] = set(known)
    for place, methods, moved in _wanted(arguments):
        keys = {method: _key(place, method) for method in (*methods, *(OURS + method for method in moved))}
        to_move = tuple(method for method in moved if keys[OURS + method] not in planned)
        to_fit = tuple(method for method in methods if keys[method] not in planned or method in to_move)
        if to_fit:
            planned |= set(keys.values())
            yield Job(place, to_fit, to_move)


def _wanted(arguments: argparse.Namespace) -> Iterator[tuple[Place, tuple[str, ...], tuple[str, ...]]]:
    """Every draw of every table, with the methods to fit and those that the test images are to move."""
    tables = arguments.tables
    moved = tuple(arguments.stage1) if "batch" in tables else ()
    alone = tuple(dict.fromkeys((*(arguments.methods if "alone" in tables else ()), *moved)))
    for bank in arguments.banks:
        for seed in range(arguments.seed, arguments.seed + arguments.draws):
            for shots in arguments.shots:
                if alone:
                    yield from ((Place(name, bank, False, shots, seed), alone, moved) for name in arguments.datasets)
                if "fused" in tables:
                    yield Place("dtd", bank, True, shots, seed), tuple(arguments.methods), ()


def _compute(arguments: argparse.Namespace, jobs: Sequence[Job]) -> Iterator[list[Result]]:
    """Results as they come, draw after draw."""
    score = partial(_score, arguments)
    if arguments.processes == 1 or len(jobs) < 2:
        yield from map(score, jobs)
        return
    with ProcessPoolExecutor(
        arguments.processes, mp_context=get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        yield from pool.map(score, jobs)


def _score(arguments: argparse.Namespace, job: Job) -> list[Result]:
    """Fit and score the methods of one draw, one after the other."""
    images = load_images(arguments.features, job.place.dataset)
    draw = _draw(images, job.place.shots, job.place.seed, arguments.leave_one_out)
    found = []
    for method in job.methods:
        started = time.process_time()
        classifier = _select(arguments, images, draw, job.place, method)
        found.append(_result(images, job.place, method, classifier, started))
        if method in job.moved:
            found.append(_move(arguments, images, draw, job.place, method, classifier))
    return found


def _select(arguments: argparse.Namespace, images: Images, draw: Draw, place: Place, method: str) -> Classifier:
    key = (arguments.features, place.dataset, place.bank, place.is_fused, arguments.words)
    zero_shot = load_zero_shot(arguments.features) if place.is_fused else None
    planned = plan_shared(*key)[method]
    return select_methods(images.pool, draw, {method: planned}, zero_shot=zero_shot)[method].classifier


def _move(
    arguments: argparse.Namespace, images: Images, draw: Draw, place: Place, method: str, classifier: Classifier
) -> Result:
    """Score a method after the test images, without labels, have moved it."""
    started = time.process_time()
    support = images.pool.support(draw)
    space = load_space(arguments.features, place.dataset, place.bank, arguments.words)
    stage1 = _calibrated(classifier, images.pool, draw)
    known = KnownRows(support.embeddings, support.label_ids)
    moved = fit_batch(in_parts(images.queries), stage1, space=space, known=known)
    found = _result(images, place, OURS + method, moved.classifier, started)
    return found._replace(taken_for=str(moved.kind))


def _result(images: Images, place: Place, method: str, classifier: Classifier, started: float) -> Result:
    hits = (classifier.logits(images.queries).argmax(dim=1) == images.truth).double().mean()
    seconds = round(time.process_time() - started, 2)
    return Result(
        place.dataset,
        _bank_of(method, place.bank),
        place.is_fused,
        method,
        place.shots,
        place.seed,
        100 * float(hits),
        seconds=seconds,
    )


def _draw(images: Images, shots: int, seed: int, leave_one_out: bool) -> Draw:
    draw = draw_examples(images.pool.label_ids, shots=shots, seed=seed, allow_fewer=True)
    return draw._replace(validation=draw.validation[:0]) if leave_one_out else draw


def _calibrated(classifier: Classifier, pool: Pool, draw: Draw) -> Classifier:
    """With the temperature that a run gives it, where there are validation images (`steps.fit_few_shot`)."""
    validation = pool.validation(draw)
    if validation is None:
        return classifier
    return calibrate_scores(classifier, validation)


def _bank_of(method: str, bank: str) -> str:
    return BANKS[0] if method in TEXTLESS else bank


def _key(place: Place, method: str) -> Key:
    return (place.dataset, _bank_of(method, place.bank), place.is_fused, place.shots, place.seed, method)


def _key_of(result: Result) -> Key:
    return (result.dataset, result.bank, result.is_fused, result.shots, result.seed, result.method)


def _rows(
    arguments: argparse.Namespace,
    bank: str,
    known: Mapping[Key, Result],
    methods: Sequence[str],
    is_fused: bool = False,
) -> Iterator[Result]:
    """What a table is made of."""
    seeds = range(arguments.seed, arguments.seed + arguments.draws)
    for name in ("dtd",) if is_fused else arguments.datasets:
        for shots in arguments.shots:
            for seed in seeds:
                place = Place(name, bank, is_fused, shots, seed)
                yield from (known[_key(place, method)] for method in methods)


def _read_results(path: Path | None) -> dict[Key, Result]:
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


def _print_gains(best: str, results: list[Result], rivals: Sequence[str]) -> None:
    """Print by how many points a method is ahead of others, for every number of shots."""
    groups: dict[tuple[str, int], list[float]] = defaultdict(list)
    for result in results:
        groups[result.method, result.shots].append(result.top1)
    shots_tried = sorted({result.shots for result in results})
    for other in rivals:
        if other != best and {(best, shots_tried[0]), (other, shots_tried[0])} <= set(groups):
            means = {place: statistics.fmean(found) for place, found in groups.items()}
            gains = ", ".join(f"{means[best, shots] - means[other, shots]:+.2f}" for shots in shots_tried)
            print(f"{best} against {other}: {gains} points at {', '.join(map(str, shots_tried))} shots")
    print()


def _print_costs(known: Mapping[Key, Result]) -> None:
    """Print what a draw of each method costs, of those that were timed."""
    costs: dict[str, list[float]] = defaultdict(list)
    for result in known.values():
        if result.seconds:
            costs[result.method].append(result.seconds)
    each = ", ".join(f"{method} {statistics.fmean(seconds):.1f}" for method, seconds in costs.items())
    print(f"processor seconds per draw: {each}")


if __name__ == "__main__":
    main()
