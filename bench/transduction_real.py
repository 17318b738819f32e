"""Transduction on real CLIP features: two data sets, five kinds of batch, every method, one setting for all.

    python bench/transduction_real.py                        # DTD test and SUN397 val, seeds 1 to 10
    python bench/transduction_real.py --seed 101             # the seeds that the method was developed on
    python bench/transduction_real.py --others               # DTD val; Caltech-101 and Pets where names are in the bank
    python bench/transduction_real.py --others --regimes 200 # so many images at random
    python bench/transduction_real.py --scale                # 50,000 made-up images x 1,000 classes: time and memory

Kinds of batch: `balanced`, as the set is; `long_tailed`, class weights from a Dirichlet(1), an image stays with
probability weight / largest weight; `tenth`, max(5, K / 10) classes; `64` images; `three` classes. Classes that are not
in the batch stay on the list. Figures are points of top-1 over stage 1 (CLIP by name), and expected calibration errors
in points. No method is told which kind it gets, and none reads a label.
"""

import argparse
import resource
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from coder_core.coder.classifier import LinearClassifier
from coder_core.evaluation.calibration import expected_calibration_error
from coder_core.few_shot.text_metric import MetricSpace, fit_metric
from coder_core.transduction.fit_batch import METRIC_LEVEL, fit_batch
from coder_core.transduction.image_batch import Parts, in_parts
from coder_core.transduction.neighbour_mixtures import stata_logits, transclip_logits
from coder_core.transduction.stated_prior import build_class_prior, build_sinkhorn
from coder_core.transduction.transduced import Transduced

FEATURES = Path(__file__).parents[2] / "shared" / "data" / "features"
REGIMES = ("balanced", "long_tailed", "tenth", "64", "three")
OURS = "batch_discriminant"


class Source(NamedTuple):
    """Images, their labels (for scoring and for drawing batches only), and one text per class."""

    images: Tensor
    labels: Tensor
    class_texts: Tensor


class Result(NamedTuple):
    """One method on one batch, in points."""

    dataset: str
    regime: str
    method: str
    gain: float
    calibration_error: float
    taken_for: str = ""


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=Path, default=FEATURES, help="folder of the .npz files")
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1, help="of the first draw")
    parser.add_argument("--regimes", nargs="+", type=_regime, default=REGIMES, help="a number: so many random images")
    parser.add_argument("--others", action="store_true", help="sets that no constant was looked for on")
    parser.add_argument("--ours", action="store_true", help="without the methods that it stands beside")
    parser.add_argument("--scale", action="store_true", help="only time and memory of a large batch")
    arguments = parser.parse_args()
    if arguments.scale:
        return measure_scale()
    sources = other_sources(arguments.features) if arguments.others else issue_sources(arguments.features)
    texts = _unit(_load(arguments.features / "text_bank.npz")["features"])
    space = fit_metric(texts).saturating(METRIC_LEVEL)
    seeds = range(arguments.seed, arguments.seed + arguments.draws)
    results: list[Result] = []
    for regime in arguments.regimes:
        for name, source in sources.items():
            for seed in seeds[:1] if regime == "balanced" else seeds:
                batch = draw_batch(source, regime, seed)
                results += evaluate(name, regime, batch, space, ours_alone=arguments.ours)
            found = [result for result in results if (result.dataset, result.regime) == (name, regime)]
            print(f"{regime}, {name}: {_in_a_line(found)}", flush=True)
    print(f"seeds {seeds[0]} to {seeds[-1]}\n")
    print_gains(results, list(sources), arguments.regimes)
    print_calibration(results, list(sources), arguments.regimes)
    print_kinds(results)
    return None


def _regime(named: str) -> str:
    if named not in REGIMES and not named.isdigit():
        raise argparse.ArgumentTypeError(f"{named!r} is no number and none of {', '.join(REGIMES)}")
    return named


def draw_batch(source: Source, regime: str, seed: int) -> Source:
    """Draw a batch of one kind."""
    generator, labels = np.random.default_rng(seed), source.labels.numpy()
    classes, count = len(source.class_texts), len(labels)
    rows = np.arange(count)
    if regime == "long_tailed":
        weights = generator.dirichlet(np.ones(classes))
        rows = np.flatnonzero(generator.random(count) < weights[labels] / weights.max())
    elif regime.isdigit():
        rows = np.sort(generator.choice(count, min(count, int(regime)), replace=False))
    elif regime in ("tenth", "three"):
        number = 3 if regime == "three" else max(5, classes // 10)
        rows = np.flatnonzero(np.isin(labels, generator.choice(classes, number, replace=False)))
    return source._replace(images=source.images[rows], labels=source.labels[rows])


def evaluate(name: str, regime: str, batch: Source, space: MetricSpace, *, ours_alone: bool) -> Iterator[Result]:
    """Score every method on one batch."""
    stage1 = LinearClassifier(batch.class_texts)
    own = stage1.logits(batch.images)
    yield _result(name, regime, "stage 1 (CLIP by name)", own, own, batch)
    for method, logits in rivals(batch, stage1, own).items():
        if not ours_alone:
            yield _result(name, regime, method, logits(), own, batch)
    found = fit_batch(in_parts(batch.images), stage1, class_texts=batch.class_texts, space=space)
    yield _result(name, regime, OURS, found.classifier.logits(batch.images), own, batch)._replace(
        taken_for=str(found.kind)
    )


def rivals(batch: Source, stage1: LinearClassifier, own: Tensor) -> Mapping[str, Callable[[], Tensor]]:
    """The methods that ours stands beside."""
    images, parts = batch.images, in_parts(batch.images)
    return {
        "class_prior (Saerens)": lambda: build_class_prior(parts, stage1).logits(images),
        "sinkhorn (OTTER, equal shares)": lambda: build_sinkhorn(parts, stage1).logits(images),
        "TransCLIP": lambda: transclip_logits(images, own),
        "StatA": lambda: stata_logits(images, own, batch.class_texts),
    }


def issue_sources(folder: Path) -> dict[str, Source]:
    """DTD's test images and SUN397's validation images."""
    dtd, sun = _load(folder / "dtd.npz"), _load(folder / "sun397_val.npz")
    names = ("dtd_zero_shot_weights.npz", "sun397_zero_shot_weights.npz")
    texts = [_unit(_load(folder / name)["features"]) for name in names]
    sun_labels = next(array for name, array in sun.items() if "label" in name)
    sun_features = next(array for name, array in sun.items() if "feature" in name)
    return {
        "DTD": Source(_unit(dtd["test_features"]), _ids(dtd["test_labels"]), texts[0]),
        "SUN397": Source(_unit(sun_features), _ids(sun_labels), texts[1]),
    }


def other_sources(folder: Path) -> dict[str, Source]:
    """DTD's validation images, and of two more sets the classes whose names the bank of nouns holds."""
    dtd, bank = _load(folder / "dtd.npz"), _load(folder / "text_bank.npz")
    dtd_texts = _unit(_load(folder / "dtd_zero_shot_weights.npz")["features"])
    found = {"DTD val": Source(_unit(dtd["val_features"]), _ids(dtd["val_labels"]), dtd_texts)}
    place = {_word(name): row for row, name in reversed(list(enumerate(bank["names"])))}
    for name, file in (("Caltech-101", "caltech101.npz"), ("Pets", "oxford_pets.npz")):
        arrays = _load(folder / file)
        known = [label for label, word in enumerate(arrays["class_names"]) if _word(word) in place]
        new_id = {label: number for number, label in enumerate(known)}
        labels = arrays["test_labels"].astype(int)
        kept = np.isin(labels, known)
        rows = [place[_word(arrays["class_names"][label])] for label in known]
        ids = np.array([new_id[label] for label in labels[kept]])
        found[f"{name}, {len(known)} classes"] = Source(
            _unit(arrays["test_features"][kept]), _ids(ids), _unit(bank["features"][rows])
        )
    return found


def print_gains(results: list[Result], datasets: list[str], regimes: list[str]) -> None:
    """Top-1 over stage 1, regime by regime: each set, and their mean."""
    print("### Points of top-1 over stage 1: " + ", ".join(datasets) + "; mean\n")
    _print_table(results, datasets, regimes, lambda result: result.gain, sign="+")


def print_calibration(results: list[Result], datasets: list[str], regimes: list[str]) -> None:
    """Expected calibration errors."""
    print("### Expected calibration error, points: " + ", ".join(datasets) + "; mean\n")
    _print_table(results, datasets, regimes, lambda result: result.calibration_error, sign="")


def print_kinds(results: list[Result]) -> None:
    """What batches were taken for."""
    print("### What ours took the batches for\n")
    kinds: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for result in results:
        if result.taken_for:
            kinds[result.dataset, result.regime][result.taken_for] += 1
    for (dataset, regime), counts in kinds.items():
        print(f"* {dataset}, {regime}: " + ", ".join(f"{kind} {number}" for kind, number in counts.items()))


def measure_scale(count: int = 50_000, classes: int = 1000, dim: int = 512) -> None:
    """Time and peak memory of a large batch that is made part by part."""
    generator = torch.Generator().manual_seed(0)
    texts = _normal(torch.randn(classes, dim, generator=generator))
    space = fit_metric(_normal(torch.randn(4096, dim, generator=generator))).saturating(METRIC_LEVEL)
    before = _peak_mb()
    for rows in (count,):
        started, worked = time.monotonic(), time.process_time()
        found = fit_batch(_made_up(rows, texts), LinearClassifier(texts, 10.0), class_texts=texts, space=space)
        seconds, worked = time.monotonic() - started, time.process_time() - worked
        took = f"{seconds:.0f} s ({worked:.0f} s of processor time), peak {_peak_mb():.0f} MB ({before:.0f} MB before)"
        print(f"{rows} x {classes}: {took}, {_kind(found)}", flush=True)


def _kind(found: Transduced) -> str:
    return f"{found.kind}: {found.reason}"


def _made_up(count: int, texts: Tensor, rows: int = 4096) -> Parts:
    """Images around places that are not where their class's text is; each part is made when it is asked for.

    They spread about their place in some directions more than in others, as images do.
    """
    generator, dim = torch.Generator().manual_seed(1), texts.shape[1]
    shift = torch.randn(dim, generator=generator) / 160
    places = _normal(texts + 2 * _normal(torch.randn(texts.shape, generator=generator))) / 2
    spread = 0.4 * _normal(torch.arange(1, dim + 1).unsqueeze(0) ** -0.5)

    def parts() -> Iterator[Tensor]:
        for start in range(0, count, rows):
            generator = torch.Generator().manual_seed(start)
            labels = torch.randint(len(texts), (min(rows, count - start),), generator=generator)
            noise = spread * torch.randn(len(labels), dim, generator=generator)
            yield _normal(places[labels] + shift + noise)

    return parts


def _result(name: str, regime: str, method: str, logits: Tensor, own: Tensor, batch: Source) -> Result:
    best = logits.softmax(dim=1).max(dim=1)
    hits = best.indices == batch.labels
    before = (own.argmax(dim=1) == batch.labels).double().mean()
    error = expected_calibration_error(best.values.double().numpy(), hits.numpy())
    return Result(name, regime, method, 100 * float(hits.double().mean() - before), 100 * error)


def _print_table(
    results: list[Result], datasets: list[str], regimes: list[str], value: Callable[[Result], float], *, sign: str
) -> None:
    print(f"| method | {' | '.join(regimes)} |\n|---|{'---|' * len(regimes)}")
    for method in dict.fromkeys(result.method for result in results):
        cells = []
        for regime in regimes:
            means = []
            for dataset in datasets:
                found = [value(r) for r in results if (r.dataset, r.regime, r.method) == (dataset, regime, method)]
                means.append(statistics.fmean(found))
            numbers = " ".join(f"{mean:{sign}.1f}" for mean in means)
            cells.append(f"{numbers}; **{statistics.fmean(means):{sign}.2f}**")
        print(f"| {method} | {' | '.join(cells)} |")
    print()


def _in_a_line(found: list[Result]) -> str:
    """Gains and calibration errors of one cell, while the others are still to come."""
    means = []
    for method in dict.fromkeys(result.method for result in found):
        own = [result for result in found if result.method == method]
        gain = statistics.fmean(result.gain for result in own)
        means.append(f"{method} {gain:+.2f} (ece {statistics.fmean(result.calibration_error for result in own):.1f})")
    return ", ".join(means)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _word(name: object) -> str:
    return str(name).lower().replace("_", " ")


def _ids(labels: np.ndarray) -> Tensor:
    return torch.from_numpy(labels.astype(np.int64))


def _normal(rows: Tensor) -> Tensor:
    return torch.nn.functional.normalize(rows, dim=1)


def _unit(rows: np.ndarray) -> Tensor:
    return _normal(torch.from_numpy(rows.astype(np.float32)))


def _load(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


if __name__ == "__main__":
    main()
