"""Few-shot methods on real CLIP features: three data sets, five numbers of shots, every method, as Markdown.

Support and validation images are drawn from each set's validation split, scores are of its test split. `--seed` moves
the draws: methods were developed on seeds from 101 on, the figures in docs/few-shot.md are of seeds 1, 2 and 3.
"""

import argparse
import statistics
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from coder_core.coder.classifier import LinearClassifier
from coder_core.evaluation.labels import LabelTable
from coder_core.few_shot.draws import draw_examples
from coder_core.few_shot.few_shot_methods import FEW_SHOT_METHODS, plan_methods
from coder_core.few_shot.pool import build_pool, select_methods

DATASETS = ("dtd", "caltech101", "oxford_pets")
SHOTS = (1, 2, 4, 8, 16)
FEATURES = Path(__file__).parents[2] / "shared" / "data" / "features"


class Result(NamedTuple):
    """Top-1 accuracy of one method on one draw, in percent."""

    dataset: str
    method: str
    shots: int
    top1: float


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--features", type=Path, default=FEATURES, help="folder of the .npz files")
    parser.add_argument("--shots", type=int, nargs="+", default=SHOTS, help="support images per class")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1, help="of the first draw")
    parser.add_argument("--leave-one-out", action="store_true", help="choose settings on the support itself")
    arguments = parser.parse_args()
    texts = _unit(_load(arguments.features / "text_bank.npz")["features"])
    chosen = "the support itself" if arguments.leave_one_out else "validation images"
    print(f"{arguments.draws} draws from seed {arguments.seed}, settings chosen on {chosen};")
    print("top-1 %, mean ± standard deviation over draws\n")
    alone = [result for name in DATASETS for result in evaluate(arguments, name, texts, None)]
    for name in DATASETS:
        _print_table(f"{name}, images alone", [result for result in alone if result.dataset == name])
    _print_table("mean of the three sets, images alone", alone)
    _print_gains(alone, {"nearest_mean_coder": "text_discriminant", "lda": "text_discriminant"})
    weights = _unit(_load(arguments.features / "dtd_zero_shot_weights.npz")["features"])
    fused = list(evaluate(arguments, "dtd", texts, LinearClassifier(weights)))
    _print_table("dtd, with zero-shot logits", fused)
    rivals = ("tip_adapter", "coder_adapter", "coder_adapter_min_max", "gda")
    _print_gains(fused, dict.fromkeys(rivals, "text_discriminant"))


def evaluate(
    arguments: argparse.Namespace, name: str, texts: torch.Tensor, zero_shot: LinearClassifier | None
) -> Iterator[Result]:
    """Score every method on every draw of one data set."""
    arrays = _load(arguments.features / f"{name}.npz")
    ids = tuple(map(str, range(len(arrays["val_labels"]))))
    labels = LabelTable(ids, arrays["val_labels"].astype(np.int64), "validation")
    pool = build_pool(ids, _unit(arrays["val_features"]), labels, class_count=len(arrays["class_names"]))
    queries, truth = _unit(arrays["test_features"]), torch.from_numpy(arrays["test_labels"].astype(np.int64))
    methods = plan_methods(tuple(FEW_SHOT_METHODS), texts, zero_shot=zero_shot)
    for shots in arguments.shots:
        for seed in range(arguments.seed, arguments.seed + arguments.draws):
            draw = draw_examples(pool.label_ids, shots=shots, seed=seed, allow_fewer=True)
            if arguments.leave_one_out:
                draw = draw._replace(validation=draw.validation[:0])
            for method, selected in select_methods(pool, draw, methods, zero_shot=zero_shot).items():
                hits = (selected.classifier.logits(queries).argmax(dim=1) == truth).double().mean()
                yield Result(name, method, shots, 100 * float(hits))


def _print_table(title: str, results: list[Result]) -> None:
    all_shots = _shots_of(results)
    print(f"### {title}\n\n| method | {' | '.join(f'{shots} shots' for shots in all_shots)} |")
    print("|---|" + "---|" * len(all_shots))
    for method in FEW_SHOT_METHODS:
        cells = []
        for shots in all_shots:
            by_set: dict[str, list[float]] = defaultdict(list)
            for result in results:
                if (result.method, result.shots) == (method, shots):
                    by_set[result.dataset].append(result.top1)
            draws = [statistics.fmean(scores) for scores in zip(*by_set.values(), strict=True)]
            spread = statistics.stdev(draws) if len(draws) > 1 else 0.0
            cells.append(f"{statistics.fmean(draws):.1f} ± {spread:.1f}")
        print(f"| {method} | {' | '.join(cells)} |")
    print()


def _print_gains(results: list[Result], pairs: dict[str, str]) -> None:
    """Print by how many points a method is ahead of another, for every number of shots."""
    means: dict[tuple[str, int], float] = {}
    all_shots = _shots_of(results)
    for method in FEW_SHOT_METHODS:
        for shots in all_shots:
            found = [result.top1 for result in results if (result.method, result.shots) == (method, shots)]
            means[method, shots] = statistics.fmean(found)
    for other, method in pairs.items():
        gains = ", ".join(f"{means[method, shots] - means[other, shots]:+.2f}" for shots in all_shots)
        print(f"{method} against {other}: {gains} points at {', '.join(map(str, all_shots))} shots")
    print()


def _shots_of(results: list[Result]) -> list[int]:
    return list(dict.fromkeys(result.shots for result in results))


def _load(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def _unit(rows: np.ndarray) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.from_numpy(rows.astype(np.float32)), dim=1)


if __name__ == "__main__":
    main()
